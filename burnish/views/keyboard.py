"""`q` ends what goes on and on, as in top and less: a keyboard whose keys are heard at once, and are not shown.

Only a program in the foreground may listen: another would be stopped by its terminal. What the terminal was like before is put
back on every way out that a process sees; after SIGKILL a shell puts it back, as after that of any such program.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from typing import Any

LEAVE = b"qQ"


class Keyboard:
    """A context manager. Without a terminal on stdin it hears nothing."""

    def __init__(self) -> None:
        self._fd = -1
        self._before: list[Any] | None = None

    def __enter__(self) -> Keyboard:
        try:
            self._fd = sys.stdin.fileno() if sys.stdin is not None else -1
        except (OSError, ValueError):
            self._fd = -1  # a test's, or closed
        return self

    def __exit__(self, *raised: object) -> None:
        if self._before is not None and self._is_ours():
            try:
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
            except termios.error:
                pass  # the terminal was closed

    def pause(self, seconds: float) -> bool:
        """Wait so long. True, at once, when somebody types `q`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not self._listens():
                time.sleep(left)
            elif select.select([self._fd], [], [], left)[0] and self._is_ours():
                try:
                    typed = os.read(self._fd, 64)
                except OSError:
                    typed = b""
                if not typed:
                    self._fd = -1  # the terminal was closed
                elif any(key in LEAVE for key in typed):
                    return True
        return False

    def _listens(self) -> bool:
        """True if keys are heard now. After Ctrl-Z and `fg` the terminal has to be told again."""
        if not self._is_ours():
            return False
        try:
            now = termios.tcgetattr(self._fd)
            if now[3] & (termios.ICANON | termios.ECHO):
                self._before = now
                tty.setcbreak(self._fd, termios.TCSANOW)
        except termios.error:
            return False
        return True

    def _is_ours(self) -> bool:
        try:
            return self._fd >= 0 and os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return False  # no terminal
