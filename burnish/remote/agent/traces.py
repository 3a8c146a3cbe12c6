"""The living processes of an attempt that has no supervisor: known by the cookie and the lock that they inherited."""

from __future__ import annotations

import os

from .files import read_bytes
from .processes import all_processes, has_open, with_descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

    from .place import Place
    from .processes import Process


def traces(place: Place) -> List[int]:
    """Pids of the processes that carry an attempt's cookie or have its lock open, other than the caller."""
    lock = os.path.realpath(place.lock)
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and (_bears(pid, place.cookie) or has_open(pid, lock))]


def _bears(pid: int, cookie: bytes) -> bool:
    try:
        environment = read_bytes("/proc/%d/environ" % pid).split(b"\0")
    except OSError:
        return False  # gone meanwhile, or of another user
    return any(entry.startswith(b"BURNISH_RESULT=") and entry.endswith(cookie) for entry in environment)


def kin(place: Place) -> List[Process]:
    """All living processes of an attempt without a supervisor: those that bear its traces, and what descends from them."""
    return [process for process in with_descendants(traces(place), all_processes()) if process.pid != os.getpid()]
