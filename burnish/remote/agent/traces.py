"""The living processes of an attempt that has no supervisor: known by the cookie and the lock that they inherited."""

from __future__ import annotations

import os
import time

from .processes import all_processes, environment, has_open, with_descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional

    from .place import Place
    from .processes import Process

PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016)  # s; an execve shows no environment for some 0.1 ms, and `env -i` for ever


def traces(place: Place) -> List[int]:
    """Pids of the processes that carry an attempt's cookie or have its lock open, other than the caller."""
    lock = os.path.realpath(place.lock)
    found, unclear = [], []
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        if pid == os.getpid():
            continue
        shown = environment(pid)
        if _bears(shown, place.cookie) or has_open(pid, lock):
            found.append(pid)
        elif shown == b"":
            unclear.append(pid)
    return found or _traces_shown_late(unclear, place.cookie)


def _traces_shown_late(pids: List[int], cookie: bytes) -> List[int]:
    """Those of `pids`, which showed no environment, that carry the cookie once their execve is done."""
    for pause in PAUSES:
        if not pids:
            break
        time.sleep(pause)
        shown = {pid: environment(pid) for pid in pids}
        found = [pid for pid in pids if _bears(shown[pid], cookie)]
        if found:
            return found
        pids = [pid for pid in pids if shown[pid] == b""]
    return []


def _bears(environment: Optional[bytes], cookie: bytes) -> bool:
    entries = (environment or b"").split(b"\0")
    return any(entry.startswith(b"BURNISH_RESULT=") and entry.endswith(cookie) for entry in entries)


def kin(place: Place) -> List[Process]:
    """All living processes of an attempt without a supervisor: those that bear its traces, and what descends from them."""
    return [process for process in with_descendants(traces(place), all_processes()) if process.pid != os.getpid()]
