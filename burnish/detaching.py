"""`run --detach`: a run that outlives its terminal.

It is forked before anything is opened. The child checks what a run checks, so that a mistake is said on the terminal as ever,
then lets go of the terminal: what it says goes to a file. The parent waits until the run has begun, or has ended already.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from msgspec import Struct

from burnish.errors import StoreError

_BEGUN = b"\n"  # ends the name of the log


class Child:
    """The run's end of the fork."""

    def __init__(self, word: int) -> None:
        self._word: int | None = word
        self._log = Path(os.devnull)

    def let_go(self, log: Path) -> None:
        """Say what there is to say in `log` from now on. Raises StoreError if the disk refuses."""
        try:
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreError(f"{log}: {error.strerror}. Nothing was started.") from None
        self._log = log
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for number, instead in enumerate((nothing, descriptor, descriptor)):
            os.dup2(instead, number)
        self._tell(os.fsencode(log))

    def begin(self, *_: object) -> None:
        """The run has begun: whoever waits at the terminal may go."""
        if self._word is not None:
            self._tell(_BEGUN)
            os.close(self._word)
            self._word = None

    def _tell(self, word: bytes) -> None:
        assert self._word is not None
        try:
            os.write(self._word, word)
        except BrokenPipeError:
            pass  # whoever waited is gone: so much the more detached


class Parent(Struct, frozen=True):
    """What became of the run. `log`: where it says what it has to say, if it came so far. `code`: None while it runs."""

    pid: int
    log: Path | None
    code: int | None


def fork() -> Child | Parent:
    """Both ends of the fork: the child at once, the parent when the run has begun or ended."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.setsid()  # no Ctrl-C and no hang-up of the terminal from here on
        return Child(writing)
    os.close(writing)
    try:
        heard = _hear(reading)
    except KeyboardInterrupt:
        os.kill(pid, signal.SIGINT)
        raise
    finally:
        os.close(reading)
    log = Path(os.fsdecode(heard.rstrip(_BEGUN))) if heard else None
    return Parent(pid, log, None if heard.endswith(_BEGUN) else _code(pid))


def _hear(reading: int) -> bytes:
    heard = b""
    while not heard.endswith(_BEGUN) and (piece := os.read(reading, 4096)):
        heard += piece
    return heard


def _code(pid: int) -> int:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code
