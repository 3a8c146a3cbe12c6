"""Nothing but a sentence: runs a reader, and sees whether it hangs, writes, starts something, or raises what nobody expects."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

LIMIT = (
    2.0  # s of this process's own time for one input: a thousand brackets, which PyYAML may take for a key, need 0.6
)
STUCK = 60.0  # s after which the process ends, and shows where it was
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
# What only looks is let be; whatever else touches the world is not.
DEEDS = frozenset(
    (
        "os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "os.chown",
        "os.utime", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.kill", "subprocess.Popen", "socket.connect",
        "socket.bind", "os.setxattr", "shutil.rmtree",
    )
)  # fmt: skip


class Hung(BaseException):
    """A reader took longer than LIMIT. Not an Exception: nothing that is read may catch it."""


class Deed(BaseException):
    """A reader did something to the world."""


_watching = False
sys.dont_write_bytecode = True  # a module that is needed for the first time is no deed


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event in DEEDS or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING):
        raise Deed(f"{event} {arguments!r:.200}")


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[None]:
    """What is done within may only look. Raises Hung, Deed."""
    global _watching

    def end(number: int, frame: object) -> None:
        raise Hung(f"more than {LIMIT} s")

    before = signal.signal(signal.SIGPROF, end)
    faulthandler.dump_traceback_later(STUCK, exit=True)
    signal.setitimer(signal.ITIMER_PROF, LIMIT)
    _watching = True
    try:
        yield
    finally:
        _watching = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGPROF, before)


def complaint(read: Callable[[], None]) -> str:
    """What is wrong with how `read` took its input, or ""."""
    try:
        with watched():
            read()
    except (Exception, Hung, Deed) as error:
        return f"{type(error).__name__}: {error}"
    return ""
