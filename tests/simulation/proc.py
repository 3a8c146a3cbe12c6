"""/proc and /sys, as far as burnish reads them."""

from __future__ import annotations

import errno
from types import SimpleNamespace

from simulation.files import Text
from simulation.filesystem import refuse
from simulation.machine import PID_NAMESPACE, TICKS, Process


def read(me: Process, path: str) -> Text:
    """The open file of a path below /proc. Raises OSError."""
    machine = me.machine
    match path.split("/")[2:]:
        case ["sys", "kernel", "random", "boot_id"]:
            return Text(machine, f"{machine.boot_id}\n".encode())
        case ["vmstat"]:
            return Text(machine, b"nr_free_pages 1\noom_kill 0\n")
        case ["1", "stat"]:
            return Text(machine, _stat(1, 0, machine.birth))
        case [pid, "stat"] if pid.isdigit():
            process = _process(me, pid, path)
            parent = process.parent.pid if process.parent is not None else 1
            return Text(machine, _stat(process.pid, parent, process.began))
        case ["self", "task", _, "children"]:
            return Text(
                machine, "".join(f"{child.pid} " for child in me.children + [z for z, _ in me.zombies]).encode()
            )
        case [pid, "environ"] if pid.isdigit():
            environment = _process(me, pid, path).environment
            return Text(machine, b"\0".join(name + b"=" + value for name, value in environment.items()) + b"\0")
    raise refuse(errno.ENOENT, path)


def names(me: Process, path: str) -> list[str]:
    """A listing below /proc."""
    if path == "/proc":
        return ["1", *map(str, me.machine.processes), "sys"]
    match path.split("/")[2:]:
        case [pid, "fd"] if pid.isdigit():
            return list(map(str, _process(me, pid, path).files))
    raise refuse(errno.ENOENT, path)


def target(me: Process, path: str) -> str:
    """Where a link below /proc leads."""
    match path.split("/")[2:]:
        case [pid, "fd", descriptor]:
            file = _process(me, pid, path).files.get(int(descriptor))
            if file is not None:
                inode = file[0].inode
                return file[0].path + (" (deleted)" if inode is not None and inode.links == 0 else "")
    raise refuse(errno.ENOENT, path)


def status(me: Process, path: str) -> SimpleNamespace:
    """What stat tells of a path below /proc."""
    if path == "/proc/self/ns/pid":
        return SimpleNamespace(st_ino=PID_NAMESPACE)
    raise refuse(errno.ENOENT, path)


def _process(me: Process, pid: str, path: str) -> Process:
    process = me.machine.processes.get(int(pid))
    if process is None:
        raise refuse(errno.ENOENT, path)
    return process


def _stat(pid: int, parent: int, began: float) -> bytes:
    fields = ["S", str(parent), *["0"] * 17, str(int(began * TICKS)), *["0"] * 30]
    return f"{pid} (a name) {' '.join(fields)}\n".encode()
