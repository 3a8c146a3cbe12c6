"""How an attempt stands, from its folder, its locks and its processes; and the two records that say so for ever."""

from __future__ import annotations

import os
import time

from .files import unlink
from .locks import HELD, lock_state, pid_in
from .processes import is_alive, read_process, recorded_process, same_boot
from .records import read_record, replace_record, write_once
from .traces import kin, traces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from .place import Place
    from .processes import Process
    from .records import Record

ABSENT = "absent"
UNSTARTED = "unstarted"
QUEUED = "queued"
STARTING = "starting"
RUNNING = "running"
VOID = "void"
ENDED = "ended"
DISK_FULL = "the disk is full"  # the brief record of an attempt for which there is no room to say more
BATCH = "slurm"  # stands for the incarnation of a host whose attempts a batch system starts


class Standing:
    """What an attempt's folder says. `dead` is why nobody will ever make its final.json; `witness` lives while it runs."""

    __slots__ = ("dead", "final", "start", "status", "supervised", "witness")

    def __init__(
        self,
        status: str,
        start: Optional[Record] = None,
        final: Optional[Record] = None,
        supervised: bool = True,
        dead: str = "",
        witness: Optional[Process] = None,
    ) -> None:
        self.status = status
        self.start = start
        self.final = final
        self.supervised = supervised
        self.dead = dead
        self.witness = witness


def read_status(place: Place, here: str) -> Standing:
    """The standing of the attempt at `place`, from its folder, locks and processes; `here` is this host's incarnation."""
    if here == BATCH:
        return _status_in_batch(place)
    start, final = read_start(place), read_final(place)
    if final:
        return Standing(ENDED, start, final)
    if final is not None:
        # Without words: its host lost power before its disk had them. All processes had ended when it was made.
        return Standing(RUNNING, start, dead="its verdict was damaged")
    if start is None:
        return _status_before_start(place, here)
    if "void" in start:
        return Standing(VOID, start)
    return _status_after_start(place, start, here)


def read_start(place: Place) -> Optional[Record]:
    """{"go": …} or {"void": …}; {} for a record that cannot be understood, None where there is none."""
    return _worded(read_record(place.file("start.json")), "go", "void")


def read_final(place: Place) -> Optional[Record]:
    """{"exit": …} or {"lost": …}; {} and None as of `read_start`."""
    return _worded(read_record(place.file("final.json")), "exit", "lost")


def _worded(record: Optional[Record], *words: str) -> Optional[Record]:
    if record is None:
        return None
    said = [word for word in words if word in record]
    return record if len(said) == 1 and isinstance(record[said[0]], dict) else {}


def _status_in_batch(place: Place) -> Standing:
    """Locks, pids and boots are those of some other node: only records speak. What is over without one, the batch system says."""
    try:
        # A listing, not a look for names: an NFS client remembers for long that a name was not there.
        names = os.listdir(place.folder)
    except (FileNotFoundError, NotADirectoryError):
        return Standing(ABSENT)
    start = read_start(place) if "start.json" in names else None
    final = read_final(place) if "final.json" in names else None
    if final:
        return Standing(ENDED, start, final)
    if start and "void" in start:
        return Standing(VOID, start)
    if start:
        return Standing(RUNNING, start)
    return Standing(QUEUED if "spec.json" in names else UNSTARTED)


def _status_before_start(place: Place, here: str) -> Standing:
    if not os.path.isdir(place.folder):
        # A folder that was wiped under a living job must not look like "never ran".
        alive = lock_state(place.lock) == HELD
        return Standing(RUNNING, supervised=False) if alive else Standing(ABSENT)
    if lock_state(place.lock) == HELD:
        job = pid_in(place.lock)
        if job and not os.path.lexists(place.file("start.json")):
            return Standing(
                RUNNING, supervised=False, witness=read_process(job)
            )  # the record was removed, the job was not
        return Standing(STARTING)
    if os.path.lexists(place.file("start.json")):
        return read_status(place, here)  # it was made, and the lock freed, between our two looks
    return Standing(UNSTARTED)


def _status_after_start(place: Place, start: Record, here: str) -> Standing:
    go = start.get("go") or {}
    then = str(go.get("incarnation"))
    # Another incarnation may be this boot as somebody else sees it. A lock is held, and processes live, in one and the same.
    moved = bool(go) and then != here
    if moved and lock_state(place.lock) != HELD and not (same_boot(then, here) and kin(place)):
        return Standing(RUNNING, start, dead="its host rebooted")
    supervisor = recorded_process(go.get("supervisor"))
    if supervisor is not None and (not moved or same_boot(then, here)) and is_alive(supervisor):
        return Standing(RUNNING, start, witness=supervisor)
    held = lock_state(place.lock) == HELD
    witness = read_process(pid_in(place.lock)) if held and not moved else None
    if witness is None:
        # The oldest lasts longest. It may have ended since it was seen: then another look is due, and no verdict.
        witness = min(kin(place), key=lambda process: process.started, default=None)
    if witness is not None or HELD in (lock_state(place.lock), lock_state(place.end_lock)):
        return Standing(RUNNING, start, supervised=False, witness=witness)
    # A record without words is what a power loss leaves of one that was just written.
    return Standing(RUNNING, start, dead="killed with its supervisor" if go else "its host lost power")


def was_removed(place: Place) -> bool:
    """True if the attempt was started here, and its folder removed since: its lock is there without it."""
    return os.path.lexists(place.lock) and not os.path.isdir(place.folder)


def account_for_removed(place: Place) -> None:
    """Record an attempt whose folder was removed as lost, if nothing of it is alive: it is neither started again nor void."""
    if lock_state(place.lock) != HELD and not traces(place):
        os.mkdir(place.folder, 0o700)
        lose(place, "its folder was removed")


def void(place: Place, why: str, **kind: Any) -> bool:
    """Make `start.json` say that the command never ran and never will. False if it says something already. Raises OSError.

    `kind`: refused=True if the command cannot be run as asked, trouble=True if the host is not fit to run anything now,
    busy=True if the slot cannot be had, lacks=need if the host has not what the command needs.
    """
    brief = {"void": dict(kind, why=DISK_FULL)}
    return write_once(place.file("start.json"), {"void": dict(kind, why=why)}, brief)


def settle(place: Place, here: str) -> Standing:
    """`read_status`, after recording as lost what nobody is left to record."""
    standing = read_status(place, here)
    if not standing.dead:
        return standing
    lose(place, standing.dead)
    return read_status(place, here)


def lose(place: Place, why: str, **kind: Any) -> None:
    """Record that the attempt has ended and that nobody will ever know how. Raises OSError.

    `kind`: excused=True if its batch system took its place away.
    """
    lost: Record = dict(kind, why=why, ended=time.time())
    cancel = read_record(place.file("cancel.json"))
    if cancel is not None:
        lost["cancelled"] = cancel.get("by") or "unknown"
    brief = {"lost": {"why": why[:18], "ended": int(lost["ended"])}}
    path = place.file("final.json")
    if read_final(place) == {}:
        replace_record(path, {"lost": lost}, brief)
    else:
        write_once(path, {"lost": lost}, brief)
    place.unlock()
    unlink(place.end_lock)  # also of one who was killed while ending it
