"""One version of a file: what tells it from another, and all of its bytes."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from msgspec import Struct

from burnish.core.table import Table

TWO_LOOKS = 0.3  # s between two looks that must agree
UNFINISHED = 2.0  # s that a version without text, or without an end of line, must stand


class Identity(NamedTuple):
    """What changes when a file is written or replaced."""

    device: int
    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """The identity of the file that `status` is about."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class Stamp(NamedTuple):
    """What tells a file from each that stands there later, though it reads alike and its time was set back."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    names: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp of the file that `status` is about."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_nlink)


class Seen(Struct, frozen=True):
    """A version of the table that stood still and can be read."""

    table: Table
    identity: Identity

    @property
    def sha256(self) -> str:
        """The name of its text in the journal."""
        return self.table.sha256


def content(fd: int, size: int) -> bytes:
    """The first `size` + 1 bytes: one more than there should be shows that it grew."""
    pieces, place = [], 0
    while place <= size and (piece := os.pread(fd, size + 1 - place, place)):
        pieces.append(piece)
        place += len(piece)
    return b"".join(pieces)


def digest(data: bytes) -> str:
    """SHA-256, hex."""
    return hashlib.sha256(data).hexdigest()
