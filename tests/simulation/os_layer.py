"""The module `os` as simulated processes see it: the calls that burnish makes, on simulated machines.

Each call is an effect of the world (`World.effect`), and then does what the kernel would, or raises what the kernel would raise.
Who calls is whoever runs: `world.current.process`. What burnish does not call is not here, and asking for it is an error at once.
"""

from __future__ import annotations

import errno
import os as real
import posixpath
import stat
from types import SimpleNamespace
from typing import Any

from simulation import proc
from simulation.files import Folder, Null, Pidfd, Pipe, RegularFile
from simulation.filesystem import FileSystem, Inode, refuse
from simulation.machine import OpenFile, Process
from simulation.world import Killed, World

UID = 1000
_FILE, _FOLDER, _LINK = stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK
_TYPES = {"file": _FILE, "folder": _FOLDER, "link": _LINK}
LOST_ANSWER = (errno.EIO, errno.EEXIST)
SHORT_TARGET = 59  # bytes of a link's target that need no block on ext4


class Status:
    """What stat tells."""

    def __init__(self, disk: FileSystem, inode: Inode, client: Any, skew: float) -> None:
        self.st_mode = _TYPES[inode.kind] | inode.mode
        self.st_ino = inode.number
        self.st_dev = disk.device
        self.st_nlink = inode.links
        self.st_uid, self.st_gid = inode.uid, inode.gid
        self.st_size = len(disk.bytes_of(inode, client))
        self.st_mtime, self.st_ctime = inode.mtime + skew, inode.ctime + skew
        self.st_mtime_ns, self.st_ctime_ns = round(self.st_mtime * 1e9), round(self.st_ctime * 1e9)


class Os:
    """`os`. Constants and what only computes are the real module's."""

    def __init__(self, world_of: Any) -> None:
        self._world_of = world_of
        self.path = Path(self)
        self.environ = Environment(self)
        self.devnull = real.devnull
        self.defpath = real.defpath

    def __getattr__(self, name: str) -> Any:
        value = getattr(real, name)
        if isinstance(value, int) or name in _PURE:
            return value
        self.world.fail(f"the simulated os has no {name}")  # or somebody takes the error for a refusal of the disk
        raise AttributeError(name)

    @property
    def environb(self) -> dict[bytes, bytes]:
        return self.me.environment

    # -- who and where ---------------------------------------------------------------------------------------------

    @property
    def world(self) -> World:
        return self._world_of()

    @property
    def me(self) -> Process:
        process: Process = self.world.current.process  # type: ignore[union-attr]
        if process.dead:
            raise Killed
        return process

    def locate(self, path: Any, dir_fd: int | None = None) -> tuple[FileSystem, Inode, str]:
        """The disk, the folder and the last name of a path. Raises OSError."""
        me, text = self.me, _text(path)
        if dir_fd is not None and not text.startswith("/"):
            folder = self._folder_of(dir_fd)
            disk, inode, names = folder.disk, folder.inode, text.split("/")
            assert disk is not None and inode is not None
            if inode.links == 0 and inode is not disk.root:
                raise refuse(errno.ESTALE if disk.remote else errno.ENOENT, text)
        else:
            if not text:
                raise refuse(errno.ENOENT, text)
            text = text if text.startswith("/") else f"{me.cwd}/{text}"
            mount = max((point for point in me.machine.disks if _below(text, point)), key=len)
            disk = me.machine.disks[mount]
            inode, names = disk.root, text[len(mount) :].split("/")
        parts = [name for name in names if name not in ("", ".")]
        for name in parts[:-1]:
            if inode.kind != "folder":
                raise refuse(errno.ENOTDIR, text)
            found = disk.lookup(inode, name, me.machine)
            if found is None:
                raise refuse(errno.ENOENT, text)
            inode = found
        if inode.kind != "folder":
            raise refuse(errno.ENOTDIR, text)
        return disk, inode, parts[-1] if parts else ""

    def find(self, path: Any, dir_fd: int | None = None) -> tuple[FileSystem, Inode]:
        """What a path leads to, links not followed. Raises OSError."""
        disk, folder, name = self.locate(path, dir_fd)
        inode = disk.lookup(folder, name, self.me.machine) if name else folder
        if inode is None:
            raise refuse(errno.ENOENT, _text(path))
        return disk, inode

    def file(self, descriptor: int) -> OpenFile:
        """The open file of a descriptor. Raises OSError."""
        try:
            return self.me.files[descriptor][0]
        except KeyError:
            raise refuse(errno.EBADF, descriptor) from None

    def _folder_of(self, descriptor: int) -> OpenFile:
        return self.file(descriptor)

    def _skew(self, disk: FileSystem) -> float:
        """Time stamps are a server's own, or this machine's."""
        return 1.6e9 if disk.remote else self.me.machine.skew

    def _status(self, disk: FileSystem, inode: Inode) -> Status:
        return Status(disk, inode, self.me.machine, self._skew(disk))

    # -- files -----------------------------------------------------------------------------------------------------

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        me, text = self.me, _text(path)
        self.world.effect("open", text, reads=not flags & real.O_CREAT)
        if text == real.devnull:
            return me.install(Null(me.machine))
        if text.startswith("/proc/"):
            return me.install(proc.read(self.me, text))
        disk, folder, name = self.locate(path, dir_fd)
        inode = disk.lookup(folder, name, me.machine) if name else folder
        if disk.remote and inode is not None and self.world.faulty and disk.random.random() < disk.stale_handles:  # type: ignore[attr-defined]
            self.world.fault("stale handle", text)
            raise refuse(errno.ESTALE, text)
        if inode is None:
            inode = self._create(disk, folder, name, flags, mode, text)
        elif flags & real.O_CREAT and flags & real.O_EXCL:
            raise refuse(errno.EEXIST, text)
        elif inode.kind == "link":
            raise refuse(errno.ELOOP if flags & real.O_NOFOLLOW else errno.ENOENT, text)
        return me.install(self._opened(disk, inode, flags, text))

    def _create(self, disk: FileSystem, folder: Inode, name: str, flags: int, mode: int, text: str) -> Inode:
        if not flags & real.O_CREAT:
            raise refuse(errno.ENOENT, text)
        if name in folder.entries:  # this client believes that it is not there
            if flags & real.O_EXCL:
                raise refuse(errno.EEXIST, text)
            return folder.entries[name]
        inode = disk.make("file", mode & 0o755)
        disk.change((folder, name, inode))
        return inode

    def _opened(self, disk: FileSystem, inode: Inode, flags: int, text: str) -> OpenFile:
        writes = bool(flags & (real.O_WRONLY | real.O_RDWR))
        if inode.kind == "folder":
            if writes:
                raise refuse(errno.EISDIR, text)
            return Folder(self.me.machine, disk, inode, text)
        if flags & real.O_DIRECTORY:
            raise refuse(errno.ENOTDIR, text)
        file = RegularFile(self.me.machine, disk, inode, text)
        file.writes, file.appends = writes, bool(flags & real.O_APPEND)
        if writes and flags & real.O_TRUNC:
            disk.truncate(inode, 0, self.me.machine)
        return file

    def close(self, descriptor: int) -> None:
        self.world.effect("close", descriptor, reads=True)
        self.file(descriptor)
        self.me.files.pop(descriptor)[0].let_go()

    def read(self, descriptor: int, size: int) -> bytes:
        self.world.effect("read", descriptor, reads=True)
        return self.file(descriptor).read(size)

    def write(self, descriptor: int, data: Any) -> int:
        self.world.effect("write", descriptor, len(data))
        return self.file(descriptor).write(bytes(data))

    def pread(self, descriptor: int, size: int, place: int) -> bytes:
        self.world.effect("pread", descriptor, reads=True)
        file = self.file(descriptor)
        return bytes(file.disk.bytes_of(file.inode, self.me.machine)[place : place + size])  # type: ignore[union-attr,arg-type]

    def pwrite(self, descriptor: int, data: Any, place: int) -> int:
        self.world.effect("pwrite", descriptor, len(data), place)
        file = self.file(descriptor)
        file.disk.write(file.inode, bytes(data), place, self.me.machine)  # type: ignore[union-attr,arg-type]
        return len(data)

    def lseek(self, descriptor: int, place: int, how: int) -> int:
        self.file(descriptor).place = place
        return place

    def ftruncate(self, descriptor: int, size: int) -> None:
        self.world.effect("ftruncate", descriptor, size)
        file = self.file(descriptor)
        file.disk.truncate(file.inode, size, self.me.machine)  # type: ignore[union-attr,arg-type]

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
        self.world.effect("stat", path, reads=True)
        if _text(path).startswith("/proc/"):
            return proc.status(self.me, _text(path))
        disk, inode = self.find(path, dir_fd)
        if inode.kind == "link" and follow_symlinks:
            raise refuse(errno.ENOENT, _text(path))
        return self._status(disk, inode)

    def lstat(self, path: Any) -> Any:
        return self.stat(path, follow_symlinks=False)

    def fstat(self, descriptor: int) -> Any:
        file = self.file(descriptor)
        if file.disk is None or file.inode is None:
            return SimpleNamespace(st_mode=stat.S_IFIFO, st_size=0, st_ino=0, st_dev=0)
        return self._status(file.disk, file.inode)

    def access(self, path: Any, how: int) -> bool:
        try:
            self.find(path)
        except OSError:
            return False
        return True

    def listdir(self, path: Any = ".") -> list[str]:
        self.world.effect("listdir", path, reads=True)
        if path == "/proc" or str(path).startswith("/proc/"):
            return proc.names(self.me, _text(path))
        if isinstance(path, int):
            file = self.file(path)
            disk, inode = file.disk, file.inode
        else:
            disk, inode = self.find(path)
        assert disk is not None and inode is not None
        if inode.kind != "folder":
            raise refuse(errno.ENOTDIR, path)
        return disk.names(inode, self.me.machine)

    def scandir(self, path: Any) -> Listing:
        return Listing(Entry(self, _text(path), name) for name in self.listdir(path))

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        self.world.effect("mkdir", path)
        disk, folder, name = self.locate(path, dir_fd)
        if not name or name in folder.entries:
            raise refuse(errno.EEXIST, _text(path))
        disk.change((folder, name, disk.make("folder", mode)))

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
        self.world.effect("rmdir", path)
        disk, folder, name = self.locate(path)
        inode = folder.entries.get(name)
        if inode is None or inode.kind != "folder" or inode.entries:
            code = errno.ENOENT if inode is None else errno.ENOTDIR if inode.kind != "folder" else errno.ENOTEMPTY
            raise refuse(code, _text(path))
        disk.change((folder, name, None))

    def link(self, source: Any, path: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        self.world.effect("link", source, path)
        disk, inode = self.find(source, src_dir_fd)
        there, folder, name = self.locate(path, dst_dir_fd)
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
        self.world.effect("symlink", path)
        disk, folder, name = self.locate(path)
        if name in folder.entries:
            raise refuse(errno.EEXIST, _text(path))
        if disk.full and len(target) > SHORT_TARGET:
            disk.refuse_full()
        inode = disk.make("link", 0o777)
        inode.target = target
        disk.change((folder, name, inode))
        self._lose_answer(disk, path)

    def readlink(self, path: Any) -> str:
        self.world.effect("readlink", path, reads=True)
        if _text(path).startswith("/proc/"):
            return proc.target(self.me, _text(path))
        inode = self.find(path)[1]
        if inode.kind != "link":
            raise refuse(errno.EINVAL, _text(path))
        return inode.target

    def rename(self, source: Any, path: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        self.world.effect("rename", source, path)
        disk, folder, name = self.locate(source, src_dir_fd)
        there, target, new = self.locate(path, dst_dir_fd)
        inode = folder.entries.get(name)
        if inode is None:
            raise refuse(errno.ENOENT, _text(source))
        if there is not disk:
            raise refuse(errno.EXDEV, _text(path))
        if target.entries.get(new) is not inode:
            disk.change((target, new, inode), (folder, name, None))
        for process in self.me.machine.processes.values():
            for file, _ in process.files.values():
                if file.inode is inode:
                    file.path = _text(path)  # as /proc shows it

    replace = rename

    def exchange(self, one: str, other: str) -> bool:
        """`renameat2(RENAME_EXCHANGE)`; False over NFS, which has none."""
        self.world.effect("exchange", one, other)
        disk, folder, name = self.locate(one)
        _, target, new = self.locate(other)
        if disk.remote:
            return False
        mine, theirs = folder.entries.get(name), target.entries.get(new)
        if mine is None or theirs is None:
            raise refuse(errno.ENOENT, one)
        disk.change((folder, name, theirs), (target, new, mine))
        return True

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self.world.effect("unlink", path)
        disk, folder, name = self.locate(path, dir_fd)
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
        self.world.effect("utime", path)
        disk, inode = (self.file(path).disk, self.file(path).inode) if isinstance(path, int) else self.find(path)
        assert disk is not None and inode is not None
        inode.mtime = disk.stamp() if ns is None else ns[1] / 1e9 - self._skew(disk)
        inode.ctime = disk.stamp()

    def fchmod(self, descriptor: int, mode: int) -> None:
        self.file(descriptor).inode.mode = mode  # type: ignore[union-attr]

    def fchown(self, descriptor: int, uid: int, gid: int) -> None:
        self.file(descriptor)

    def statvfs(self, path: Any) -> Any:
        self.find(path)
        return SimpleNamespace(f_bavail=1 << 20, f_frsize=4096)

    # -- processes -------------------------------------------------------------------------------------------------

    def getpid(self) -> int:
        return self.me.pid

    def getuid(self) -> int:
        return UID

    geteuid = getuid

    def getcwd(self) -> str:
        return self.me.cwd

    def chdir(self, path: Any) -> None:
        if self.find(path)[1].kind != "folder":
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
        self.world.effect("wait4", reads=True)
        me = self.me
        if me.zombies:
            child, status = me.zombies.pop(0)
            return child.pid, status, SimpleNamespace(ru_maxrss=1024)
        if not me.children:
            raise refuse(errno.ECHILD)
        return 0, 0, SimpleNamespace(ru_maxrss=0)

    def waitpid(self, pid: int, how: int) -> tuple[int, int]:
        return self.wait4(pid, how)[:2]

    def kill(self, pid: int, number: int) -> None:
        self.world.effect("kill", pid, number)
        process = self.me.machine.processes.get(pid)
        if process is None:
            raise refuse(errno.ESRCH)
        process.deliver(number)

    def posix_spawn(self, program: bytes, argv: list[bytes], environment: dict[bytes, bytes], **how: Any) -> int:
        self.world.effect("spawn", *argv)
        me = self.me
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
        self.world.effect("pidfd_open", pid, reads=True)
        process = self.me.machine.processes.get(pid)
        return -1 if process is None else self.me.install(Pidfd(self.me.machine, process))


_PURE = frozenset({
    "fsencode", "fsdecode", "strerror", "WIFSIGNALED", "WTERMSIG", "WEXITSTATUS", "WIFEXITED", "fspath", "PathLike", "DirEntry",
    "stat_result",
})  # fmt: skip


class Path:
    """`os.path`."""

    def __init__(self, os: Os) -> None:
        self._os = os

    def __getattr__(self, name: str) -> Any:
        if name in ("join", "split", "dirname", "basename", "isabs", "samestat", "splitext", "normpath"):
            return getattr(posixpath, name)
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
    return real.fsdecode(path) if not isinstance(path, int) else str(path)


def _below(path: str, mount: str) -> bool:
    return mount == "/" or path == mount or path.startswith(f"{mount}/")
