"""Room for a verdict on a full disk: a file of some bytes, of which the verdict is made if there is room nowhere else.

A supervisor keeps it from one attempt to the next. Taken and freed for each, it costs a file server three requests, and a disk
that discards what is freed (ext4's `discard`) up to a millisecond.
"""

from __future__ import annotations

import os

from .files import close, reserve, sync_file, unlink, write_all
from .records import link_once

NAME = "room."  # not a table's: those have no dot


class Room:
    """Some bytes in `folder`, which is on the disk of the verdict."""

    def __init__(self, folder: str) -> None:
        self._path = "%s/%s%s" % (folder, NAME, os.urandom(8).hex())
        self._file = -1

    def keep(self) -> None:
        """Have it, from now on. Raises OSError."""
        if self._file < 0:
            self._file = reserve(self._path)

    def become(self, path: str, text: str) -> bool:
        """Make it the file `path` with this text, on disk, unless there is one. True if this call did. Raises OSError."""
        self._renew()
        data = text.encode("ascii")
        os.lseek(self._file, 0, os.SEEK_SET)
        write_all(self._file, data)
        os.ftruncate(self._file, len(data))
        sync_file(self._file)
        made = link_once(self._path, path)
        self.give_up()
        return made

    def _renew(self) -> None:
        """Make it anew if somebody removed it, here or on another machine. Raises OSError."""
        try:
            if os.path.samestat(os.fstat(self._file), os.lstat(self._path)):
                return
        except OSError:
            pass
        gone, self._file = self._file, reserve(self._path)
        close(gone)

    def give_up(self) -> None:
        """Have it no longer."""
        if self._file >= 0:
            unlink(self._path)
            close(self._file)
            self._file = -1
