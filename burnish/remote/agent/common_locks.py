"""Locks that all users of a host share: read-only files in a sticky folder, held by whoever uses what they stand for."""

from __future__ import annotations

import fcntl
import os
import stat
import time

from .files import identity
from .processes import has_open
from .refusals import Refusal, SlotTaken

TRIES = 20  # at a lock that somebody may be looking at this instant


class Wanted:
    """A lock that a slot needs: its path, alone or shared, and what it stands for in a sentence."""

    __slots__ = ("alone", "path", "what")

    def __init__(self, path: str, what: str, alone: bool = True) -> None:
        self.path = path
        self.what = what
        self.alone = alone


def make_common_folder(path: str) -> None:
    """Make `path` as /tmp is, for all users, or check that what is there is such a folder. Raises OSError, Refusal."""
    mask = os.umask(0)
    try:
        os.mkdir(path, 0o1777)
    except FileExistsError:
        pass
    finally:
        os.umask(mask)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or not found.st_mode & stat.S_ISVTX:
        raise Refusal("%s is not a folder with the sticky bit, as /tmp is; nothing in it is trusted" % path)


def open_common_lock(path: str) -> int:
    """A descriptor of a lock that any user may take: read-only, no link followed. Made if need be. Raises OSError, Refusal."""
    reading = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        try:
            descriptor = os.open(path, reading)
            break
        except FileNotFoundError:
            pass
        mask = os.umask(0)
        try:
            # Not O_CREAT alone: in a sticky folder the kernel refuses that for another user's file.
            descriptor = os.open(path, reading | os.O_CREAT | os.O_EXCL, 0o444)
            break
        except FileExistsError:
            pass
        finally:
            os.umask(mask)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Refusal("%s is no regular file" % path)
    return descriptor


def hold(wanted: Wanted) -> int:
    """Take a slot's lock. Returns the descriptor; raises SlotTaken, OSError, Refusal."""
    if not os.path.lexists(wanted.path) and _held_though_removed(wanted.path):
        raise SlotTaken("%s is taken by another burnish job, whose lock file was removed" % wanted.what)
    return hold_file(wanted)


def hold_file(wanted: Wanted) -> int:
    """Hold the lock that the file of that name is now, whoever holds one that was removed."""
    for _ in range(TRIES):
        descriptor = open_common_lock(wanted.path)
        if try_lock(descriptor, wanted.alone) and identity(wanted.path) == identity(descriptor):
            return descriptor
        os.close(descriptor)
        time.sleep(0.005)
    raise SlotTaken("%s is taken by another burnish job" % wanted.what)


def _held_though_removed(path: str) -> bool:
    """True if a process that we may look at has a lock file open that had this path: cleaners of /var/tmp remove what is old."""
    lock = os.path.realpath(path)
    return any(has_open(int(name), lock) for name in os.listdir("/proc") if name.isdigit())


def is_held(path: str, alone_only: bool = False) -> bool:
    """True if somebody holds this slot lock; with `alone_only`, not if it is only shared."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return not any(try_lock(descriptor, alone=not alone_only) for _ in range(2))
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, alone: bool) -> bool:
    """Take a lock without waiting: alone, or shared with whoever shares it. False if somebody else has it."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
