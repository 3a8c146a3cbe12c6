"""A file system that forgets what was not synced, and a server of one whose clients see it late.

What processes see is in `entries` and `data`; what a loss of power leaves is in `kept_entries` and `kept_data`. Syncing a file
keeps its bytes, and its name if it is new; syncing a folder keeps every change of names in it. Of changes that nobody synced, a
power loss leaves any part: in each folder the older ones first, a rename whole or not at all.

A `Server` (NFS) keeps names at once and bytes when their writer syncs or closes. Its clients may take an old listing for a new
one, miss a name that is there, or believe that a name which they missed is still missing.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

from simulation.world import Source, World

TICK = 0.004  # s, the grain of time stamps
BLOCK = 4096


def refuse(code: int, name: Any = None) -> OSError:
    """The OSError of this number."""
    return OSError(code, _sentence(code), name)


_sentence = lru_cache(os.strerror)


class Inode:
    """A file, folder or symbolic link."""

    __slots__ = (
        "ctime", "data", "dirty_by", "entries", "gid", "is_new", "kept_data", "kept_entries", "kind", "links", "lock_freed",
        "locks", "mode", "mtime", "number", "reserved", "target", "uid", "watched",
    )  # fmt: skip

    def __init__(self, number: int, kind: str, mode: int, now: float) -> None:
        self.number = number
        self.kind = kind  # file, folder, link
        self.mode = mode
        self.uid = self.gid = 1000
        self.links = 0
        self.mtime = self.ctime = now
        self.data = bytearray()
        self.kept_data: bytes | None = None  # None: nothing of it was ever synced
        self.dirty_by: Any = None  # the client of a server that has bytes which the server has not
        self.entries: dict[str, Inode] = {}
        self.kept_entries: dict[str, Inode] = {}
        self.target = ""
        self.is_new = True  # never synced
        self.reserved = 0  # bytes that a full disk cannot refuse
        self.locks: dict[Any, dict[Any, bool]] = {}  # domain -> open file -> alone
        self.lock_freed = Source()
        self.watched: list[Any] = []  # by whom, as inotify does


Change = list[tuple[Inode, str, "Inode | None"]]  # names that change together


class FileSystem:
    """A local disk."""

    remote = False

    def __init__(self, world: World, name: str, device: int) -> None:
        self.world = world
        self.name = name
        self.device = device
        self.random: Random = world.random(f"disk {name}")
        self.root = Inode(1, "folder", 0o755, world.now)
        self.full = False
        self.sync_fails = False
        self.on_named: Callable[[Inode, str, Inode | None], None] = lambda folder, name, inode: None
        self.on_torn: Callable[[bytes, bytes], None] = lambda whole, left: None
        self._next = 2
        self._unsynced: list[Change] = []

    # -- names -----------------------------------------------------------------------------------------------------

    def stamp(self) -> float:
        """The time as this disk notes it."""
        return int(self.world.now / TICK) * TICK

    def make(self, kind: str, mode: int) -> Inode:
        """An inode without a name. Raises OSError for a folder when the disk is full."""
        if kind == "folder" and self.full:
            self.refuse_full()
        self._next += 1
        return Inode(self._next, kind, mode, self.stamp())

    def change(self, *changes: tuple[Inode, str, Inode | None]) -> None:
        """Give names to inodes, or take them (None), all in one step."""
        now = self.stamp()
        for folder, name, inode in changes:
            old = folder.entries.pop(name, None)
            if old is not None:
                old.links -= 1
                old.ctime = now
            if inode is not None:
                folder.entries[name] = inode
                inode.links += 1
                inode.ctime = now
            folder.mtime = now
            self.on_named(folder, name, inode)
        self._unsynced.append(list(changes))

    def names(self, folder: Inode, client: Any) -> list[str]:
        """What a listing shows to `client`."""
        return list(folder.entries)

    def lookup(self, folder: Inode, name: str, client: Any) -> Inode | None:
        """What a name leads `client` to."""
        return folder.entries.get(name)

    # -- bytes -----------------------------------------------------------------------------------------------------

    def bytes_of(self, inode: Inode, client: Any) -> bytes | bytearray:
        """What `client` reads."""
        return inode.data

    def write(self, inode: Inode, data: bytes, place: int, client: Any) -> None:
        """Raises OSError when the disk is full and the space was not reserved."""
        end = place + len(data)
        if self.full and data and end > max(len(inode.data), inode.reserved):
            self.refuse_full()
        if place > len(inode.data):
            inode.data.extend(bytes(place - len(inode.data)))
        inode.data[place:end] = data
        inode.mtime = inode.ctime = self.stamp()
        self._tell(inode, client)

    def _tell(self, inode: Inode, client: Any) -> None:
        """Those who watch it hear of what their own machine did."""
        for changes in [changes for changes in inode.watched if changes.machine is client]:
            inode.watched.remove(changes)
            changes.tell(inode)

    def truncate(self, inode: Inode, size: int, client: Any) -> None:
        if size < len(inode.data):
            del inode.data[size:]
        else:
            inode.data.extend(bytes(size - len(inode.data)))
        inode.mtime = inode.ctime = self.stamp()
        self._tell(inode, client)

    def reserve(self, inode: Inode, size: int) -> None:
        if self.full:
            self.refuse_full()
        inode.reserved = size
        inode.data.extend(bytes(max(0, size - len(inode.data))))

    def sync(self, inode: Inode, client: Any) -> None:
        """Raises OSError while the disk cannot promise anything."""
        if self.sync_fails:
            self.world.fault("sync failed", self.name)
            raise refuse(errno.EIO)
        if inode.kind == "folder":
            mine = [change for change in self._unsynced if any(folder is inode for folder, _, _ in change)]
            for change in mine:
                self._keep(change)
                self._unsynced.remove(change)
        else:
            inode.kept_data = bytes(inode.data)
            self._keep_first_name(inode)

    def _keep_first_name(self, inode: Inode) -> None:
        """Who syncs a new file has its name kept, too; a name that it got by `link` or `rename` is another matter."""
        if inode.is_new:
            inode.is_new = False
            for change in [change for change in self._unsynced if len(change) == 1 and change[0][2] is inode][:1]:
                self._keep(change)
                self._unsynced.remove(change)

    def closed(self, inode: Inode, client: Any) -> None:
        """`client` has closed a file that it wrote."""

    def refuse_full(self) -> None:
        """Raise ENOSPC."""
        self.world.fault("disk full", self.name)
        raise refuse(errno.ENOSPC)

    # -- power -----------------------------------------------------------------------------------------------------

    def changes(self) -> list[Change]:
        """Changes of names that nobody synced, the oldest first."""
        return list(self._unsynced)

    def settle(self) -> None:
        """What is there now has been there long since."""
        for change in self._unsynced:
            self._keep(change)
        self._unsynced.clear()
        for inode in self.inodes():
            inode.kept_data = bytes(inode.data)

    def inodes(self) -> list[Inode]:
        """All that have a name."""
        found, queue = {}, [self.root]
        while queue:
            inode = queue.pop()
            if inode.number not in found:
                found[inode.number] = inode
                queue.extend(inode.entries.values())
        return list(found.values())

    def lose_power(self) -> None:
        """Leave what was synced, and of the rest whatever chance had written down already."""
        lost = 0
        chance = self.random.choice((0.0, 0.5, 0.9, 1.0))
        holes: set[int] = set()  # folders of which a change is lost: later ones are, too
        for change in self._unsynced:
            folders = {folder.number for folder, _, _ in change}
            if not folders & holes and self.random.random() < chance:
                self._keep(change)
            else:
                lost += 1
                holes |= folders
        self._unsynced.clear()
        queue, seen = [self.root], set()
        while queue:
            inode = queue.pop()
            if inode.number in seen:
                continue
            seen.add(inode.number)
            inode.locks.clear()
            if inode.kind == "folder":
                inode.entries = dict(inode.kept_entries)
                queue.extend(inode.entries.values())
            elif inode.kind == "file" and inode.kept_data != bytes(inode.data):
                lost += 1
                inode.data = bytearray(self._left_of(inode))
                inode.kept_data = bytes(inode.data)
        if lost:
            self.world.fault("unsynced writes lost", f"{self.name}: {lost}")

    def _left_of(self, inode: Inode) -> bytes:
        kept = inode.kept_data or b""
        # Never zeros for bytes that were appended: ext4, XFS and btrfs, as they are mounted by default, write a new size last.
        match self.random.randrange(3):
            case 0:
                return kept
            case 1:
                left = bytes(inode.data[: self.random.randint(0, len(inode.data))])
                self.on_torn(bytes(inode.data), left)
                return left
        return bytes(inode.data)

    def _keep(self, change: Change) -> None:
        for folder, name, inode in change:
            if inode is None:
                folder.kept_entries.pop(name, None)
            else:
                folder.kept_entries[name] = inode


class Server(FileSystem):
    """A disk that machines share over NFS. `staleness` is for how many s a client may believe what it saw last."""

    remote = True

    def __init__(self, world: World, name: str, device: int, staleness: float) -> None:
        super().__init__(world, name, device)
        self.staleness = staleness
        self.stale_handles = self.lost_answers = 0.0  # how probable, each time
        self._listed: dict[tuple[Any, int], tuple[float, list[str]]] = {}
        self._missed: dict[tuple[Any, int, str], float] = {}

    def change(self, *changes: tuple[Inode, str, Inode | None]) -> None:
        super().change(*changes)
        self._keep(self._unsynced.pop())  # a server answers when it is on its disk
        client = self.world.current.process.machine if self.world.current else None
        for folder, name, _ in changes:
            self._listed.pop((client, folder.number), None)
            self._missed.pop((client, folder.number, name), None)

    def names(self, folder: Inode, client: Any) -> list[str]:
        key, now = (client, folder.number), self.world.now
        names = list(folder.entries)
        then, before = self._listed.get(key, (-1.0, []))
        if now - then < self.staleness and self.world.faulty:
            if set(names) - set(before):
                self.world.fault("stale listing", str(len(names) - len(before)))
            return before
        self._listed[key] = now, names
        fresh = [name for name in names if now - folder.entries[name].ctime < 0.1]
        if fresh and self.world.faulty and self.staleness and self.random.random() < 0.3:
            self.world.fault("listing with a hole")
            names.remove(self.random.choice(fresh))
        return names

    def lookup(self, folder: Inode, name: str, client: Any) -> Inode | None:
        found = folder.entries.get(name)
        key = (client, folder.number, name)
        if found is None:
            self._missed[key] = self.world.now
        elif (then := self._missed.get(key)) is not None:
            if self.world.now - then < 10 * self.staleness and self.world.faulty:
                self.world.fault("stale lookup", name)
                return None
            del self._missed[key]
        return found

    def bytes_of(self, inode: Inode, client: Any) -> bytes | bytearray:
        return inode.data if inode.dirty_by in (None, client) else (inode.kept_data or b"")

    def write(self, inode: Inode, data: bytes, place: int, client: Any) -> None:
        if inode.dirty_by not in (None, client):
            self._flush(inode)
        super().write(inode, data, place, client)
        inode.dirty_by = client

    def truncate(self, inode: Inode, size: int, client: Any) -> None:
        super().truncate(inode, size, client)
        self._flush(inode)

    def sync(self, inode: Inode, client: Any) -> None:
        super().sync(inode, client)
        if inode.kind == "file" and inode.dirty_by is client:
            inode.dirty_by = None

    def closed(self, inode: Inode, client: Any) -> None:
        if inode.dirty_by is client:
            self._flush(inode)

    def _flush(self, inode: Inode) -> None:
        inode.kept_data, inode.dirty_by = bytes(inode.data), None

    def forget(self, client: Any) -> None:
        """A client has lost its power: what it had not sent is gone, and so are its locks."""
        lost = 0
        for inode in self.inodes():
            for domain in inode.locks.values():
                for file in [file for file in domain if file.machine is client]:
                    del domain[file]
            inode.lock_freed.notify()
            if inode.dirty_by is client:
                lost += 1
                inode.data, inode.dirty_by = bytearray(inode.kept_data or b""), None
        self._listed = {key: value for key, value in self._listed.items() if key[0] is not client}
        self._missed = {key: value for key, value in self._missed.items() if key[0] is not client}
        if lost:
            self.world.fault("unsynced writes lost", f"{self.name}: {lost}")
