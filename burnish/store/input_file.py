"""Reading a file that a person wrote: whole, as UTF-8, or a sentence why not.

Never blocks (a FIFO is refused before it is read) and never reads more than `limit` bytes.
"""

from __future__ import annotations

import os
import stat

from burnish.errors import InputError, Problem

LIMIT = 64 << 20

_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: str, limit: int = LIMIT) -> str:
    """The text of `path` without a byte order mark, line ends as they are. Raises InputError: missing, no file, not UTF-8."""
    data = _read(path, limit)
    if data.startswith(_UTF16_MARKS):
        raise _refusal(f"{path}:1", "this is UTF-16. Save it as UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)
        line = data.count(b"\n", 0, offset) + 1
        raise _refusal(f"{path}:{line}", f"not UTF-8 (byte 0x{data[offset]:02X}). Save it as UTF-8.") from None


def _read(path: str, limit: int) -> bytes:
    try:
        # Without O_NONBLOCK a FIFO that nobody writes to would stop us here for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise _refusal(path, _why(error)) from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(path, f"this is {_kind(status.st_mode)}, not a file.")
        if status.st_size > limit:
            raise _refusal(path, f"{status.st_size} bytes; at most {limit} are read.")
        with os.fdopen(os.dup(fd), "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise _refusal(path, _why(error)) from None
    finally:
        os.close(fd)
    if len(data) > limit:
        raise _refusal(path, f"more than {limit} bytes; that is the most that is read.")
    return data


def _refusal(where: str, what: str) -> InputError:
    return InputError([Problem(where, what)])


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "this cannot be the name of a file."
    if isinstance(error, FileNotFoundError):
        return "no such file."
    if isinstance(error, PermissionError):
        return "you may not read this file."
    return f"cannot be read: {(error.strerror or str(error)).lower()}."


def _kind(mode: int) -> str:
    kinds = [(stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket")]
    return next((name for test, name in kinds if test(mode)), "a device")
