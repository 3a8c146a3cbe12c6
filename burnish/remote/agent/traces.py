"""The living processes of an attempt that has no supervisor: known by the cookie and the lock that they inherited."""

from __future__ import annotations

import os
import time

from .processes import all_processes, environment, has_open, is_alive, read_process, with_descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Optional, Sequence, Set

    from .place import Place
    from .processes import Process

PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016)  # s; an execve shows no environment for some 0.1 ms, and `env -i` for ever
LISTINGS = 20  # of all processes, at most: what begins while one is gone through is in the next only


def traces(place: Place) -> List[Process]:
    """The processes that carry an attempt's cookie or have its lock, other than the caller.

    Each was alive when it was looked at. If it has ended since, its work may go on in one that was not. Who has the lock, made or
    inherited, may write to it: whoever only reads is an agent that looks at it this instant.
    """
    lock = os.path.realpath(place.lock)
    seen = {os.getpid()}
    unclear: Set[int] = set()  # they show no environment
    pauses = list(PAUSES)
    for _ in range(LISTINGS):
        listed = {int(name) for name in os.listdir("/proc") if name.isdigit()} - seen
        if not listed:
            if not unclear or not pauses:
                break
            time.sleep(pauses.pop(0))
        seen |= listed
        found: List[Process] = []
        for pid in listed | unclear:
            process = read_process(pid)
            shown = None if process is None else environment(pid)
            if process is not None and (_bears(shown, place.cookie) or has_open(pid, lock, to_write=True)):
                found.append(process)
            (unclear.add if shown == b"" else unclear.discard)(pid)
        if found:
            return found
    return []


def _bears(environment: Optional[bytes], cookie: bytes) -> bool:
    entries = (environment or b"").split(b"\0")
    return any(entry.startswith(b"BURNISH_RESULT=") and entry.endswith(cookie) for entry in entries)


def kin(place: Place, known: Sequence[Process] = ()) -> List[Process]:
    """All living processes of an attempt without a supervisor: those that bear its traces, and what descends from them.

    Never none while anything of it is alive: where all that bore its traces have ended meanwhile, it is those. `known` were kin
    before: who has lost its parent since bears perhaps no trace itself.
    """
    found = traces(place) + [process for process in known if is_alive(process)]
    if not found:
        return []
    now = all_processes()
    roots = [process.pid for process in found if process.pid in now and now[process.pid].started == process.started]
    return [process for process in with_descendants(roots, now) if process.pid != os.getpid()] or found
