"""`--watch`: the same view again and again. On a terminal it is one screen that stands still; in a pipe, a page per change.

A screen is a function of a snapshot: this module only repeats. The terminal is left as it was, however the watching ends.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator

from burnish.views import tables
from burnish.views.keyboard import Keyboard
from burnish.views.output import Output, TableOutput, View

INTERVAL = 1.0  # s between two looks

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # the alternate screen, and no cursor in it
_HOME, _REST_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def watch(
    look: Callable[[], View],
    output: Output,
    until: Callable[[], bool] = lambda: False,
    pause: Callable[[float], object] | None = None,
) -> None:
    """Show what `look` returns, once a second, `until` says so, the reader goes away or somebody types `q`.

    KeyboardInterrupt passes through. `pause` waits so many seconds, and ends the watching if it returns something true.
    """
    screen = isinstance(output, TableOutput)
    with Keyboard() as keyboard:
        pause = pause or (keyboard.pause if screen else time.sleep)  # a pager beside us reads the keys itself
        last = _repeat(look, output, until, pause, screen)
    if screen and last is not None:
        output.lines(last)


def _repeat(
    look: Callable[[], View],
    output: Output,
    until: Callable[[], bool],
    pause: Callable[[float], object],
    screen: bool,
) -> list[str] | None:
    """The last page."""
    last: list[str] | None = None
    try:
        if screen:
            output.raw(_ENTER)
        while not output.closed:
            page = list(_frame(look(), output) if screen else output.page(look()))
            if screen:
                output.raw(_HOME + "".join(f"{line}{_REST_OF_LINE}\r\n" for line in page) + _BELOW)
            elif page != last:
                output.lines(page if last is None or len(page) == 1 else ["", *page])
            last = page
            if until() or pause(INTERVAL):
                break
    finally:
        if screen:
            output.raw(_LEAVE)
    return last


def _frame(view: View, output: Output) -> Iterator[str]:
    """As many lines as the terminal has now, at the width it has now; the last says how many are left out."""
    size = shutil.get_terminal_size()
    room = max(3, size.lines - 1)
    lines = list(_fitting(view, size.columns, output.colour))
    if len(lines) <= room:
        yield from lines
        return
    yield from lines[: room - 1]
    yield f"… {len(lines) - room + 1} more lines"


def _fitting(view: View, columns: int, colour: bool) -> Iterator[str]:
    """Its lines; one that no layout makes narrow enough is cut, and loses its colour: wrapped, it would push the screen up."""
    width = max(tables.NARROWEST, columns)
    for line, plain in zip(view.text(width, colour), view.text(width, False), strict=True):
        yield line if tables.width_of(plain) <= columns else tables.cut(plain, columns)
