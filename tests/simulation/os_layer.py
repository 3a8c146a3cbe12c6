"""The module `os` as simulated processes see it: the calls that burnish makes, on simulated machines.

Each call is an effect of the world (`World.effect`), and then does what the kernel would, or raises what the kernel would raise.
Who calls is whoever runs: `world.current.process`. What burnish does not call is not here, and asking for it is an error at once.
"""

from __future__ import annotations

import errno
import os as real
import posixpath
import stat
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any

from simulation import proc
from simulation.files import Folder, Null, Pidfd, Pipe, RegularFile
from simulation.filesystem import FileSystem, Inode, refuse
from simulation.machine import Machine, OpenFile, Process, names_of
from simulation.stand_in import stand_in
from simulation.world import Killed, World

UID = 1000
O_CREAT, O_EXCL, O_TRUNC, O_APPEND = real.O_CREAT, real.O_EXCL, real.O_TRUNC, real.O_APPEND
O_NOFOLLOW, O_DIRECTORY, WRITES = real.O_NOFOLLOW, real.O_DIRECTORY, real.O_WRONLY | real.O_RDWR
DEVNULL = real.devnull
_FILE, _FOLDER, _LINK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK
_TYPES = {"file": _FILE, "folder": _FOLDER, "link": _LINK}
LOST_ANSWER = (errno.EIO, errno.EEXIST)
SHORT_TARGET = 59  # bytes of a link's target that need no block on ext4


class Status:
    """What stat tells."""

    __slots__ = (
        "st_ctime", "st_dev", "st_gid", "st_ino", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid",
    )  # fmt: skip

    def __init__(self, disk: FileSystem, inode: Inode, client: Any, skew: float) -> None:
        self.st_mode = _TYPES[inode.kind] | inode.mode
        self.st_ino = inode.number
        self.st_dev = disk.device
        self.st_nlink = inode.links
        self.st_uid, self.st_gid = inode.uid, inode.gid
        self.st_size = len(disk.bytes_of(inode, client))
        self.st_mtime, self.st_ctime = inode.mtime + skew, inode.ctime + skew

    @property
    def st_mtime_ns(self) -> int:
        return round(self.st_mtime * 1e9)

    @property
    def st_ctime_ns(self) -> int:
        return round(self.st_ctime * 1e9)


class Os:
    """`os`. Constants and what only computes are the real module's: `module` is all that burnish sees.

    `world` is the one that burnish runs in now.
    """

    world: World

    def __init__(self) -> None:
        self.path = Path(self)
        self.environ = Environment(self)
        self.devnull = real.devnull
        self.defpath = real.defpath
        pure = {name: value for name, value in vars(real).items() if isinstance(value, int) or name in _PURE}
        self.module = stand_in("os", pure, self, self._missing)
        self.module.path = self.path.module  # type: ignore[attr-defined]

    def _missing(self, name: str) -> Any:
        if name == "environb":
            return self.me.environment
        getattr(real, name)  # an error by itself if the real one has none either
        self.world.fail(f"the simulated os has no {name}")  # or somebody takes the error for a refusal of the disk
        raise AttributeError(name)

    # -- who and where ---------------------------------------------------------------------------------------------

    @property
    def me(self) -> Process:
        process: Process = self.world.current.process  # type: ignore[union-attr]
        if process.dead:
            raise Killed
        return process

    def locate(self, me: Process, text: str, dir_fd: int | None = None) -> tuple[FileSystem, Inode, str]:
        """The disk, the folder and the last name of a path of `me`. Raises OSError."""
        machine = me.machine
        if dir_fd is not None and text[:1] != "/":
            folder = self.file(dir_fd, me)
            disk, inode = folder.disk, folder.inode
            assert disk is not None and inode is not None
            if inode.links == 0 and inode is not disk.root:
                raise refuse(errno.ESTALE if disk.remote else errno.ENOENT, text)
            folders, last = names_of(text)
        else:
            if not text:
                raise refuse(errno.ENOENT, text)
            text = text if text[0] == "/" else f"{me.cwd}/{text}"
            disk, (folders, last) = machine.way_to(text)
            inode = disk.root
        if disk.remote:
            for name in folders:
                if inode.kind != "folder":
                    raise refuse(errno.ENOTDIR, text)
                found = disk.lookup(inode, name, machine)
                if found is None:
                    raise refuse(errno.ENOENT, text)
                inode = found
        else:  # it hides nothing
            for name in folders:
                found = inode.entries.get(name)
                if found is None:
                    raise refuse(errno.ENOENT if inode.kind == "folder" else errno.ENOTDIR, text)
                inode = found
        if inode.kind != "folder":
            raise refuse(errno.ENOTDIR, text)
        return disk, inode, last

    def find(self, me: Process, text: str, dir_fd: int | None = None) -> tuple[FileSystem, Inode]:
        """What a path leads to, links not followed. Raises OSError."""
        disk, folder, name = self.locate(me, text, dir_fd)
        inode = disk.lookup(folder, name, me.machine) if name else folder
        if inode is None:
            raise refuse(errno.ENOENT, text)
        return disk, inode

    def file(self, descriptor: int, me: Process | None = None) -> OpenFile:
        """The open file of a descriptor, of `me` or whoever runs. Raises OSError."""
        try:
            return (me or self.me).files[descriptor][0]
        except KeyError:
            raise refuse(errno.EBADF, descriptor) from None

    def _skew(self, machine: Machine, disk: FileSystem) -> float:
        """Time stamps are a server's own, or this machine's."""
        return 1.6e9 if disk.remote else machine.skew

    def _status(self, machine: Machine, disk: FileSystem, inode: Inode) -> Status:
        return Status(disk, inode, machine, self._skew(machine, disk))

    # -- files -----------------------------------------------------------------------------------------------------

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        world, text = self.world, path if path.__class__ is str else _text(path)
        me: Process = world.effect("open", text, reads=not flags & O_CREAT)
        if text == DEVNULL:
            return me.install(Null(me.machine))
        if text.startswith("/proc/"):
            return me.install(proc.read(me, text))
        disk, folder, name = self.locate(me, text, dir_fd)
        inode = disk.lookup(folder, name, me.machine) if name else folder
        if disk.remote and inode is not None and world.faulty and disk.random.random() < disk.stale_handles:  # type: ignore[attr-defined]
            world.fault("stale handle", text)
            raise refuse(errno.ESTALE, text)
        if inode is None:
            inode = self._create(disk, folder, name, flags, mode, text)
        elif flags & O_EXCL and flags & O_CREAT:
            raise refuse(errno.EEXIST, text)
        elif inode.kind == "link":
            raise refuse(errno.ELOOP if flags & O_NOFOLLOW else errno.ENOENT, text)
        return me.install(self._opened(me.machine, disk, inode, flags, text))

    def _create(self, disk: FileSystem, folder: Inode, name: str, flags: int, mode: int, text: str) -> Inode:
        if not flags & O_CREAT:
            raise refuse(errno.ENOENT, text)
        if name in folder.entries:  # this client believes that it is not there
            if flags & O_EXCL:
                raise refuse(errno.EEXIST, text)
            return folder.entries[name]
        inode = disk.make("file", mode & 0o755)
        disk.change((folder, name, inode))
        return inode

    def _opened(self, machine: Machine, disk: FileSystem, inode: Inode, flags: int, text: str) -> OpenFile:
        writes = bool(flags & WRITES)
        if inode.kind == "folder":
            if writes:
                raise refuse(errno.EISDIR, text)
            return Folder(machine, disk, inode, text)
        if flags & O_DIRECTORY:
            raise refuse(errno.ENOTDIR, text)
        file = RegularFile(machine, disk, inode, text)
        if writes:
            file.writes, file.appends = True, bool(flags & O_APPEND)
            if flags & O_TRUNC:
                disk.truncate(inode, 0, machine)
        return file

    def close(self, descriptor: int) -> None:
        me: Process = self.world.effect("close", descriptor, reads=True)
        try:
            file, _ = me.files.pop(descriptor)
        except KeyError:
            raise refuse(errno.EBADF, descriptor) from None
        file.let_go()

    def read(self, descriptor: int, size: int) -> bytes:
        return self.file(descriptor, self.world.effect("read", descriptor, reads=True)).read(size)

    def write(self, descriptor: int, data: Any) -> int:
        return self.file(descriptor, self.world.effect("write", descriptor, len(data))).write(bytes(data))

    def pread(self, descriptor: int, size: int, place: int) -> bytes:
        me: Process = self.world.effect("pread", descriptor, reads=True)
        file = self.file(descriptor, me)
        return bytes(file.disk.bytes_of(file.inode, me.machine)[place : place + size])  # type: ignore[union-attr,arg-type]

    def pwrite(self, descriptor: int, data: Any, place: int) -> int:
        me: Process = self.world.effect("pwrite", descriptor, len(data), place)
        file = self.file(descriptor, me)
        file.disk.write(file.inode, bytes(data), place, me.machine)  # type: ignore[union-attr,arg-type]
        return len(data)

    def lseek(self, descriptor: int, place: int, how: int) -> int:
        self.file(descriptor).place = place
        return place

    def ftruncate(self, descriptor: int, size: int) -> None:
        me: Process = self.world.effect("ftruncate", descriptor, size)
        file = self.file(descriptor, me)
        file.disk.truncate(file.inode, size, me.machine)  # type: ignore[union-attr,arg-type]

    def posix_fallocate(self, descriptor: int, place: int, size: int) -> None:
        self.world.effect("fallocate", descriptor, size)
        file = self.file(descriptor)
        file.disk.reserve(file.inode, place + size)  # type: ignore[union-attr,arg-type]

    def fsync(self, descriptor: int) -> None:
        self.world.effect("fsync", self.file(descriptor).path)
        file = self.file(descriptor)
        self.world.now += 5e-4
        file.disk.sync(file.inode, self.me.machine)  # type: ignore[union-attr,arg-type]

    fdatasync = fsync

    def fdopen(self, descriptor: int, mode: str = "r", **how: Any) -> Stream:
        return Stream(self, descriptor)

    def dup(self, descriptor: int) -> int:
        return self.me.install(self.file(descriptor))

    def dup2(self, descriptor: int, other: int) -> int:
        self.me.put(other, self.file(descriptor), True)
        return other

    def pipe(self) -> tuple[int, int]:
        self.world.effect("pipe")
        ends = Pipe.pair(self.me.machine)
        return self.me.install(ends[0]), self.me.install(ends[1])

    def set_blocking(self, descriptor: int, blocking: bool) -> None:
        self.file(descriptor)

    # -- names -----------------------------------------------------------------------------------------------------

    def stat(self, path: Any, *, follow_symlinks: bool = True, dir_fd: int | None = None) -> Any:
        if isinstance(path, int):
            return self.fstat(path)
        me: Process = self.world.effect("stat", path, reads=True)
        text = path if path.__class__ is str else _text(path)
        if text.startswith("/proc/"):
            return proc.status(me, text)
        disk, inode = self.find(me, text, dir_fd)
        if inode.kind == "link" and follow_symlinks:
            raise refuse(errno.ENOENT, text)
        return self._status(me.machine, disk, inode)

    def lstat(self, path: Any) -> Any:
        return self.stat(path, follow_symlinks=False)

    def fstat(self, descriptor: int) -> Any:
        me = self.me
        file = self.file(descriptor, me)
        if file.disk is None or file.inode is None:
            return SimpleNamespace(st_mode=stat.S_IFIFO, st_size=0, st_ino=0, st_dev=0)
        return self._status(me.machine, file.disk, file.inode)

    def access(self, path: Any, how: int) -> bool:
        text = _text(path)
        try:
            inode = self.find(self.me, text.rstrip("/"))[1]
        except OSError:
            return False
        return inode.kind == "folder" or not text.endswith("/")

    def listdir(self, path: Any = ".") -> list[str]:
        me: Process = self.world.effect("listdir", path, reads=True)
        if isinstance(path, int):
            file = self.file(path)
            disk, inode = file.disk, file.inode
        else:
            text = _text(path)
            if text == "/proc" or text.startswith("/proc/"):
                return proc.names(me, text)
            disk, inode = self.find(me, text)
        assert disk is not None and inode is not None
        if inode.kind != "folder":
            raise refuse(errno.ENOTDIR, path)
        return disk.names(inode, me.machine)

    def scandir(self, path: Any) -> Listing:
        return Listing(Entry(self, _text(path), name) for name in self.listdir(path))

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        me, text = self.world.effect("mkdir", path), _text(path)
        disk, folder, name = self.locate(me, text, dir_fd)
        if not name or name in folder.entries:
            raise refuse(errno.EEXIST, text)
        disk.change((folder, name, disk.make("folder", mode)))

    def mknod(self, path: Any, mode: int = 0o600) -> None:
        me, text = self.world.effect("mknod", path), _text(path)
        disk, folder, name = self.locate(me, text, None)
        self._create(disk, folder, name, O_CREAT | O_EXCL, mode, text)
        self._lose_answer(disk, path)

    def makedirs(self, path: Any, mode: int = 0o777, exist_ok: bool = False) -> None:
        parent = posixpath.dirname(_text(path))
        if parent and not self.path.exists(parent):
            self.makedirs(parent, exist_ok=True)
        try:
            self.mkdir(path, mode)
        except FileExistsError:
            if not exist_ok or not self.path.isdir(path):
                raise

    def rmdir(self, path: Any) -> None:
        disk, folder, name = self.locate(self.world.effect("rmdir", path), _text(path))
        inode = folder.entries.get(name)
        if inode is None or inode.kind != "folder" or inode.entries:
            code = errno.ENOENT if inode is None else errno.ENOTDIR if inode.kind != "folder" else errno.ENOTEMPTY
            raise refuse(code, _text(path))
        disk.change((folder, name, None))

    def link(self, source: Any, path: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        me: Process = self.world.effect("link", source, path)
        disk, inode = self.find(me, _text(source), src_dir_fd)
        there, folder, name = self.locate(me, _text(path), dst_dir_fd)
        if there is not disk:
            raise refuse(errno.EXDEV, _text(path))
        if name in folder.entries:
            raise refuse(errno.EEXIST, _text(path))
        disk.change((folder, name, inode))
        self._lose_answer(disk, path)

    def _lose_answer(self, disk: FileSystem, path: Any) -> None:
        """It was done, but the answer was lost; the repeated request finds it done, or gives up."""
        if disk.remote and self.world.faulty and disk.random.random() < disk.lost_answers:  # type: ignore[attr-defined]
            self.world.fault("answer lost", str(path))
            raise refuse(disk.random.choice(LOST_ANSWER), _text(path))

    def symlink(self, target: str, path: Any) -> None:
        disk, folder, name = self.locate(self.world.effect("symlink", path), _text(path))
        if name in folder.entries:
            raise refuse(errno.EEXIST, _text(path))
        if disk.full and len(target) > SHORT_TARGET:
            disk.refuse_full()
        inode = disk.make("link", 0o777)
        inode.target = target
        disk.change((folder, name, inode))
        self._lose_answer(disk, path)

    def readlink(self, path: Any) -> str:
        me, text = self.world.effect("readlink", path, reads=True), _text(path)
        if text.startswith("/proc/"):
            return proc.target(me, text)
        inode = self.find(me, text)[1]
        if inode.kind != "link":
            raise refuse(errno.EINVAL, text)
        return inode.target

    def rename(self, source: Any, path: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        me: Process = self.world.effect("rename", source, path)
        disk, folder, name = self.locate(me, _text(source), src_dir_fd)
        there, target, new = self.locate(me, _text(path), dst_dir_fd)
        inode = folder.entries.get(name)
        if inode is None:
            raise refuse(errno.ENOENT, _text(source))
        if there is not disk:
            raise refuse(errno.EXDEV, _text(path))
        if target.entries.get(new) is not inode:
            disk.change((target, new, inode), (folder, name, None))
        for process in me.machine.processes.values():
            for file, _ in process.files.values():
                if file.inode is inode:
                    file.path = _text(path)  # as /proc shows it

    replace = rename

    def exchange(self, one: str, other: str) -> bool:
        """`renameat2(RENAME_EXCHANGE)`; False over NFS, which has none."""
        me: Process = self.world.effect("exchange", one, other)
        disk, folder, name = self.locate(me, _text(one))
        _, target, new = self.locate(me, _text(other))
        if disk.remote:
            return False
        mine, theirs = folder.entries.get(name), target.entries.get(new)
        if mine is None or theirs is None:
            raise refuse(errno.ENOENT, one)
        disk.change((folder, name, theirs), (target, new, mine))
        return True

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        disk, folder, name = self.locate(self.world.effect("unlink", path), _text(path), dir_fd)
        inode = folder.entries.get(name)
        if inode is None:
            raise refuse(errno.ENOENT, _text(path))
        if inode.kind == "folder":
            raise refuse(errno.EISDIR, _text(path))
        disk.change((folder, name, None))

    def walk(self, top: str, topdown: bool = True) -> Any:
        found = self.scandir(top)
        folders = [entry.name for entry in found if entry.is_dir()]
        for name in folders:
            yield from self.walk(f"{top}/{name}", topdown)
        yield top, folders, [entry.name for entry in found if entry.name not in folders]

    def utime(self, path: Any, times: Any = None, *, ns: tuple[int, int] | None = None) -> None:
        me: Process = self.world.effect("utime", path)
        if isinstance(path, int):
            disk, inode = self.file(path).disk, self.file(path).inode
        else:
            disk, inode = self.find(me, _text(path))
        assert disk is not None and inode is not None
        inode.mtime = disk.stamp() if ns is None else ns[1] / 1e9 - self._skew(me.machine, disk)
        inode.ctime = disk.stamp()

    def fchmod(self, descriptor: int, mode: int) -> None:
        self.file(descriptor).inode.mode = mode  # type: ignore[union-attr]

    def fchown(self, descriptor: int, uid: int, gid: int) -> None:
        self.file(descriptor)

    def statvfs(self, path: Any) -> Any:
        self.find(self.me, _text(path))
        return SimpleNamespace(f_bavail=1 << 20, f_frsize=4096)

    # -- processes -------------------------------------------------------------------------------------------------

    def getpid(self) -> int:
        return self.me.pid

    def getppid(self) -> int:
        return self.me.parent.pid if self.me.parent is not None else 1

    def getuid(self) -> int:
        return UID

    geteuid = getuid

    def getcwd(self) -> str:
        return self.me.cwd

    def chdir(self, path: Any) -> None:
        if self.find(self.me, _text(path))[1].kind != "folder":
            raise refuse(errno.ENOTDIR, _text(path))
        self.me.cwd = _text(path)

    def umask(self, mask: int) -> int:
        return 0o022

    def setsid(self) -> None:
        self.world.effect("setsid")

    def getloadavg(self) -> tuple[float, float, float]:
        return 0.0, 0.0, 0.0

    def cpu_count(self) -> int:
        return 4

    def uname(self) -> Any:
        return SimpleNamespace(nodename=self.me.machine.name)

    def urandom(self, size: int) -> bytes:
        return self.me.machine.random.randbytes(size)

    def wait4(self, pid: int, how: int) -> tuple[int, int, Any]:
        me: Process = self.world.effect("wait4", reads=True)
        if me.zombies:
            child, status = me.zombies.pop(0)
            return child.pid, status, SimpleNamespace(ru_maxrss=1024)
        if not me.children:
            raise refuse(errno.ECHILD)
        return 0, 0, SimpleNamespace(ru_maxrss=0)

    def waitpid(self, pid: int, how: int) -> tuple[int, int]:
        return self.wait4(pid, how)[:2]

    def waitid(self, kind: int, pid: int, how: int) -> object:
        """Only asks."""
        me: Process = self.world.effect("waitid", pid, reads=True)
        assert kind == real.P_PID and how == real.WEXITED | real.WNOHANG | real.WNOWAIT
        if any(child.pid == pid for child in me.children):
            return None
        if any(child.pid == pid for child, _ in me.zombies):
            return SimpleNamespace(si_pid=pid)
        raise refuse(errno.ECHILD)

    def kill(self, pid: int, number: int) -> None:
        self.world.effect("kill", pid, number)
        process = self.me.machine.processes.get(pid)
        if process is None:
            raise refuse(errno.ESRCH)
        process.deliver(number)

    def posix_spawn(self, program: bytes, argv: list[bytes], environment: dict[bytes, bytes], **how: Any) -> int:
        me: Process = self.world.effect("spawn", *argv)
        child = Process(me.machine, "job", me, dict(environment))
        child.cwd = me.cwd
        for descriptor, (file, inherited) in me.files.items():
            if inherited:
                child.put(descriptor, file, True)
        for _, source, target in how.get("file_actions", ()):
            child.put(target, self.file(source), True)
        self.world.programs.run(child, [word.decode() for word in argv])  # type: ignore[attr-defined]
        return child.pid

    def pidfd(self, pid: int) -> int:
        """`pidfd_open`; -1 if there is no such process."""
        me: Process = self.world.effect("pidfd_open", pid, reads=True)
        process = me.machine.processes.get(pid)
        return -1 if process is None else me.install(Pidfd(me.machine, process))


_PURE = frozenset({
    "fsencode", "fsdecode", "strerror", "WIFSIGNALED", "WTERMSIG", "WEXITSTATUS", "WIFEXITED", "fspath", "PathLike", "DirEntry",
    "stat_result",
})  # fmt: skip
_PURE_PATH = ("join", "split", "dirname", "basename", "isabs", "samestat", "splitext", "normpath")


class Path:
    """`os.path`."""

    def __init__(self, os: Os) -> None:
        self._os = os
        self.module = stand_in("os.path", {name: getattr(posixpath, name) for name in _PURE_PATH}, self, self._missing)

    def _missing(self, name: str) -> Any:
        self._os.world.fail(f"the simulated os.path has no {name}")
        raise AttributeError(name)

    def _mode(self, path: Any, follow: bool = True) -> int:
        try:
            return int(self._os.stat(path, follow_symlinks=follow).st_mode)
        except OSError:
            return 0

    def exists(self, path: Any) -> bool:
        return bool(self._mode(path))

    def lexists(self, path: Any) -> bool:
        return bool(self._mode(path, follow=False))

    def isdir(self, path: Any) -> bool:
        return stat.S_ISDIR(self._mode(path))

    def isfile(self, path: Any) -> bool:
        return stat.S_ISREG(self._mode(path))

    def islink(self, path: Any) -> bool:
        return stat.S_ISLNK(self._mode(path, follow=False))

    def samefile(self, one: Any, other: Any) -> bool:
        return posixpath.samestat(self._os.stat(one), self._os.stat(other))

    def realpath(self, path: Any) -> str:
        return posixpath.normpath(_text(path))

    def abspath(self, path: Any) -> str:
        text = _text(path)
        return posixpath.normpath(text if text.startswith("/") else f"{self._os.me.cwd}/{text}")

    def expanduser(self, path: str) -> str:
        return "/home/ann" + path[1:] if path[:1] == "~" else path


class Environment:
    """`os.environ` of whoever asks; `os.environb` is the same in bytes."""

    def __init__(self, os: Os) -> None:
        self._os = os

    def get(self, name: str, default: Any = None) -> Any:
        value = self._os.me.environment.get(name.encode())
        return default if value is None else value.decode()


class Entry:
    """What scandir yields."""

    def __init__(self, os: Os, folder: str, name: str) -> None:
        self._os = os
        self.name = name
        self.path = f"{folder}/{name}"

    def stat(self, *, follow_symlinks: bool = True) -> Any:
        return self._os.stat(self.path, follow_symlinks=follow_symlinks)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._os.path.isdir(self.path)


class Listing(list):  # type: ignore[type-arg]
    """What scandir gives."""

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *error: Any) -> None: ...


class Stream:
    """A file object over a descriptor: writes what it was given when it is flushed or closed."""

    def __init__(self, os: Os, descriptor: int) -> None:
        self._os = os
        self._descriptor = descriptor
        self._text = b""
        self._read: bytes | None = None

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: bytes) -> int:
        self._text += data
        return len(data)

    def flush(self) -> None:
        while self._text:
            # Large texts do not reach the disk in one piece.
            self._text = self._text[self._os.write(self._descriptor, self._text[:4096]) :]

    def read(self) -> bytes:
        pieces = []
        while piece := self._os.read(self._descriptor, 1 << 20):
            pieces.append(piece)
        return b"".join(pieces)

    def readline(self) -> bytes:
        if self._read is None:
            self._read = self.read()
        line, newline, self._read = self._read.partition(b"\n")
        return line + newline

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self._os.close(self._descriptor)


def _text(path: Any) -> str:
    if isinstance(path, (str, PurePath)):
        return str(path)
    return str(path) if isinstance(path, int) else real.fsdecode(path)
