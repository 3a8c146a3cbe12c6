"""Lines that stand below what is printed at a terminal: rich's Live, which also minds what becomes of the terminal meanwhile.

It may become narrower, and it may be another program's for a while: after Ctrl-Z, and as long as this one is in the background.
(A SIGSTOP that `fg` follows at once is not noticed: as many rows as stood there are then erased of what was typed meanwhile.)
The cursor is never hidden: a program that is killed leaves the terminal as it was.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TextIO

from rich.console import Console, ConsoleRenderable
from rich.live import Live

from burnish.views.tables import width_of

DRAWN = 2.0  # times a second
UNKNOWN = os.terminal_size((80, 24))  # what is drawn for where nobody says how large it is
PATIENCE = 0.2  # s that Ctrl-Z waits for what is being drawn


class Foot(Live):
    """What `lines(columns, rows)` gives for a terminal of that size, drawn twice a second by a thread of its own.

    A context manager, to be entered by the main thread: it hears of Ctrl-Z. Nothing of the lines is left in the end.
    """

    def __init__(self, err: TextIO, lines: Callable[[int, int], list[str]], *, colour: bool) -> None:
        self._err = err
        self._lines = lines
        # The width of the terminal when the lines were drawn last, and they.
        self._drawn: tuple[int, list[str]] = 0, []
        self._saying = self._stopped = False
        console = _Console(
            file=err, force_terminal=True, no_color=not colour, highlight=False, markup=False, emoji=False
        )
        super().__init__(
            console=console, refresh_per_second=DRAWN, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    @property
    def in_front(self) -> bool:
        """False while another program has the terminal: nothing is drawn then."""
        try:
            return os.tcgetpgrp(self._err.fileno()) == os.getpgrp()
        except OSError:
            return True  # a terminal that is nobody's has no background

    def start(self, refresh: bool = False) -> None:
        # Whom no shell waits for, the kernel does not stop.
        if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL and os.getpgrp() != os.getsid(0):
            signal.signal(signal.SIGTSTP, self._pause)
        super().start(refresh)

    def stop(self) -> None:
        super().stop()
        if signal.getsignal(signal.SIGTSTP) == self._pause:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)

    def say(self, line: str) -> None:
        """Print a line above what stands there."""
        self._saying = True
        try:
            if self._size().columns < self._drawn[0]:
                self.refresh()  # or this would be printed into what stands there, wrapped
            self.console.print(line, soft_wrap=True)
        finally:
            self._saying = False
        if self._stopped:
            signal.raise_signal(signal.SIGTSTP)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """What is printed, and around it what erases and draws the lines anew, if the terminal is ours."""
        if self.in_front:
            return super().process_renderables(renderables)
        self._forget()
        return renderables

    def get_renderable(self) -> str:
        """The lines as they are now."""
        size = self._size()
        self._unwrap(size.columns)
        self._drawn = size.columns, self._lines(size.columns, size.lines)
        return "\n".join(self._drawn[1])

    def _size(self) -> os.terminal_size:
        """Of the terminal that is drawn on, which stdout need not be."""
        try:
            size = os.get_terminal_size(self._err.fileno())
        except OSError:
            size = UNKNOWN
        return shutil.get_terminal_size(size if all(size) else UNKNOWN)

    def _pause(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z. A handler of SIGCONT would be too late: the thread that draws goes on before Python calls it."""
        self._stopped = self._saying  # what erases the lines may be on its way: after it
        if self._stopped:
            return
        held = self._lock.acquire(timeout=PATIENCE)
        self._forget()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._pause)
        if held:
            self._lock.release()

    def _forget(self) -> None:
        """What was drawn stays where it is, and the next lines stand where the cursor is then."""
        self._live_render._shape = None

    def _unwrap(self, columns: int) -> None:
        """Where the terminal has become narrower, see to it that the old lines are erased with all the rows that they take now.

        There is no telling a terminal that cuts lines off instead (xterm): it loses as many of the lines above.
        """
        width, lines = self._drawn
        if columns < width and self._live_render._shape is not None:
            self._live_render._shape = columns, rows(lines, columns)


class _Console(Console):
    def show_cursor(self, show: bool = True) -> bool:
        """Leave it as it is: `Live` would hide it."""
        return False


def rows(lines: Sequence[str], width: int) -> int:
    """How many rows these lines take in a terminal that is `width` columns wide, and wraps what is longer."""
    return sum(max(1, -(-width_of(line) // width)) for line in lines)
