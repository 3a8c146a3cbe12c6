"""The other modules that burnish asks for its surroundings, as simulated processes see them: time, threads, signals, locks, …"""

from __future__ import annotations

import errno
import fcntl as real_fcntl
import os as real_os
import queue
import select as real_select
import signal as real_signal
import socket as real_socket
import time as real_time
from collections import deque
from collections.abc import Callable
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

from simulation.files import Changes, Packets, PacketSocket
from simulation.filesystem import refuse
from simulation.machine import Process
from simulation.os_layer import Os
from simulation.world import Source, World

NR_PIDFD_SEND_SIGNAL, NR_PIDFD_OPEN = 424, 434
NO_INOTIFY = 0.2  # how probable it is that the kernel has none left for this user


class Time:
    """`time`."""

    def __init__(self, os: Os) -> None:
        self._os = os

    def monotonic(self) -> float:
        return self._os.world.now

    def time(self) -> float:
        return self._os.world.now + self._os.me.machine.skew

    def time_ns(self) -> int:
        return round(self.time() * 1e9)

    def sleep(self, seconds: float) -> None:
        self._os.world.sleep(seconds)

    def localtime(self, at: float) -> real_time.struct_time:
        return real_time.gmtime(at)

    def strftime(self, pattern: str, at: real_time.struct_time) -> str:
        return real_time.strftime(pattern, at)


class Secrets:
    """`secrets`, and what is used of `random`."""

    def __init__(self, os: Os) -> None:
        self._os = os

    def token_hex(self, size: int) -> str:
        return self._os.urandom(size).hex()

    def uniform(self, low: float, high: float) -> float:
        return self._os.me.machine.random.uniform(low, high)


class Fcntl:
    """`fcntl`: flock, between open files, on the inode."""

    LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN = (
        real_fcntl.LOCK_SH,
        real_fcntl.LOCK_EX,
        real_fcntl.LOCK_NB,
        real_fcntl.LOCK_UN,
    )
    F_DUPFD = real_fcntl.F_DUPFD

    def __init__(self, os: Os) -> None:
        self._os = os

    def flock(self, descriptor: int, how: int) -> None:
        world, me = self._os.world, self._os.me
        world.effect("flock", descriptor, how)
        file = self._os.file(descriptor)
        inode, disk = file.inode, file.disk
        assert inode is not None and disk is not None
        disk.closed(inode, me.machine)  # a client sends what it has written before it asks for a lock
        if disk.remote and me.machine.has_no_locks:
            world.fault("no locks")
            raise refuse(errno.ENOLCK)
        domain = me.machine if disk.remote and me.machine.lies_about_locks else None
        holders = inode.locks.setdefault(domain, {})
        alone = bool(how & real_fcntl.LOCK_EX)
        others = [held for other, held in holders.items() if other is not file]
        if any(alone or held for held in others):
            raise BlockingIOError(errno.EAGAIN, "taken")
        if domain is not None and any(holders for where, holders in inode.locks.items() if where is not domain):
            world.fault("lying lock")
        holders[file] = alone
        if alone and me.on_locked is not None:
            me.on_locked()

    def fcntl(self, descriptor: int, command: int, value: int) -> int:
        assert command == real_fcntl.F_DUPFD
        return self._os.me.install(self._os.file(descriptor), value, inherited=True)


class Signal:
    """`signal`."""

    def __init__(self, os: Os) -> None:
        self._os = os
        vars(self).update({name: value for name, value in vars(real_signal).items() if name.startswith("SIG")})

    def signal(self, number: int, action: Any) -> None:
        assert action in (real_signal.SIG_IGN, real_signal.SIG_DFL)
        ignored = self._os.me.ignored
        ignored.add(number) if action is real_signal.SIG_IGN else ignored.discard(number)

    def getsignal(self, number: int) -> Any:
        return real_signal.SIG_IGN if number in self._os.me.ignored else real_signal.SIG_DFL

    def valid_signals(self) -> set[int]:
        return real_signal.valid_signals()

    def pthread_sigmask(self, how: int, numbers: tuple[int, ...]) -> None:
        self._os.me.blocked.update(numbers)

    def alarm(self, seconds: int) -> None:
        """No call on these machines hangs for so long."""

    def sigtimedwait(self, numbers: tuple[int, ...], seconds: float) -> Any:
        world, me = self._os.world, self._os.me
        world.effect("sigtimedwait", reads=True)
        end = world.now + seconds
        while True:
            for number in numbers:
                if number in me.pending:
                    me.pending.remove(number)
                    return SimpleNamespace(si_signo=number)
            if world.now >= end:
                return None
            world.wait([me.signalled], end)


class Select:
    """`select`: poll."""

    POLLIN, POLLHUP, POLLNVAL = real_select.POLLIN, real_select.POLLHUP, real_select.POLLNVAL

    def __init__(self, os: Os) -> None:
        self.poll: Callable[[], Poll] = lambda: Poll(os)


class Poll:
    def __init__(self, os: Os) -> None:
        self._os = os
        self._descriptors: dict[int, None] = {}

    def register(self, descriptor: int, events: int) -> None:
        self._descriptors[descriptor] = None

    def unregister(self, descriptor: int) -> None:
        del self._descriptors[descriptor]

    def poll(self, milliseconds: float | None = None) -> list[tuple[int, int]]:
        world = self._os.world
        world.effect("poll", reads=True)
        end = None if milliseconds is None else world.now + milliseconds / 1000
        while True:
            files = self._os.me.files
            found = [(fd, real_select.POLLIN) for fd in self._descriptors if fd not in files or files[fd][0].readable()]
            if found or (end is not None and world.now >= end):
                return found
            world.wait([source for fd in self._descriptors for source in files[fd][0].sources], end)


class Socket:
    """`socket`: pairs, and the name of this machine."""

    AF_UNIX, SOCK_SEQPACKET, SOL_SOCKET, SO_SNDBUF = real_socket.AF_UNIX, real_socket.SOCK_SEQPACKET, 1, 7
    MSG_DONTWAIT = real_socket.MSG_DONTWAIT
    socket = object

    def __init__(self, os: Os) -> None:
        self._os = os

    def gethostname(self) -> str:
        return self._os.me.machine.name

    def socketpair(self, family: int, kind: int) -> tuple[Packets, Packets]:
        self._os.world.effect("socketpair")
        me = self._os.me
        ends = PacketSocket(me.machine), PacketSocket(me.machine)
        ends[0].other, ends[1].other = ends[1], ends[0]
        return Packets(self._os, me.install(ends[0])), Packets(self._os, me.install(ends[1]))


class Libc:
    """What the agent asks of the C library itself."""

    def __init__(self, os: Os) -> None:
        self._os = os

    def prctl(self, *arguments: int) -> int:
        self._os.me.subreaper = True
        return 0

    def syscall(self, number: int, *arguments: Any) -> int:
        if number == NR_PIDFD_OPEN:
            return self._os.pidfd(arguments[0])
        assert number == NR_PIDFD_SEND_SIGNAL
        self._os.world.effect("pidfd_send_signal", arguments[1])
        self._os.file(arguments[0]).process.deliver(arguments[1])  # type: ignore[attr-defined]
        return 0

    def inotify_init1(self, flags: int) -> int:
        me: Process = self._os.world.effect("inotify_init1", flags)
        return me.install(Changes(me.machine)) if me.machine.random.random() >= NO_INOTIFY else -1

    def inotify_add_watch(self, descriptor: int, path: bytes, mask: Any) -> int:
        me: Process = self._os.world.effect("inotify_add_watch", path)
        try:
            _, inode = self._os.find(me, path.decode())
        except OSError:
            return -1
        number: int = self._os.file(descriptor).watch(inode)  # type: ignore[attr-defined]
        return number


class NoGc:
    """`gc`: the memory is not the simulated process's own."""

    def collect(self) -> None: ...

    def freeze(self) -> None: ...

    def disable(self) -> None: ...

    def enable(self) -> None: ...


class SimpleQueue:
    """`queue.SimpleQueue`."""

    os: Os

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._filled = Source()

    @classmethod
    def __class_getitem__(cls, item: Any) -> Any:
        return cls

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._filled.notify()

    def get(self, timeout: float | None = None) -> Any:
        world = self.os.world
        end = None if timeout is None else world.now + timeout
        while not self._items:
            if end is not None and world.now >= end:
                raise queue.Empty
            world.wait([self._filled], end)
        return self._items.popleft()

    def get_nowait(self) -> Any:
        if not self._items:
            raise queue.Empty
        return self._items.popleft()

    def empty(self) -> bool:
        return not self._items


class Event:
    def __init__(self, world: World) -> None:
        self._world = world
        self._set = False
        self._happened = Source()

    def set(self) -> None:
        self._set = True
        self._happened.notify()

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        end = self._world.now + seconds
        while not self._set and self._world.now < end:
            self._world.wait([self._happened], end)
        return self._set


class Lock:
    """Held only while nothing waits, so it never is."""

    def __enter__(self) -> None: ...

    def __exit__(self, *error: Any) -> None: ...


class Thread:
    def __init__(self, os: Os, work: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._os = os
        self._work = lambda: work(*args)
        self._task: Any = None

    def start(self) -> None:
        me = self._os.me
        self._task = self._os.world.spawn(me, f"{me.name}+", self._work)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.over

    def join(self, timeout: float) -> None:
        end = self._os.world.now + timeout
        while not self._task.over and self._os.world.now < end:
            self._os.world.wait([self._task.done], end)


class Threading:
    """`threading`."""

    def __init__(self, os: Os) -> None:
        self._os = os
        self.Lock = Lock

    def Event(self) -> Event:
        return Event(self._os.world)

    def Thread(self, *, target: Callable[..., None], args: tuple[Any, ...] = (), **how: Any) -> Thread:
        return Thread(self._os, target, args)


class SimulatedPath(PurePosixPath):
    """`pathlib.Path`, as far as burnish calls it."""

    os: Os

    def exists(self) -> bool:
        return self.os.path.exists(self)

    def stat(self) -> Any:
        return self.os.stat(self)

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        (self.os.makedirs if parents else self.os.mkdir)(self, mode, **({"exist_ok": exist_ok} if parents else {}))

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            self.os.unlink(self)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def open(self, mode: str = "rb") -> Any:
        flags = real_os.O_RDONLY if mode == "rb" else real_os.O_WRONLY | real_os.O_CREAT | real_os.O_TRUNC
        return self.os.fdopen(self.os.open(self, flags))

    def read_bytes(self) -> bytes:
        with self.open() as file:
            return bytes(file.read())

    def read_text(self, **how: Any) -> str:
        return self.read_bytes().decode()

    def write_bytes(self, data: bytes) -> None:
        with self.open("wb") as file:
            file.write(data)

    def write_text(self, text: str, **how: Any) -> None:
        self.write_bytes(text.encode())


class FileLock:
    """`filelock.FileLock` with timeout 0."""

    os: Os
    fcntl: Fcntl

    def __init__(self, path: Any, timeout: float) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        import filelock

        self._descriptor = self.os.open(self._path, real_os.O_RDWR | real_os.O_CREAT | real_os.O_TRUNC, 0o600)
        try:
            self.fcntl.flock(self._descriptor, Fcntl.LOCK_EX | Fcntl.LOCK_NB)
        except OSError as error:
            self.release()
            if error.errno == errno.EAGAIN:
                raise filelock.Timeout(str(self._path)) from None
            raise

    def release(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self.os.close(descriptor)


def fork(os: Os) -> Callable[[Callable[[], None]], int]:
    """The agent's `fork`: the child has copies of all descriptors, and does its work."""

    def do(work: Callable[[], None]) -> int:
        os.world.effect("fork")
        me = os.me
        child = Process(me.machine, "supervisor", me, dict(me.environment))
        child.cwd, child.blocked, child.ignored = me.cwd, set(me.blocked), set(me.ignored)
        for descriptor, (file, inherited) in me.files.items():
            child.put(descriptor, file, inherited)
        child.begin(work)
        return child.pid

    return do
