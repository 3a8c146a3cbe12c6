"""Ends an attempt whose supervisor is dead, and records it as lost."""

from __future__ import annotations

import signal
import time

from .locks import HELD, lock_state
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
    """End an attempt whose supervisor is dead: TERM, grace, KILL for all that can be found of it; then record it as lost."""
    deadline = time.monotonic() + float(cancel.get("grace", GRACE))
    family = kin(place)
    for process in family:
        send_signal(process, signal.SIGTERM)
        send_signal(process, signal.SIGCONT)
    pause = SHORTEST
    while family or lock_state(place.lock) == HELD:  # it may be held by who changed its user
        time.sleep(pause)
        asked = read_cancel(place) or cancel
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


def read_cancel(place: Place) -> Optional[Record]:
    """What a cancel says by now; None if there is none, or it cannot be read at this moment."""
    try:
        return read_record(place.file("cancel.json"))
    except OSError:
        return None
