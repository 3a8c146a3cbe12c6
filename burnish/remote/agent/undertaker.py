"""Ends an attempt whose supervisor is dead, and records it as lost."""

from __future__ import annotations

import signal
import time

from .locks import HELD, hold_alone, lock_state
from .notices import CHANGED, tell_in_pipe
from .processes import GRACE, send_signal
from .records import read_record
from .standing import lose
from .traces import kin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from .place import Place
    from .records import Record

SHORTEST, LONGEST = 0.05, 1.0  # s between two looks


def undertake(place: Place, cancel: Record, notices: int) -> None:
    """End an attempt whose supervisor is dead: TERM, grace, KILL for all that can be found of it; then record it as lost.

    Nobody else takes it for lost meanwhile, or does the same: only we know of what we have seen and bears no trace.
    """
    if not _alone(place):
        return
    deadline = time.monotonic() + float(cancel.get("grace", GRACE))
    family = kin(place)
    for process in family:
        send_signal(process, signal.SIGTERM)
        send_signal(process, signal.SIGCONT)
    pause = SHORTEST
    while family or lock_state(place.lock) == HELD:  # it may be held by who changed its user
        time.sleep(pause)
        asked = _asked(place) or cancel
        if asked != cancel:
            cancel = asked
            deadline = min(deadline, time.monotonic() + float(cancel.get("grace", GRACE)))
        family = kin(place, family)
        if time.monotonic() >= deadline:
            pause = min(LONGEST, pause * 2)  # one that the kernel cannot end just now keeps us waiting
            for process in family:
                send_signal(process, signal.SIGKILL)
    lose(place, "killed with its supervisor")
    tell_in_pipe(notices, place.attempt, CHANGED)


def _alone(place: Place) -> bool:
    """False if somebody else does it. Where no lock can be made, it is done all the same."""
    try:
        return hold_alone(place.end_lock) is not None
    except OSError:
        return True


def _asked(place: Place) -> Optional[Record]:
    """What a cancel says by now; None if there is none, or it cannot be read at this moment."""
    try:
        return read_record(place.file("cancel.json"))
    except OSError:
        return None
