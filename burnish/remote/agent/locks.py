"""The lock of an attempt, which says that somebody of it lives: its supervisor holds it, its job inherits it, anyone may look.

A supervisor that takes one attempt after the other keeps its lock, and only the name of the file changes. New files for each
attempt would make all others dearer: before it gives out an inode, ext4 looks at each that was freed there within minutes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from .files import identity, make_private_folder, read_text, unlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

HELD = "held"
FREE = "free"
MISSING = "missing"


def make_lock(path: str) -> int:
    """Make the lock file `path`, which must be new, and hold it. Returns the descriptor, for the job. Raises OSError, Refusal."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            make_private_folder(os.path.dirname(path))  # cleaned away while we run
            continue
        try:
            _take(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        if identity(path) == identity(descriptor):
            return for_the_job(descriptor)
        os.close(descriptor)  # `remove_left` took it before it was held


def hold_alone(path: str) -> Optional[int]:
    """Hold the lock file `path`, made if need be, until this process ends. None if somebody else holds it. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _take(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _take(descriptor: int) -> None:
    """Nobody else takes this lock, but somebody may be looking at it this instant."""
    for _ in range(200):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.005)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock_state(path: str) -> str:
    """HELD, FREE, or MISSING: no such file, so nothing is known."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return MISSING
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return HELD
    finally:
        os.close(descriptor)
    return FREE


def name_job(lock: int, pid: int) -> None:
    """Have the held lock name the job. Raises OSError."""
    os.pwrite(lock, b"%-10d" % pid, 0)


def name_nobody(lock: int) -> None:
    """Have the held lock name no job, in the same bytes: it neither shrinks nor grows from one to the next. Raises OSError."""
    try:
        os.pwrite(lock, b" " * 10, 0)
    except OSError:
        os.ftruncate(lock, 0)  # its disk was full before the first


def pid_in(path: str) -> int:
    """The pid of the job, which its supervisor has written into the lock file; 0 while it is not known."""
    text = read_text(path)
    return int(text) if text.isdigit() else 0


def for_the_job(lock: int) -> int:
    """The same lock, high, where a script's own `exec 3>` does not hit it, and not closed at exec: who holds it is alive."""
    try:
        return fcntl.fcntl(lock, fcntl.F_DUPFD, 100)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return fcntl.fcntl(lock, fcntl.F_DUPFD, 3)  # `ulimit -n` is below that
    finally:
        os.close(lock)


def remove_left(folder: str, beginning: str) -> None:
    """Remove the files in `folder` whose names begin so, and which nobody holds: supervisors that were killed left them.

    Raises OSError.
    """
    for name in os.listdir(folder):
        path = "%s/%s" % (folder, name)
        if name.startswith(beginning) and lock_state(path) == FREE:
            unlink(path)
