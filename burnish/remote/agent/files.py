"""Files by their descriptors: read and written whole, brought to disk, made for this user alone, removed."""

from __future__ import annotations

import errno
import os
import stat

from .refusals import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Collection, Optional, Tuple

READ_SIZE = 1 << 16  # bytes
RESERVED = 4096  # bytes preallocated for a record that must have room on a full disk


def as_bytes(text: str) -> bytes:
    """A text as the kernel takes it. Bytes that were no UTF-8 came as surrogates, and go as they were."""
    return text.encode("utf-8", "surrogateescape")


def make_private_folder(path: str) -> None:
    """Make `path` with mode 0700, or check that what is there is a folder which only this user can enter."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise Refusal("%s is not a folder of mode 0700 that belongs to this user; nothing in it is trusted" % path)


def write_file(path: str, data: bytes, sync: bool = False) -> None:
    """Make `path`, or empty it, and write `data`; with `sync`, to disk. No link is followed. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        write_all(descriptor, data)
        if sync:
            os.fsync(descriptor)
    except OSError as error:
        raise _about(path, error) from None
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: "bytes | bytearray") -> None:
    """Write all of `data`, in as many pieces as it takes. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def read_bytes(path: str) -> bytes:
    """The whole content of `path`. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        data = piece = os.read(descriptor, READ_SIZE)
        while len(piece) == READ_SIZE:
            piece = os.read(descriptor, READ_SIZE)
            data += piece
        return data
    finally:
        os.close(descriptor)


def read_text(path: str) -> str:
    """The content of `path` without white space around it; "" if it cannot be read."""
    try:
        return read_bytes(path).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def sync_file(descriptor: int) -> None:
    """Bring to disk what was written on `descriptor`, if the disk can."""
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # a disk that cannot promise to keep it; a record that a power cut may take is better than none


def sync_folder(path: str) -> None:
    """Bring the names in `path` to disk, if the disk can. Raises OSError where there is no such folder."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return  # one above ours, that we may only pass
    try:
        sync_file(descriptor)
    finally:
        os.close(descriptor)


def reserve(path: str) -> int:
    """Make a file whose first bytes can be written even when the disk is full by then. Returns its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            os.posix_fallocate(descriptor, 0, RESERVED)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
            write_all(descriptor, b" " * RESERVED)
    except OSError as error:
        os.close(descriptor)
        unlink(path)
        raise _about(path, error) from None
    return descriptor


def _about(path: str, error: OSError) -> OSError:
    """The error of a call that was given a descriptor, with the path that a person can do something about."""
    error.filename = os.path.dirname(path)
    return error


def close(descriptor: int) -> None:
    """Close a file, whatever its file server says to that: it is closed."""
    try:
        os.close(descriptor)
    except OSError:
        pass  # it could not keep what was written, which is synced where that matters


def identity(path: "str | int") -> Tuple[int, int]:
    """Inode and time of change (ns) of a path or descriptor: others for another file of that name. (0, 0) for none."""
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return found.st_ino, found.st_ctime_ns


def is_gone(path: str) -> bool:
    """True if nothing is at `path`. A file server that answers with another error has not said so."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def size_of(path: str) -> Optional[int]:
    """Bytes in the file at `path`; 0 if there is none, None if that cannot be asked at this moment."""
    try:
        return os.stat(as_bytes(path)).st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError:
        return None


def unlink(path: str) -> None:
    """Remove the name `path`, if it is there."""
    try:
        os.unlink(path)
    except OSError:
        pass  # not there, or not ours to remove: nothing depends on it


def empty(folder: str, keep: Collection[str] = ()) -> None:
    """Remove what is in `folder`, a job's own folders in it too, but for the files `keep`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in keep:
                continue
            if entry.is_dir(follow_symlinks=False):
                empty(entry.path)
                os.rmdir(entry.path)
            else:
                unlink(entry.path)
