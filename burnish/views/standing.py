"""Lines that stand below what is printed at a terminal: rich's Live, which also minds what becomes of the terminal meanwhile.

It may become narrower, and it may be another program's for a while: after Ctrl-Z, and as long as this one is in the background.
The cursor is left to be seen: a program that is killed leaves the terminal as it was.
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


class Standing(Live):
    """What `lines(columns, rows)` gives for a terminal of that size, drawn twice a second by a thread of its own.

    A context manager, to be entered by the main thread: it hears of Ctrl-Z. Nothing of the lines is left in the end.
    """

    def __init__(self, err: TextIO, lines: Callable[[int, int], list[str]], *, colour: bool) -> None:
        self._err = err
        self._lines = lines
        # The width of the terminal when the lines were drawn last, and they.
        self._drawn: tuple[int, list[str]] = 0, []
        console = Console(
            file=err, force_terminal=True, no_color=not colour, highlight=False, markup=False, emoji=False
        )
        super().__init__(
            console=console, refresh_per_second=DRAWN, transient=True, redirect_stdout=False, redirect_stderr=False
        )

    def start(self, refresh: bool = False) -> None:
        if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            signal.signal(signal.SIGTSTP, self._pause)
        super().start(refresh)
        self.console.show_cursor(True)

    def stop(self) -> None:
        super().stop()
        if signal.getsignal(signal.SIGTSTP) == self._pause:
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)

    def say(self, line: str) -> None:
        """Print a line above what stands there."""
        if shutil.get_terminal_size().columns < self._drawn[0]:
            self.refresh()  # or this would be printed into what stands there, wrapped
        self.console.print(line, soft_wrap=True)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """What is printed, and around it what erases and draws the lines anew, if the terminal is ours."""
        if self._in_front():
            return super().process_renderables(renderables)
        self._forget()
        return renderables

    def get_renderable(self) -> str:
        """The lines as they are now."""
        size = shutil.get_terminal_size()
        self._unwrap(size.columns)
        self._drawn = size.columns, self._lines(size.columns, size.lines)
        return "\n".join(self._drawn[1])

    def _in_front(self) -> bool:
        """False while another program has the terminal."""
        try:
            return os.tcgetpgrp(self._err.fileno()) == os.getpgrp()
        except OSError:
            return True  # a terminal that is nobody's has no background

    def _pause(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z. A handler of SIGCONT would be too late: the thread that draws goes on before Python calls it."""
        self._forget()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._pause)

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


def rows(lines: Sequence[str], width: int) -> int:
    """How many rows these lines take in a terminal that is `width` columns wide, and wraps what is longer."""
    return sum(max(1, -(-width_of(line) // width)) for line in lines)
