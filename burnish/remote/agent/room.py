"""Room for a verdict on a full disk: a file of some bytes, of which the verdict is made if it cannot be made of new ones.

A supervisor keeps it from one attempt to the next. Taken and freed for each, it costs a file server three requests, and a disk
that discards what is freed (ext4's `discard`) up to a millisecond.
"""

from __future__ import annotations

import fcntl
import os

from .files import close, reserve, sync_file, unlink, write_all
from .records import link_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ROOM = "room."  # how the file is called, and no table: those have no dot


class Room:
    """Some bytes in `folder`, which is on the disk of the verdict. None is left when the context ends."""

    def __init__(self, folder: str) -> None:
        self._path = "%s/%s%s" % (folder, ROOM, os.urandom(8).hex())
        self._file = -1

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *error: Any) -> None:
        self._give_up()

    def keep(self) -> None:
        """Have it from now on, though somebody removed it, here or on another machine. Raises OSError."""
        try:
            if os.path.samestat(os.fstat(self._file), os.lstat(self._path)):
                return
        except OSError:
            pass
        gone, self._file = self._file, reserve(self._path)
        close(gone)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass  # no locks there: it may be taken for left behind, and is then made anew

    def become(self, path: str, text: str) -> bool:
        """Make it the file `path` with this text, on disk, unless there is one. True if this call did. Raises OSError."""
        self.keep()
        data = text.encode("ascii")
        os.lseek(self._file, 0, os.SEEK_SET)
        write_all(self._file, data)
        os.ftruncate(self._file, len(data))
        sync_file(self._file)
        made = link_once(self._path, path)
        self._give_up()
        return made

    def _give_up(self) -> None:
        if self._file >= 0:
            close(self._file)
            unlink(self._path)
            self._file = -1
