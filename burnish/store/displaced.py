"""Inodes that were the table a moment ago, and what an editor may still write into them.

An editor that had the file open when burnish replaced it writes into an inode without the table's name: its save would be gone,
and it would never know. So each displaced inode keeps a name of burnish's own (`displaced-…`) and is watched for ten seconds
after the last sign of life. A save found there is merged like any other, and before a save that stands in the table's place now:
that one may have been made of it. What a coordinator that died has left is found by name.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Container
from contextlib import suppress

from msgspec import Struct

from burnish.core.table import Table, parse
from burnish.errors import InputError
from burnish.store import refusals
from burnish.store.version import TWO_LOOKS, UNFINISHED, Identity, Seen, content, digest

WATCHED = 10.0  # s
PREFIX = "displaced-"
TEMP = ".new-"
# Where these names stand beside the table, a user's own file may begin like one of them.
_DISPLACED = re.compile(rf"{PREFIX}[0-9a-f]{{16}}")
_TEMPORARY = re.compile(rf"\{TEMP}(?:{PREFIX}|clock-)[0-9a-f]{{16}}")
LEFT_BEHIND = 60.0  # s after which a temporary file belongs to nobody


class _Inode(Struct):
    path: str
    since: float  # the last sign of life
    sha256: str = ""  # of the content that is known
    identity: Identity | None = None  # when its content was last known
    looked: Identity | None = None
    looked_at: float = 0.0


class DisplacedInodes:
    """The displaced inodes of one table. `shown` is the table as the user wrote it; `own` is where unreadable saves are kept."""

    def __init__(self, own: str, shown: str) -> None:
        self.own = own
        self.shown = shown
        self._inodes: list[_Inode] = []

    def __bool__(self) -> bool:
        return bool(self._inodes)

    @property
    def unread(self) -> bool:
        """True while one of them may hold a save of which nothing is known yet."""
        return any(inode.identity is None for inode in self._inodes)

    def add(self, path: str, expected: Seen, now: float) -> None:
        """Watch what is named `path` now, and was taken to be `expected` when it was displaced."""
        self._inodes.append(_Inode(path, now, expected.sha256, expected.identity))

    def recover(self, folder: str, now: float) -> None:
        """Watch what coordinators that died have left in `folder`. Raises StoreError if it cannot be read."""
        mine = {inode.path for inode in self._inodes}
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            return
        except OSError as error:
            raise refusals.unkept(folder, error) from None
        for entry in entries:
            if _DISPLACED.fullmatch(entry.name) and entry.path not in mine:
                self._inodes.append(_Inode(entry.path, now))
            elif _TEMPORARY.fullmatch(entry.name) and _is_left_behind(entry):
                remove(entry.path)

    def next_save(self, now: float, known: Container[str]) -> Table | None:
        """A save that stands still in one of them, its sha256 not in `known`. Raises InputError for one that stays unreadable."""
        for inode in list(self._inodes):
            try:
                table = self._read(inode, now, known)
            except FileNotFoundError:
                self._inodes.remove(inode)  # cleaned away together with the rest
            except OSError:
                continue  # it may hold a save that cannot be read now: the next look tries again
            else:
                if table is not None:
                    return table
        return None

    def _read(self, inode: _Inode, now: float, known: Container[str]) -> Table | None:
        fd = os.open(inode.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._look(inode, fd, now, known)
        finally:
            os.close(fd)

    def _look(self, inode: _Inode, fd: int, now: float, known: Container[str]) -> Table | None:
        identity = Identity.of(os.fstat(fd))
        over = now - inode.since >= WATCHED
        if identity == inode.identity:
            if over:
                self._drop(inode)
            return None
        if identity != inode.looked:
            inode.looked, inode.looked_at, inode.since = identity, now, now
        data = content(fd, identity.size)
        sha256 = digest(data)
        table = None
        if data and sha256 != inode.sha256 and sha256 not in known:
            if now - inode.looked_at < (TWO_LOOKS if data.endswith(b"\n") else UNFINISHED):
                return None
            try:
                table = parse(data, self.shown)
            except InputError as error:
                if over:
                    raise self._keep_aside(inode, error) from None
                return None
        inode.identity, inode.sha256 = identity, sha256
        return table

    def _drop(self, inode: _Inode) -> None:
        self._inodes.remove(inode)
        remove(inode.path)

    def _keep_aside(self, inode: _Inode, error: InputError) -> InputError:
        self._inodes.remove(inode)
        place = os.path.join(self.own, f"unreadable-{secrets.token_hex(4)}.csv")
        try:
            os.rename(inode.path, place)
        except OSError:
            place = inode.path
        return InputError(error.problems, hint=f"This was saved while burnish wrote the table; it is kept as {place}.")


def _is_left_behind(entry: os.DirEntry[str]) -> bool:
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_ctime > LEFT_BEHIND
    except OSError:
        return False  # a run that is alive has just given it its name


def remove(path: str) -> None:
    """Unlink, unless somebody did. A name that the disk does not let go is found by the next coordinator, which tries again."""
    with suppress(OSError):
        os.unlink(path)
