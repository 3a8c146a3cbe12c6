"""Requests about attempts that a batch system starts, later and on another node: the folder is made here, and closed here.

What the batch system says of an attempt is the coordinator's to know. Here it only becomes a record where there is none yet, by
the calls that make every record for whoever is first: the word of the attempt's own supervisor, if there is one, stands. And what
began is not over while its supervisor has a pulse.
"""

from __future__ import annotations

import time

from .files import as_bytes
from .pulse import Pulses, last_beat
from .records import read_record, write_once
from .refusals import Refusal, printable
from .spec import problem_of_spec
from .standing import QUEUED, RUNNING, UNSTARTED, lose, read_status, void

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .frames import Header
    from .home import Home
    from .place import Place
    from .records import Record
    from .watches import Watches

TAIL = 300  # bytes of what a script said before its supervisor ran


class Batch:
    """Prepares attempts for a batch system, and closes those that it says are over."""

    def __init__(self, home: Home, watches: Watches) -> None:
        self._home = home
        self._watches = watches
        self._pulses = Pulses()

    def prepare(self, request: Header) -> None:
        """Make the attempt's folder with its spec, from which a script may start it. Raises Refusal, OSError."""
        place, spec = self._watches.place(request), request["spec"]
        self._require_batch()
        moved = self._home.moved(request)
        if moved:
            raise Refusal("not submitted, because since it was claimed %s" % moved)
        self._home.make_folder(place)
        problem = problem_of_spec(spec)
        if problem:
            void(place, problem, refused=True)
        else:
            write_once(place.file("spec.json"), spec)
        self._watches.answer(place)

    def conclude(self, request: Header) -> None:
        """The batch system says that it is over: `void` if it never began, else `final`, once its supervisor is silent.

        Raises Refusal, OSError.
        """
        place, kind = self._watches.place(request), dict(request["void"])
        self._require_batch()
        said = _said(place)
        why = str(kind.pop("why")) + said
        standing = read_status(place, self._home.incarnation)
        if standing.status in (UNSTARTED, QUEUED):
            void(place, why, **kind)
            standing = read_status(place, self._home.incarnation)
        beats = False
        if standing.status == RUNNING and self._pulses.is_silent(place):
            _end(place, (standing.start or {}).get("go") or {}, request["final"], said)
            self._pulses.forget(place)
        elif standing.status == RUNNING:
            beats = self._pulses.beats(place)
        self._watches.answer(place, beats)

    def _require_batch(self) -> None:
        if not self._home.batch:
            raise Refusal("no batch system starts attempts here")


def _end(place: Place, go: Record, final: Record, said: str) -> None:
    """Make final.json, unless the supervisor did."""
    if "lost" in final:
        kind = dict(final["lost"])
        lose(place, str(kind.pop("why")) + said, **kind)
        return
    now = time.time()
    started = float(go.get("started") or now)
    ended = min(now, max(started, last_beat(place) or now))  # not when that was found out
    times = {"started": started, "ended": ended, "duration": max(0.0, ended - started), "max_rss": 0}
    verdict = dict(times, **final["exit"])
    cancel = read_record(place.file("cancel.json"))
    if cancel is not None:
        verdict["cancelled"] = cancel.get("by") or "unknown"
    write_once(place.file("final.json"), {"exit": verdict}, {"lost": {"why": "disk full", "ended": int(now)}})


def _said(place: Place) -> str:
    """What the script said in vain, such as that there is no python3 on the node."""
    try:
        with open(as_bytes(place.file("batch.err")), "rb") as file:
            text = file.read()[-TAIL:].decode("utf-8", "replace").strip()
    except OSError:
        return ""
    return ": %s" % printable(text.splitlines()[-1]) if text else ""
