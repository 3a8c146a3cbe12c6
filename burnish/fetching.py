"""One open attempt, asked after on its host while somebody looks at its logs and no run does; they are brought home meanwhile.

It reads and claims nothing: the job stays as it is in the journal, and whoever runs burnish next takes it back. Bytes are written
where a run would write them, each at its own offset, so that both may do it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from burnish.core import reports
from burnish.core.hosts import Host
from burnish.core.jobs import Attempt
from burnish.core.reports import Report
from burnish.remote.link import Link
from burnish.remote.logs import STREAMS, LogPull
from burnish.remote.reach import transport
from burnish.store.paths import Paths

PATIENCE = 30.0  # s without a word from the host, after which a look shows what is at home
TURN = 0.1  # s
WATCHED = 0.3  # s between two questions about a log that does not grow: somebody is looking at it

Say = Callable[[str], None]


def in_place(attempt: Attempt) -> bool:
    """True if the attempt's log is written where it is read: it runs on the machine whose run started it."""
    host = Host.from_entry({**attempt.entry, "name": attempt.host})
    return host.connection == "local" and host.engine == "host"


class Fetch:
    """A link to the attempt's host. Use it in a `with` block and give it `turn`s. `ended`: no more will come.

    `status`: what the host last said that the attempt is, "" before that. A log that is written in place is not fetched.
    """

    def __init__(self, attempt: Attempt, table: str, paths: Paths, say: Say) -> None:
        self.ended = False
        self.status = ""
        self._attempt = attempt
        self._paths = paths
        self._say = say
        self._silent = False
        self._abreast: set[str] = set()  # streams that are at home as far as they went when last asked for
        self._inbox: SimpleQueue[Report] = SimpleQueue()
        host = Host.from_entry({**attempt.entry, "name": attempt.host})
        self._link = Link(host.name, transport(host, say), table, host.state_dir, self._inbox.put, engine=host.engine)
        self._logs = LogPull(self._link.send, WATCHED)

    def __enter__(self) -> Fetch:
        if not in_place(self._attempt):
            self._paths.make_log_dir()
        self._link.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def catch_up(self) -> None:
        """Bring home what there is now; after `PATIENCE` s of silence, what came until then. Raises StoreError."""
        end = time.monotonic() + PATIENCE
        while not self.ended and self._abreast < set(STREAMS):
            if self.turn(TURN):
                end = time.monotonic() + PATIENCE
            elif time.monotonic() >= end:
                self._say(f"{self._attempt.host} has not answered for {PATIENCE:.0f} s; this is what is at home.")
                return

    def turn(self, timeout: float) -> bool:
        """Wait up to `timeout` s for the host; True if it brought something. Raises StoreError if that cannot be written."""
        self._link.watch()
        self._logs.ask()
        heard = False
        try:
            self._hear(self._inbox.get(timeout=timeout))
            while True:
                heard = True
                self._hear(self._inbox.get_nowait())
        except Empty:
            return heard

    def _hear(self, report: Report) -> None:
        match report:
            case reports.HostConnected(_, welcome):
                self._silent = False
                if welcome.state_id != self._attempt.state_id:
                    self._give_up("another machine answers under its name")
                self._logs.restart()
                self._link.send({"type": "status", "attempt": self._attempt.name})
            case reports.HostDropped(host, why):
                if not self._silent:
                    self._say(f"{host} does not answer ({why}); trying again.")
                self._silent = True
            case reports.HostTurnedAway(_, why):
                self._give_up(why)
            case reports.AttemptReported():
                self._status(report)
            case reports.LogPulled():
                self._pulled(report)
            case reports.LogGrown():
                self._logs.grown(report)
            case reports.RequestRefused(request="pull"):
                self._give_up("the log is not there any more")
            case _:
                pass

    def _status(self, report: reports.AttemptReported) -> None:
        name = self._attempt.name
        if report.name != name:
            return
        self.status = report.status
        if report.status not in ("starting", "running", "ended"):
            self.ended = True
            return
        if in_place(self._attempt):
            self.ended = report.status == "ended"
            return
        self._logs.watch(name, {stream: self._paths.log_name(self._attempt.log, stream) for stream in STREAMS})
        if report.status == "ended":
            self.ended = self._logs.ended(name, report.sizes or {})

    def _pulled(self, report: reports.LogPulled) -> None:
        if self._logs.take(report):
            self._logs.ask()
        else:
            self._abreast.add(report.stream)
        self.ended = self._logs.whole(self._attempt.name)

    def _give_up(self, why: str) -> None:
        self._say(f"{self._attempt.host}: {why}. This is what is at home.")
        self.ended = True
