"""Machines and their processes: what the kernel knows of them.

A process has open files, children, signals and tasks (its threads). When it dies, the kernel closes its files, which frees its
locks, hands its children to the nearest subreaper, and tells its parent; nothing else happens. A machine that loses its power
loses all processes and what its disks had not synced, and boots with another boot id.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from simulation.filesystem import FileSystem, Inode, Server
from simulation.world import Killed, Source, Task, World, shown

TICKS = 100  # per s, of process times
PID_NAMESPACE = 4026531836
ABANDONED = 200.0  # s after which a host gives up a peer that it does not hear
IMMEDIATE = (signal.SIGKILL, signal.SIGSTOP)
HARMLESS = (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH)


@lru_cache(maxsize=1 << 14)
def names_of(path: str) -> tuple[tuple[str, ...], str]:
    """The folders of a path, and its last name; "" if it has none."""
    parts = [name for name in path.split("/") if name not in ("", ".")]
    return tuple(parts[:-1]), parts[-1] if parts else ""


class OpenFile:
    """An open file description: shared by all descriptors that were duplicated, inherited or passed on."""

    place = 0
    appends = False
    writes = False
    users = 0
    sources: Sequence[Source] = ()

    def __init__(
        self, machine: Machine, disk: FileSystem | None = None, inode: Inode | None = None, path: str = ""
    ) -> None:
        self.machine = machine
        self.disk = disk
        self.inode = inode
        self.path = path

    def readable(self) -> bool:
        """True if a read would not wait."""
        return True

    def read(self, size: int) -> bytes:
        raise NotImplementedError

    def write(self, data: bytes) -> int:
        raise NotImplementedError

    def let_go(self) -> None:
        """A descriptor less."""
        self.users -= 1
        if self.users == 0:
            self.close()

    def close(self) -> None:
        """The last descriptor is gone."""
        inode = self.inode
        if inode is None or self.disk is None:
            return
        for holders in inode.locks.values():
            if holders.pop(self, None) is not None:
                inode.lock_freed.notify()
        if self.writes:
            self.disk.closed(inode, self.machine)


class Process:
    """A simulated process. Its `tasks` run real code, or a job's."""

    def __init__(self, machine: Machine, kind: str, parent: Process | None, environment: dict[bytes, bytes]) -> None:
        self.machine = machine
        self.world = machine.world
        self.kind = kind  # coordinator, verb, editor, agent, supervisor, job
        self.pid = machine.next_pid()
        self.parent = parent
        self.began = self.world.now
        self.environment = environment
        self.cwd = "/"
        self.files: dict[int, tuple[OpenFile, bool]] = {}  # descriptor -> (file, inherited at exec)
        self.children: list[Process] = []
        self.zombies: list[tuple[Process, int]] = []
        self.child_ended = Source()
        self.ended = Source()
        self.subreaper = False
        self.blocked: set[int] = set()
        self.ignored: set[int] = set()
        self.pending: list[int] = []
        self.signalled = Source()
        self.tasks: list[Task] = []
        self.dead = False
        self.status = 0
        self.frozen_until = 0.0
        self.armed: Callable[[str], None] | None = None
        self.on_locked: Callable[[], None] | None = None  # called with each lock that it has for itself alone
        self.about: Any = None  # what the world's ledger knows it by
        self.connections: list[Any] = []  # to hosts; closed when it ends
        machine.processes[self.pid] = self
        if parent is not None:
            parent.children.append(self)

    @property
    def name(self) -> str:
        return f"{self.machine.name}/{self.kind}-{self.pid}"

    def begin(self, work: Callable[[], None]) -> None:
        """Run `work` as its main thread; when that returns, the process ends with status 0."""

        def main() -> None:
            work()
            self.exit(0)

        self.world.spawn(self, self.name, main)

    # -- descriptors -----------------------------------------------------------------------------------------------

    def install(self, file: OpenFile, at_least: int = 3, inherited: bool = False) -> int:
        """A new descriptor of `file`."""
        files, descriptor = self.files, at_least
        while descriptor in files:
            descriptor += 1
        file.users += 1
        files[descriptor] = file, inherited
        return descriptor

    def put(self, descriptor: int, file: OpenFile, inherited: bool) -> None:
        """Make `descriptor` lead to `file`."""
        file.users += 1
        if (old := self.files.get(descriptor)) is not None:
            old[0].let_go()
        self.files[descriptor] = file, inherited

    # -- ends ------------------------------------------------------------------------------------------------------

    def exit(self, status: int) -> None:
        """End by itself. Does not return."""
        self.die(status << 8)
        raise Killed

    def die(self, status: int) -> None:
        """End with this wait status, in the midst of whatever it does."""
        if self.dead:
            return
        self.dead, self.status = True, status
        self.world.note(f"{self.name} ends ({status})")
        self.world.doom(self.tasks)
        for file, _ in list(self.files.values()):
            file.let_go()
        self.files.clear()
        for connection in self.connections:
            if self.machine.up:
                connection.close()
            else:  # nobody is there to say so
                self.world.at(self.world.now + ABANDONED, connection.close)
        self._hand_over()
        self.machine.processes.pop(self.pid, None)
        self.ended.notify()
        self.machine.on_end(self)
        if self.parent is not None and not self.parent.dead:
            self.parent.children.remove(self)
            self.parent.zombies.append((self, status))
            self.parent.child_ended.notify()
            self.parent.deliver(signal.SIGCHLD)

    def _hand_over(self) -> None:
        heir = self.parent
        while heir is not None and (heir.dead or not heir.subreaper):
            heir = heir.parent
        for child in self.children:
            child.parent = heir
            if heir is not None:
                heir.children.append(child)
        if heir is not None and self.zombies:
            heir.zombies.extend(self.zombies)
            heir.child_ended.notify()
            heir.deliver(signal.SIGCHLD)
        self.children = []

    def deliver(self, number: int) -> None:
        """A signal comes."""
        if self.dead:
            return
        if number in self.blocked and number not in IMMEDIATE:
            if number not in self.pending:
                self.pending.append(number)
            self.signalled.notify()
        elif number not in HARMLESS and (number in IMMEDIATE or number not in self.ignored):
            self.die(number)

    def crashed(self, task: Task, error: Exception) -> None:
        """A thread ended with an exception that nobody caught."""
        self.world.note(f"{task.name} raised {error!r}")
        self.machine.on_crash(self, task, error)
        self.die(1 << 8)

    def task_ended(self, task: Task) -> None:
        if task in self.tasks:
            self.tasks.remove(task)


class Machine:
    """A computer. `disks`: mount point -> disk, the root's is `/`; see `mount`. `skew`: s by which its wall clock is wrong."""

    def __init__(self, world: World, name: str, number: int) -> None:
        self.world = world
        self.name = name
        self.number = number
        self.random = world.random(f"machine {name}")
        self.disk = FileSystem(world, name, 100 + number)
        self.disks: dict[str, FileSystem] = {"/": self.disk}
        self._mounts: list[tuple[str, FileSystem]] = []  # all others, whose names are no part of each other's
        self.skew = 1.6e9 + self.random.choice((0.0, 0.0, 0.3, -5.0, 7200.0))
        self.processes: dict[int, Process] = {}
        self.up = True
        self.boots = 0
        self.birth = world.now  # of pid 1
        self.lies_about_locks = False
        self.has_no_locks = False
        self.on_end: Callable[[Process], None] = lambda process: None
        self.on_crash: Callable[[Process, Task, Exception], None] = lambda process, task, error: world.fail(
            shown(error)
        )
        self._last_pid = 100 + self.random.randrange(300)

    @property
    def boot_id(self) -> str:
        return f"{self.number:08x}-boot-{self.boots}"

    @property
    def incarnation(self) -> str:
        """As the agent makes it."""
        return f"{self.boot_id}.{int(self.birth * TICKS)}.{PID_NAMESPACE}"

    def mount(self, point: str, disk: FileSystem) -> None:
        """From now on, what is below `point` is on that disk."""
        self.disks[point] = disk
        self._mounts.append((point, disk))

    def way_to(self, path: str) -> tuple[FileSystem, tuple[tuple[str, ...], str]]:
        """The disk of an absolute path, and its `names_of` from that disk's root on."""
        for point, disk in self._mounts:
            if path.startswith(point) and path[len(point) : len(point) + 1] in ("", "/"):
                return disk, names_of(path[len(point) :])
        return self.disk, names_of(path)

    def next_pid(self) -> int:
        """Pids come round again, quickly."""
        while True:
            self._last_pid = 100 + (self._last_pid - 99) % 400
            if self._last_pid not in self.processes:
                return self._last_pid

    def start(self, kind: str, work: Callable[[], None], environment: dict[bytes, bytes] | None = None) -> Process:
        """A process that nobody waits for."""
        process = Process(self, kind, None, {b"PATH": b"/usr/bin", b"HOME": b"/home/ann", **(environment or {})})
        process.begin(work)
        return process

    def lose_power(self) -> None:
        """All processes end at once, and with them what no disk had kept."""
        self.up = False
        self.stop_all()
        for disk in dict.fromkeys(self.disks.values()):
            if isinstance(disk, Server):
                disk.forget(self)
            else:
                disk.lose_power()

    def stop_all(self) -> None:
        """Every process ends, the disks live on: a container that is restarted."""
        for process in list(self.processes.values()):
            process.die(signal.SIGKILL)

    def boot(self) -> None:
        """It is there again, as another incarnation."""
        self.up = True
        self.boots += 1
        self.birth = self.world.now
