"""Processes as /proc shows them: each known by its pid and its start time, so that none is taken for a later one of its pid."""

from __future__ import annotations

import ctypes
import os
import stat

from .files import read_bytes, read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, TypeVar

    T = TypeVar("T")

PR_SET_CHILD_SUBREAPER = 36
SYS_PIDFD_SEND_SIGNAL = 424  # the same number on every architecture
SYS_PIDFD_OPEN = 434
GRACE = 10.0  # s between TERM and KILL, unless asked otherwise

libc = ctypes.CDLL(None, use_errno=True)


class Process:
    """A living process as /proc shows it. `started` is in clock ticks after boot: with the pid, it names one process."""

    __slots__ = ("parent", "pid", "started")

    def __init__(self, pid: int, parent: int, started: int) -> None:
        self.pid = pid
        self.parent = parent
        self.started = started


def read_process(pid: int) -> Optional[Process]:
    """The process `pid`; None if it is gone or only waits to be collected.

    One whose first thread has ended looks like that, too, but for the number of its threads: it runs, and holds what it holds.
    """
    try:
        text = read_bytes("/proc/%d/stat" % pid)
    except OSError:
        return None
    fields = text[text.rfind(b")") + 2 :].split()
    if len(fields) < 20 or (fields[0] in (b"Z", b"X") and int(fields[17]) <= 1):
        return None
    return Process(pid, int(fields[1]), int(fields[19]))


def all_processes() -> Dict[int, Process]:
    """All living processes that can be seen, by pid."""
    found = (read_process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process is not None}


def recorded_process(identity: Any) -> Optional[Process]:
    """What a record says of a process, {"pid": …, "starttime": …}, which may be gone by now."""
    if not isinstance(identity, dict) or not isinstance(identity.get("pid"), int):
        return None
    started = identity.get("starttime")
    return Process(identity["pid"], 0, started if isinstance(started, int) else 0)


def is_alive(process: Process) -> bool:
    """True while this very process runs, and not a later one of the same pid."""
    now = read_process(process.pid)
    return now is not None and now.started == process.started


def incarnation() -> str:
    """Changes when every process of the host is gone: boot id, start time of pid 1, inode of the pid namespace.

    Its last two parts also depend on who looks: pid 1 may be hidden, and a container has a namespace of its own.
    """
    first = read_process(1)
    namespace = os.stat("/proc/self/ns/pid").st_ino
    boot = read_text("/proc/sys/kernel/random/boot_id") or "unknown"
    return "%s.%d.%d" % (boot, first.started if first else 0, namespace)


def same_boot(one: str, other: str) -> bool:
    """True for two incarnations between which no reboot lies."""
    return one.partition(".")[0] == other.partition(".")[0]


def open_pidfd(process: Process) -> Optional[int]:
    """A descriptor that becomes readable when `process` ends. None if it is gone, or the kernel is older than 5.3."""
    descriptor: int = libc.syscall(SYS_PIDFD_OPEN, process.pid, 0)
    if descriptor < 0:
        return None
    if not is_alive(process):
        os.close(descriptor)
        return None
    return descriptor


def become_subreaper() -> None:
    """From now on, descendants whose parent has ended are this process's children."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def send_signal(process: Process, number: int) -> None:
    """Signal this very process, never a later one of the same pid."""
    descriptor = open_pidfd(process)
    if descriptor is not None:
        libc.syscall(SYS_PIDFD_SEND_SIGNAL, descriptor, int(number), None, 0)
        os.close(descriptor)
    elif is_alive(process):
        try:
            os.kill(process.pid, number)
        except OSError:
            pass  # gone, or changed its user


def with_descendants(roots: Sequence[int], processes: Dict[int, Process]) -> List[Process]:
    """Those of `roots` that live, and all that descend from any of them."""
    children: Dict[int, List[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: Dict[int, Process] = {}
    queue = list(roots)
    while queue:
        pid = queue.pop()
        if pid not in found:
            if pid in processes:
                found[pid] = processes[pid]
            queue.extend(children.get(pid, ()))
    return list(found.values())


def signal_descendants(numbers: Sequence[int], child: int = 0) -> int:
    """Send all that descends from this process the signals `numbers`, one by one. Returns how many processes it found.

    /proc may be mounted so that it hides what nobody but root may trace, such as ssh-agent, from its own user (hidepid). The
    kernel lists our children all the same; if it was built without that, `child` is known. Only what a hidden one has started
    and hidden in turn is missed: it becomes our child, as we are the subreaper, when all between us have ended.
    """
    me = os.getpid()
    listed = [int(pid) for pid in read_text("/proc/self/task/%d/children" % me).split()]
    children = [pid for pid in listed or [child] if _is_living_child(pid)]
    seen = all_processes()
    found = [process for process in with_descendants([me, *children], seen) if process.pid != me]
    hidden = [pid for pid in children if pid not in seen]
    for number in numbers:
        for process in found:
            send_signal(process, number)
        for pid in hidden:
            try:
                os.kill(pid, number)  # nobody else collects it: until we do, the pid is its own
            except OSError:
                pass  # it changed its user
    return len(found) + len(hidden)


def _is_living_child(pid: int) -> bool:
    """True if `pid` is a child of ours that has not ended, and never a later process of that pid."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except OSError:
        return False  # no child of ours, or it was collected


def has_open(pid: int, path: str, to_write: bool = False) -> bool:
    """True if this process has the file open that is at `path`, without links, or was there. False if we may not look.

    With `to_write`, only if it may write there.
    """
    links = _shown(pid, lambda view: ["%s/fd/%s" % (view, number) for number in os.listdir(view + "/fd")])
    return any(_leads_to(link, path, to_write) for link in links or ())


def _leads_to(link: str, path: str, to_write: bool) -> bool:
    try:
        found = os.readlink(link) in (path, path + " (deleted)")
        return found and (not to_write or bool(os.lstat(link).st_mode & stat.S_IWUSR))
    except OSError:
        return False  # closed since it was listed


def environment(pid: int) -> Optional[bytes]:
    """What the process began with, as NAME=value\\0…; empty in the middle of an execve. None if it is gone or not ours to see."""
    return _shown(pid, lambda view: read_bytes(view + "/environ"))


def _shown(pid: int, read: Callable[[str], T]) -> Optional[T]:
    """What `read` makes of the first of a process's folders in /proc that shows something; None if none can be read.

    It shows what it has at itself; once its first thread has ended, only at the others, and who is not root may not even look.
    """
    shown = None
    for number, view in enumerate(_views(pid)):
        try:
            shown = read(view)
        except PermissionError:
            if number:
                break  # it is another user's
        except OSError:
            continue  # it has just ended
        if shown:
            break
    return shown


def _views(pid: int) -> Iterator[str]:
    process = "/proc/%d" % pid
    yield process
    try:
        threads = os.listdir(process + "/task")
    except OSError:
        return
    for thread in threads:
        if thread != str(pid):
            yield "%s/task/%s" % (process, thread)
