"""A script of tests/support as a process with pipes: it is asked line by line, and ended when the test ends."""

from __future__ import annotations

import signal
import subprocess

from . import strace
from .deadline import within


class Piped:
    """A started script. `pid` is its own, for harm done on purpose."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            strace.script(script, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=strace.environment(),
        )
        self.pid = self._process.pid

    def hear(self) -> str:
        """The next line it says, "" at its end."""
        assert self._process.stdout is not None
        with within(60):
            return self._process.stdout.readline().strip()

    def tell(self, line: str = "") -> None:
        """Give it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def ask(self, line: str) -> str:
        """Give it a line, and hear the next one."""
        self.tell(line)
        return self.hear()

    def kill(self) -> int:
        """SIGKILL, and wait; the exit status."""
        self._process.send_signal(signal.SIGKILL)
        return self._process.wait()

    def end(self) -> None:
        """Make sure that it is gone, and its pipes."""
        self._process.kill()
        self._process.communicate()
