"""The kernel's word that a file has changed, instead of looking again and again: inotify(7), which Python's library leaves out.

It tells of what this machine does. What another one writes into a shared file system goes untold.
"""

from __future__ import annotations

import ctypes
import os
import struct

from .files import READ_SIZE, as_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional, Tuple

IN_MODIFY = 0x2
IN_ATTRIB = 0x4  # also: another file took its name
IN_CREATE = 0x100  # in a folder
IN_MOVE_SELF = 0x800
IN_Q_OVERFLOW = 0x4000  # more has changed than was read in time
IN_ONESHOT = 0x80000000
EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows

libc = ctypes.CDLL(None, use_errno=True)


def open_inotify() -> Optional[int]:
    """A descriptor that becomes readable when something watched has changed. None if the kernel has none left for this user."""
    descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    return descriptor if descriptor >= 0 else None


def watch(descriptor: int, path: str, mask: int) -> Optional[int]:
    """Have changes of these kinds told. The number by which they are; None if the kernel refuses, or nothing is at `path`."""
    number: int = libc.inotify_add_watch(descriptor, as_bytes(path), ctypes.c_uint32(mask))
    return number if number >= 0 else None


def read_changes(descriptor: int) -> Iterator[Tuple[int, int]]:
    """(number of the watch, mask) of each change that was told since the last call."""
    try:
        data = os.read(descriptor, READ_SIZE)
    except BlockingIOError:
        return
    place = 0
    while place < len(data):
        number, mask, _, size = EVENT.unpack_from(data, place)
        yield number, mask
        place += EVENT.size + size
