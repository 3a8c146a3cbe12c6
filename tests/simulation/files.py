"""What a descriptor may lead to, besides a connection: files, folders, pipes, the ends of a socket pair, a watched process."""

from __future__ import annotations

import errno
from collections import deque
from typing import Any

from burnish.remote.agent.inotify import EVENT, IN_MODIFY
from simulation.filesystem import Inode, refuse
from simulation.machine import Machine, OpenFile, Process
from simulation.world import Source

IN_IGNORED = 0x8000  # a watch is gone

UNREAD = 2  # messages that a socket keeps for whoever reads slowly; Linux keeps eleven


class Null(OpenFile):
    """/dev/null."""

    def read(self, size: int) -> bytes:
        return b""

    def write(self, data: bytes) -> int:
        return len(data)


class Text(OpenFile):
    """What the kernel tells under /proc."""

    def __init__(self, machine: Machine, text: bytes) -> None:
        super().__init__(machine)
        self._text = text

    def read(self, size: int) -> bytes:
        piece, self._text = self._text[:size], self._text[size:]
        return piece


class Folder(OpenFile):
    """What a listing, or a call with `dir_fd`, is asked of."""


class RegularFile(OpenFile):
    def read(self, size: int) -> bytes:
        assert self.disk is not None and self.inode is not None
        piece = bytes(self.disk.bytes_of(self.inode, self.machine)[self.place : self.place + size])
        self.place += len(piece)
        return piece

    def write(self, data: bytes) -> int:
        assert self.disk is not None and self.inode is not None
        place = len(self.inode.data) if self.appends else self.place
        self.disk.write(self.inode, data, place, self.machine)
        self.place = place + len(data)
        return len(data)


class Pidfd(OpenFile):
    """Readable when its process has ended."""

    def __init__(self, machine: Machine, process: Process) -> None:
        super().__init__(machine)
        self.process = process
        self.sources = [process.ended]

    def readable(self) -> bool:
        return self.process.dead


class Changes(OpenFile):
    """inotify: readable when a watched file was written to by this machine. Each watch tells once (IN_MODIFY | IN_ONESHOT)."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self._watches = 0
        self._numbers: dict[Inode, int] = {}
        self._told = bytearray()
        self._arrived = Source()
        self.sources = [self._arrived]

    def watch(self, inode: Inode) -> int:
        """The number of the watch, the same while it is there."""
        if inode not in self._numbers:
            self._watches += 1
            self._numbers[inode] = self._watches
            inode.watched.append(self)
        return self._numbers[inode]

    def tell(self, inode: Inode) -> None:
        """It was written to."""
        for mask in (IN_MODIFY, IN_IGNORED):
            self._told += EVENT.pack(self._numbers[inode], mask, 0, 0)
        del self._numbers[inode]
        self._arrived.notify()

    def readable(self) -> bool:
        return bool(self._told)

    def read(self, size: int) -> bytes:
        piece, self._told = bytes(self._told), bytearray()
        return piece


class Pipe(OpenFile):
    """One end of a pipe."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.other: Pipe
        self.buffer = bytearray()
        self.arrived = Source()
        self.sources = [self.arrived]

    @classmethod
    def pair(cls, machine: Machine) -> tuple[Pipe, Pipe]:
        """The end to read from, and the end to write to."""
        ends = cls(machine), cls(machine)
        ends[0].other, ends[1].other = ends[1], ends[0]
        return ends

    def readable(self) -> bool:
        return bool(self.buffer) or self.other.users == 0

    def read(self, size: int) -> bytes:
        while not self.readable():
            self.machine.world.wait([self.arrived])
        piece = bytes(self.buffer[:size])
        del self.buffer[:size]
        return piece

    def write(self, data: bytes) -> int:
        if self.other.users == 0:
            raise refuse(errno.EPIPE)
        self.other.buffer += data
        self.other.arrived.notify()
        return len(data)

    def close(self) -> None:
        self.other.arrived.notify()


class PacketSocket(OpenFile):
    """One end of a pair that carries whole messages."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        self.other: PacketSocket
        self.queue: deque[bytes] = deque()
        self.arrived = Source()
        self.sources = [self.arrived]
        self.reset = False  # the other end went away with messages that it had not read

    def readable(self) -> bool:
        return bool(self.queue) or self.other.users == 0

    def give(self, message: bytes, most: int | None) -> None:
        """Send. Raises OSError when nobody is at the other end, or `most` messages are unread there."""
        if self.other.users == 0:
            raise refuse(errno.EPIPE)
        if most is not None and len(self.other.queue) >= most:
            raise refuse(errno.EAGAIN)
        self.other.queue.append(message)
        self.other.arrived.notify()

    def take(self) -> bytes:
        """The next message; an empty one when the other end is gone. Raises OSError if that did not read all it was sent."""
        while not self.readable():
            self.machine.world.wait([self.arrived])
        if not self.queue and self.reset:
            raise refuse(errno.ECONNRESET)
        return self.queue.popleft() if self.queue else b""

    def close(self) -> None:
        self.other.reset = bool(self.queue)
        self.other.arrived.notify()
        self.queue.clear()


class Packets:
    """A socket object over a descriptor: what a fork leaves to parent and child alike."""

    def __init__(self, os: Any, descriptor: int) -> None:
        self._os = os
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def setsockopt(self, *option: Any) -> None:
        pass

    def send(self, message: bytes, flags: int = 0) -> int:
        """Raises OSError when nobody is at the other end, or with flags, not to wait, when much is unread there."""
        self._os.world.effect("send", self._descriptor)
        self._os.file(self._descriptor).give(message, most=UNREAD if flags else None)
        return len(message)

    def recv(self, size: int) -> bytes:
        self._os.world.effect("recv", self._descriptor, reads=True)
        message: bytes = self._os.file(self._descriptor).take()
        return message

    def close(self) -> None:
        self._os.close(self._descriptor)
