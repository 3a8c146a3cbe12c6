"""Requests that end an attempt, or see to it that it never begins."""

from __future__ import annotations

import os
import signal
import time

from .processes import GRACE, recorded_process, send_signal
from .records import replace_record
from .refusals import Refusal
from .standing import QUEUED, RUNNING, STARTING, UNSTARTED, account_for_removed, lose, settle, void, was_removed
from .traces import kin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .frames import Header
    from .home import Home
    from .place import Place
    from .records import Record
    from .standing import Standing
    from .starts import Starts
    from .watches import Watches


class Stops:
    """Voids and cancels attempts, and answers with their status."""

    def __init__(self, home: Home, watches: Watches, starts: Starts) -> None:
        self._home = home
        self._watches = watches
        self._starts = starts

    def void(self, request: Header) -> None:
        """See to it that the attempt never runs, if it has not begun. Raises Refusal, OSError."""
        place = self._watches.place(request)
        moved = self._home.moved(request) or ("its records were removed" if request.get("began") else "")
        if was_removed(place):
            account_for_removed(place)
        if moved or settle(place, self._home.incarnation).status != RUNNING:
            self._rule_out(place, moved, str(request.get("why") or "voided"))
        self._watches.answer(place)

    def cancel(self, request: Header) -> None:
        """End the attempt, or see to it that it never runs. Raises Refusal, OSError."""
        place = self._watches.place(request)
        by, grace = str(request.get("by") or "unknown"), float(request.get("grace", GRACE))
        if self._starts.is_waiting(place.attempt):
            self._home.make_folder(place)  # as if it had not waited
        standing = settle(place, self._home.incarnation)
        if standing.status in (UNSTARTED, QUEUED, STARTING):
            self._rule_out(place, self._home.moved(request), "cancelled by %s before it started" % by)
            standing = settle(place, self._home.incarnation)
        if standing.status == RUNNING:
            self._ask_end(place, standing, {"by": by, "grace": grace, "at": time.time()})
        self._watches.answer(place)

    def _rule_out(self, place: Place, moved: str, why: str) -> None:
        """See to it that the command never runs from now on. `moved`: what happened to this host since its claim."""
        if moved and not os.path.lexists(place.file("start.json")):
            # It may have run before that, and its records be gone: "never ran" is not known.
            if kin(place):
                raise Refusal("since it was claimed %s, but processes of it are alive" % moved)
            self._home.make_folder(place)
            lose(place, moved)
        self._home.make_folder(place)
        void(place, why)

    def _ask_end(self, place: Place, standing: Standing, cancel: Record) -> None:
        """Leave word in the folder, where it outlives this agent; then wake the supervisor, or do its work."""
        try:
            replace_record(place.file("cancel.json"), cancel, {"by": cancel["by"][:16], "grace": cancel["grace"]})
        except FileNotFoundError:
            pass  # the folder was wiped, the processes were not
        if self._home.batch:
            return  # its supervisor is on another node: the coordinator has the batch system wake it
        supervisor = recorded_process(((standing.start or {}).get("go") or {}).get("supervisor"))
        if standing.supervised and supervisor is not None:
            send_signal(supervisor, signal.SIGUSR1)
            send_signal(supervisor, signal.SIGCONT)
        else:
            self._watches.undertake(place, cancel)
