"""A coordinator's end of a cluster: a link to its login node, over which attempts are submitted instead of started.

The coordinator gives the same orders and hears the same reports as of any host. Here an order to start becomes a folder and a
task of an array; an order to cancel is carried out by the attempt's own supervisor, which Slurm wakes; and of what Slurm lists,
only two things are told: why an attempt waits, and that one is over whose folder does not say so.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from burnish.core import reports
from burnish.core.hosts import Host
from burnish.core.reports import Report
from burnish.remote.link import Link
from burnish.slurm import states, tasks, text
from burnish.slurm.cancelling import LIMIT, Cancelling
from burnish.slurm.states import GONE, End
from burnish.slurm.submission import Submission
from burnish.slurm.tasks import PATIENCE, Task

QUICKEST, SLOWEST = 2.0, 30.0  # s between two looks at Slurm's list
FIRST = 5.0  # s after which something new is looked for there
SLOWER = 1.5  # each look that shows nothing new puts off the next by so much
KILL_AFTER = 30.0  # s beyond its grace that a supervisor has to end a cancelled job, before Slurm does
AGAIN = 10.0  # s until an order is repeated that the host did not carry out
RETRY = 10.0  # s until a controller that does not answer is asked again


class SlurmLink:
    """To be used as a `remote.link.Link`. `connect` makes one that reports to whom it is given."""

    def __init__(
        self,
        host: Host,
        table: str,
        connect: Callable[[Callable[[Report], None]], Link],
        report: Callable[[Report], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.host = host.name
        self._report = report
        self._clock = clock
        self._lock = threading.RLock()  # between the coordinator's thread and the link's
        self._link = connect(self._hear)
        self._connected: reports.HostConnected | None = None
        self._ready = self._accounting = False
        self._kept = 0.0  # s for which Slurm lists what has ended
        self._retry: float | None = None
        self._asked: dict[str, Callable[[reports.CommandRan], None]] = {}
        self._mine: set[str] = set()  # attempts that this coordinator looks after
        self._graces: dict[str, float] = {}  # those that somebody cancels, and the s they have to end by themselves
        self._tasks: dict[str, Task] = {}
        self._submission = Submission(host, table, self._link.send, self._ask, self._taken, self._refused)
        self._listing = self._asking_accounts = False
        self._cancelling = Cancelling(self._ask)
        self._unwanted: set[str] = set()  # attempts that shall not begin, or go on
        self._next_list = 0.0
        self._interval = QUICKEST

    # -- as a link -------------------------------------------------------------------------------------------------

    @property
    def welcome(self) -> reports.Welcome | None:
        """What the login node said of itself, once Slurm has answered there."""
        return self._link.welcome if self._ready else None

    @property
    def up(self) -> bool:
        """True between HostConnected and HostDropped."""
        return self.welcome is not None

    @property
    def round_trip(self) -> float:
        """To the login node, in s."""
        return self._link.round_trip

    def start(self) -> None:
        """Begin to connect, and do so until `close`."""
        self._link.start()

    def close(self) -> None:
        """End the connection; what is submitted stays so."""
        self._link.close()

    def send(self, *headers: dict[str, Any]) -> None:
        """Give orders, as to any host."""
        for header in headers:
            self._send(header)

    def _send(self, header: dict[str, Any]) -> None:
        with self._lock:
            attempt = header.get("attempt", "")
            if header["type"] in ("start", "status", "cancel", "void"):
                self._mine.add(attempt)
            if header["type"] == "start" and attempt not in self._tasks:
                self._submission.add(header)
                return
            if header["type"] in ("cancel", "void"):
                self._submission.drop(attempt)
                self._unwanted.add(attempt)
            if header["type"] == "cancel":
                grace = float(header["grace"])
                if attempt in self._tasks and grace < self._graces.get(attempt, grace):
                    self._tasks[attempt].woken = None  # it is to read again how long it has
                self._graces[attempt] = grace
            if header["type"] == "ack":
                self._mine.discard(attempt)
                self._unwanted.discard(attempt)
                self._graces.pop(attempt, None)
            self._link.send({"type": "status", "attempt": attempt} if header["type"] == "start" else header)

    def watch(self) -> None:
        """Go on with whatever it is time for."""
        self._link.watch()
        with self._lock:
            now = self._clock()
            if self._retry is not None and now >= self._retry:
                self._inquire()
            if not self._ready:
                return
            self._submission.turn(now)
            self._list(now)
            for task in list(self._own()):
                self._see_to(task, now)
            self._cancelling.turn(now)

    # -- hearing ---------------------------------------------------------------------------------------------------

    def _hear(self, report: Report) -> None:
        with self._lock:
            match report:
                case reports.HostConnected():
                    self._connected = report
                    self._inquire()
                case reports.HostDropped() | reports.HostTurnedAway():
                    self._ready, self._retry = False, None
                    self._report(report)
                case reports.CommandRan(id=id):
                    self._asked.pop(id, _ignore)(report)
                case reports.AttemptReported():
                    self._take(report)
                case reports.RequestRefused(request="prepare"):
                    self._submission.drop(report.name)
                    self._report(replace(report, request="start"))
                case _:
                    self._report(report)

    def _inquire(self) -> None:
        """Ask whether there is a Slurm that answers. Until it does, the host is not connected."""
        self._retry = None
        self._ready = self._listing = self._asking_accounts = False
        self._cancelling.restart()
        for known in (self._asked, self._tasks):
            known.clear()
        self._ask(text.show_config(), self._configured)

    def _configured(self, ran: reports.CommandRan) -> None:
        why = text.no_answer(ran.code, ran.err)
        if ran.code == text.NO_COMMAND:
            self._report(reports.HostTurnedAway(self.host, f"{self.host}: {why}. This host is left out."))
        elif why:
            self._retry = self._clock() + RETRY
            self._report(reports.HostDropped(self.host, f"{self.host}: {why}. It is tried again."))
        elif self._connected is not None:
            self._ready = self._accounting = True
            self._kept = text.read_min_job_age(ran.out)
            self._interval, self._next_list = QUICKEST, 0.0
            self._submission.restart(self._connected.welcome.source, text.read_max_array_size(ran.out))
            self._report(self._connected)

    def _take(self, report: reports.AttemptReported) -> None:
        task = self._tasks.get(report.name)
        if task is None and report.batch is not None:
            task = self._tasks[report.name] = Task(report.name, report.batch, self._clock())
        elif task is not None and report.batch is not None:
            task.submitted = report.batch
        self._submission.prepared(report)
        if task is not None and report.status == "running":
            task.began()
            if report.beats and task.end is not None and not task.disowned:
                task.disowned = True
                how = "forgotten by Slurm" if task.end is GONE else "over in Slurm"
                self._report(reports.AttemptDisowned(self.host, task.attempt, how))
        if report.status == "ended" and task is not None and self._waits_for_slurm(task, report):
            return
        if report.status in ("ended", "void") and task is not None:
            del self._tasks[report.name]
            waits = (task.job or report.name in self._unwanted) and task.end is None and report.name in self._mine
            if report.status == "void" and waits:
                # Told when Slurm's queue is rid of it: who cancels leaves when that is told.
                self._cancelling.end(task.key, self._clock(), lambda: self._report(report))
                return
        self._report(report)

    def _waits_for_slurm(self, task: Task, report: reports.AttemptReported) -> bool:
        """True if the verdict is held until Slurm has said why the job failed."""
        if task.attempt not in self._mine or not states.leaves_open(report.final or {}):
            return False
        task.began()
        if task.held is None:
            task.held_since = self._clock()
            self._look_soon()
        task.held = report
        return True

    # -- Slurm's list ----------------------------------------------------------------------------------------------

    def _own(self) -> list[Task]:
        """What this coordinator looks after and is not just being submitted."""
        return [task for name, task in self._tasks.items() if name in self._mine and name not in self._submission]

    def _look_soon(self) -> None:
        self._interval = QUICKEST
        self._next_list = min(self._next_list, self._clock() + QUICKEST)

    def _list(self, now: float) -> None:
        """One squeue for all that is under way."""
        if self._listing or now < self._next_list:
            return
        if own := self._own():
            self._listing = True
            self._ask(text.squeue(task.submitted.name for task in own), lambda ran: self._listed(ran, now))

    def _listed(self, ran: reports.CommandRan, asked: float) -> None:
        self._listing = False
        self._next_list = self._clock() + self._interval
        self._interval = min(SLOWEST, self._interval * SLOWER)
        if ran.code != 0:
            return  # nothing is concluded from that
        listed = text.read_squeue(ran.out)
        own = self._own()
        unlisted = list(tasks.compare(own, listed, asked, self._accounting, self._kept))
        for task in own:
            if why := tasks.news(task, listed):
                self._report(reports.AttemptWaits(self.host, task.attempt, why))
            if task.disowned and task.end is None:
                task.disowned = False
                self._report(reports.AttemptDisowned(self.host, task.attempt, ""))
        if unlisted and not self._asking_accounts:
            self._asking_accounts = True
            jobs = [task.job or task.submitted.job for task in unlisted]
            self._ask(text.sacct(jobs), lambda answer: self._accounted(unlisted, answer, asked))

    def _accounted(self, unlisted: list[Task], ran: reports.CommandRan, asked: float) -> None:
        self._asking_accounts = False
        if ran.code != 0:
            self._accounting = not text.keeps_no_accounts(ran.code, ran.err)
            if self._accounting:  # whoever keeps them is away, or slow
                for task in unlisted:
                    tasks.unaccounted(task, asked)
            return
        found = text.read_sacct(ran.out)
        for task in unlisted:
            tasks.accounted(task, found, asked)

    # -- what follows ----------------------------------------------------------------------------------------------

    def _see_to(self, task: Task, now: float) -> None:
        if task.held is not None:
            if task.end is not None or now - task.held_since >= PATIENCE:
                self._let_go(task, task.end or GONE)
        elif (end := task.settled(now)) is not None:
            if task.concluded is None or now - task.concluded >= AGAIN:
                task.concluded = now
                self._conclude(task.attempt, end)
        elif task.attempt in self._graces and task.running:
            self._cancel(task, self._graces[task.attempt], now)

    def _let_go(self, task: Task, end: End) -> None:
        held, task.held = task.held, None
        assert held is not None and held.final is not None
        del self._tasks[task.attempt]
        final = held.final if end is GONE else states.completed(held.final, end)
        self._report(replace(held, final=final))

    def _conclude(self, attempt: str, end: End) -> None:
        """Have the host record what Slurm says, unless there is a record."""
        void = {"why": end.why, "refused": end.refused, "trouble": end.trouble}
        final = {"exit": dict(end.exit)} if end.exit else {"lost": end.lost}
        self._link.send({"type": "conclude", "attempt": attempt, "void": void, "final": final})

    def _cancel(self, task: Task, grace: float, now: float) -> None:
        """Wake its supervisor, which reads in its folder that it is cancelled; if it does not end, have Slurm end it."""
        if task.woken is None:
            task.woken = now
            self._cancelling.wake(task.key)
        elif now - task.woken >= grace + KILL_AFTER:
            task.woken = now
            self._cancelling.end(task.key, now)
        self._next_list = min(self._next_list, now + QUICKEST)

    def _taken(self, attempt: str, job: str) -> None:
        """It was submitted, as far as is known."""
        if attempt in self._tasks:
            task = self._tasks[attempt]
            task.job, task.since = job, self._clock()
            self._next_list = min(self._next_list, task.since + FIRST)

    def _refused(self, attempt: str, why: str, own: bool) -> None:
        self._conclude(attempt, End(why, refused=own, trouble=not own))

    def _ask(
        self, argv: list[str], then: Callable[[reports.CommandRan], None], stdin: str = "", limit: float = LIMIT
    ) -> None:
        """Have a command run on the login node; `then` gets its answer, unless the link breaks before."""
        id = secrets.token_hex(8)
        self._asked[id] = then
        self._link.send({"type": "run", "id": id, "argv": argv, "stdin": stdin, "limit": limit})


def _ignore(ran: reports.CommandRan) -> None:
    """Nobody waits for this answer any more."""
