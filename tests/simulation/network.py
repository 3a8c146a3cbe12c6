"""The way from a coordinator to a host: bytes in flight, which arrive late, in pieces, after a reconnect, or never.

A connection has a stream each way. A stream keeps the order of its bytes, as TCP does. While the way to a host is blocked nothing
arrives; when it is free again, what was in flight is delivered, to whoever still listens: an agent may get orders whose
coordinator has long connected again or died. A connection that is cut delivers some of what is in flight, up to any byte; then
both ends hear of it, or neither does.
"""

from __future__ import annotations

import errno
import json
from collections import deque
from collections.abc import Callable
from typing import Any

from burnish.errors import HostUnreachable
from burnish.remote.agent.serving import serve
from simulation.filesystem import refuse
from simulation.machine import Machine, OpenFile, Process
from simulation.world import Killed, Source, World

WINDOW = 1 << 20  # bytes in flight or unread that a writer need not wait for
CONNECT_LIMIT = 15.0  # s


class Way:
    """Between the coordinators of one machine and one host. `blocked_until`: nothing arrives before that."""

    def __init__(self, world: World, home: Machine, host: Machine) -> None:
        self.world = world
        self.home = home
        self.host = host
        self.random = world.random(f"way {home.name} {host.name}")
        self.latency = self.random.choice((0.0005, 0.005, 0.08))
        self.blocked_until = 0.0
        self.connections: list[Connection] = []

    @property
    def blocked(self) -> bool:
        return self.world.now < self.blocked_until


class Stream:
    """Bytes one way. `late` counts those that arrived although their sender had left."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.world = way.world
        self.in_flight: deque[tuple[float, bytes]] = deque()  # (when it is due, bytes); b"" is the end
        self.buffer = bytearray()
        self.ended = False
        self.arrived = Source()
        self.taken = Source()
        self.budget: int | None = None  # bytes that still arrive before it is cut
        self.on_budget: Callable[[], None] = lambda: None

    @property
    def load(self) -> int:
        return len(self.buffer) + sum(len(data) for _, data in self.in_flight)

    def send(self, data: bytes) -> None:
        """Put bytes on their way; b"" ends the stream."""
        random = self.way.random
        due = self.world.now + self.way.latency * random.uniform(1, 1.5)
        if self.in_flight:
            due = max(due, self.in_flight[-1][0])
        self.in_flight.append((due, data))
        self.world.at(due, self._deliver)

    def _deliver(self) -> None:
        if self.way.blocked:
            if self.way.blocked_until - self.world.now < 1:
                self.world.fault("messages delayed", self.way.host.name)
            self.world.at(self.way.blocked_until, self._deliver)
            return
        while self.in_flight and self.in_flight[0][0] <= self.world.now:
            data = self.in_flight.popleft()[1]
            if self.budget is not None:
                data, whole = data[: self.budget], data
                self.budget -= len(data)
                if len(data) < len(whole):
                    self.buffer += data
                    self.on_budget()
                    return
            if data and not self.ended:
                self.buffer += data
            elif not data:
                self.ended = True
        self.arrived.notify()

    def break_off(self) -> None:
        """Nothing more arrives, and the reader hears of it."""
        self.in_flight.clear()
        self.ended = True
        self.arrived.notify()
        self.taken.notify()


class Connection:
    """One channel: `down` carries orders to the host, `up` the agent's words."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.down = Stream(way)
        self.up = Stream(way)
        self.broken = False  # the coordinator's end was told so
        self.closed = False
        way.connections.append(self)

    def cut(self, down: int, up: int) -> None:
        """Break it when so many more bytes have arrived each way; both ends hear of it at once."""
        self.broken = True
        for stream, left in ((self.down, down), (self.up, up)):
            stream.budget = left
            for piece in list(stream.in_flight):
                data = piece[1][: stream.budget]
                stream.buffer += data
                stream.budget -= len(data)
            stream.break_off()
        self._leave()

    def close(self) -> None:
        """The coordinator's end is closed, by itself or by its process's death; what it sent is still on its way."""
        if not self.closed:
            self.closed = True
            if self.way.blocked and self.down.in_flight:
                self.way.world.fault("orders late after their sender", str(len(self.down.in_flight)))
            self.down.send(b"")
            self.up.break_off()
            self._leave()

    def _leave(self) -> None:
        if self in self.way.connections:
            self.way.connections.remove(self)


class HostEnd(OpenFile):
    """Descriptor 0 or 1 of an agent."""

    def __init__(self, machine: Machine, connection: Connection) -> None:
        super().__init__(machine)
        self.connection = connection
        self.sources = [connection.down.arrived]

    def readable(self) -> bool:
        return bool(self.connection.down.buffer) or self.connection.down.ended

    def read(self, size: int) -> bytes:
        stream = self.connection.down
        while not self.readable():
            self.machine.world.wait([stream.arrived])
        piece = bytes(stream.buffer[:size])
        del stream.buffer[:size]
        stream.taken.notify()
        return piece

    def write(self, data: bytes) -> int:
        stream = self.connection.up
        while stream.load > WINDOW and not stream.ended:
            self.machine.world.wait([stream.taken])
        if stream.ended or self.connection.closed:
            raise refuse(errno.EPIPE)
        stream.send(data)
        return len(data)


class OutEnd(HostEnd):
    """Its last closing is the end of the agent's words."""

    def close(self) -> None:
        if self.machine.up and not self.connection.up.ended:
            self.connection.up.send(b"")


class Channel:
    """A coordinator's end: `burnish.remote.transport.Channel`."""

    def __init__(self, host: str, connection: Connection) -> None:
        self.nonce = ""
        self._host = host
        self._connection = connection
        self._world = connection.way.world

    def read(self, size: int) -> bytes:
        self._world.effect("hear", self._host, reads=True)
        stream = self._connection.up
        while not stream.buffer and not stream.ended:
            self._world.wait([stream.arrived])
        piece = bytes(stream.buffer[:size])
        del stream.buffer[:size]
        stream.taken.notify()
        if not piece and self._connection.broken and not self._connection.closed:
            raise HostUnreachable(f"{self._host}: the connection broke.")
        return piece

    def write(self, data: bytes) -> None:
        stream = self._connection.down
        self._world.effect("send", self._host, len(data))
        while stream.load > WINDOW and not (self._connection.closed or self._connection.broken):
            self._world.wait([stream.taken, self._connection.up.arrived])
        if self._connection.closed or self._connection.broken:
            raise HostUnreachable(f"{self._host}: the connection is gone.")
        stream.send(data)

    def close(self) -> None:
        self._connection.close()


class Transport:
    """The way to one host: `burnish.remote.transport.Transport`. `owner` is the process whose death closes what it opened."""

    def __init__(self, way: Way, name: str, owner: Process, login: Callable[[Connection], Process]) -> None:
        self.name = name
        self._way = way
        self._owner = owner
        self._login = login

    def open(self) -> Channel:
        world, way = self._way.world, self._way
        world.effect("connect", self.name)
        deadline = world.now + CONNECT_LIMIT
        world.sleep(4 * way.latency + 0.02)
        while way.blocked or not way.host.up:
            if world.now >= deadline:
                raise HostUnreachable(f"{self.name}: no answer.")
            world.sleep(min(1.0, deadline - world.now))
        connection = Connection(way)
        self._login(connection)
        self._owner.connections.append(connection)
        return Channel(self.name, connection)


def log_in(world: World, host: Machine, connection: Connection) -> Process:
    """What sshd does: a process of the loader, with the connection as its descriptors 0 and 1."""
    process = Process(host, "agent", None, {b"PATH": b"/usr/bin", b"HOME": b"/home/ann"})
    process.put(0, HostEnd(host, connection), True)
    process.put(1, OutEnd(host, connection), True)
    process.put(2, OpenFile(host), True)
    process.connection = connection  # type: ignore[attr-defined]
    process.begin(lambda: _load(process))
    return process


def _load(process: Process) -> None:
    """The loader's part: read the agent's source, whole; then the real agent serves."""
    stdin = process.files[0][0]
    text = b""
    while b"\n" not in text:
        if not (piece := stdin.read(1 << 16)):
            process.exit(1)
        text += piece
    line, _, source = text.partition(b"\n")
    greeting: dict[str, Any] = json.loads(line)
    while len(source) < greeting["size"]:
        if not (piece := stdin.read(greeting["size"] - len(source))):
            process.exit(1)
        source += piece
    if process.dead:
        raise Killed
    serve(greeting["nonce"])
