"""Text tables at a given width: what fits is shown, what does not is named.

A `Table` is columns and rows of text. `lines` lays it out: columns that are empty throughout are left out, wide ones give way
until the table fits, and of those that may be dropped as many as it takes are, which is then said below. Without a width
(a pipe, a file) nothing is cut. Text is escaped here, once, so that no cell can move anyone's cursor. Colour, where it is wanted,
only repeats what a word says.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct, field

from burnish.errors import printable

GAP = "  "
NARROWEST = 40  # terminal columns; a narrower terminal wraps
LONGEST_CELL = 10_000
LINES_OF_NAMES = 2  # for columns that are not shown; more of them are counted
Paint = Callable[[str], str]


class Column(Struct, frozen=True):
    """`right`: numbers. `least`: narrowest it may become, in characters. `optional`: where there is no room, larger ones are
    dropped first, of equals the last; 0: never.

    `tight`: narrowest where rows would wrap although all that may be dropped is; None: no narrower than `least`.
    """

    title: str
    right: bool = False
    least: int = 8
    tight: int | None = None
    optional: int = 0
    keep_empty: bool = False


class Table(Struct, frozen=True):
    """`rows` are aligned with `columns`. `paints`: cell text -> how to colour it, by column title."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    paints: dict[str, Callable[[str], Paint | None]] = field(default_factory=dict)


def width_of(text: str) -> int:
    """Terminal columns that `text` takes: wide East Asian characters two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def cut(text: str, width: int) -> str:
    """`text` in at most `width` terminal columns; the end of what was cut off is an ellipsis."""
    if width_of(text) <= width:
        return text
    kept, taken = [], 0
    for char in text:
        taken += width_of(char)
        if taken > width - 1:
            break
        kept.append(char)
    return "".join(kept) + "…"


def lines(table: Table, width: int | None = None, colour: bool = False) -> Iterator[str]:
    """The lines of `table`, title line first, without newlines; at most `width` terminal columns wide, or uncut without it."""
    titles = [_shown(column.title) for column in table.columns]
    cells = [[_shown(cell) for cell in row] for row in table.rows]
    widths = [max([width_of(titles[index]), *(width_of(row[index]) for row in cells)]) for index in range(len(titles))]
    filled = [
        index
        for index, column in enumerate(table.columns)
        if column.keep_empty or not cells or any(row[index] for row in cells)
    ]
    shown, dropped = _fit(table.columns, widths, filled, width)
    columns = [table.columns[index] for index in shown]
    yield _line([titles[index] for index in shown], columns, [widths[index] for index in shown])
    paints = [table.paints.get(column.title) if colour else None for column in columns]
    for row in cells:
        yield _line([row[index] for index in shown], columns, [widths[index] for index in shown], paints)
    if dropped:
        yield from _not_shown([titles[index] for index in dropped], width)


def wrapped(sentence: str, width: int | None) -> Sequence[str]:
    """A sentence on as many lines as it takes: a screen that is drawn again must know how many there are."""
    return (
        [sentence] if width is None else textwrap.wrap(sentence, width, subsequent_indent="  ", break_on_hyphens=False)
    )


def _not_shown(titles: Sequence[str], width: int | None) -> Sequence[str]:
    """What is said of columns that were dropped: as many of their names as go on a line or two."""
    for named in range(len(titles), 0, -1):
        more = f" and {len(titles) - named} more" if named < len(titles) else ""
        shown = wrapped(f"Not shown for want of room: {', '.join(titles[:named])}{more}", width)
        if width is None or (len(shown) <= LINES_OF_NAMES and all(width_of(line) <= width for line in shown)):
            return shown
    return [cut(f"Not shown for want of room: {len(titles)} columns", width or LONGEST_CELL)]


def _fit(
    columns: Sequence[Column], widths: list[int], filled: list[int], width: int | None
) -> tuple[list[int], list[int]]:
    """Indices to show and indices dropped; narrows `widths` in place. The widest gives way first.

    What may be dropped is, before any column is made tight.
    """
    shown = list(filled)
    dropped: list[int] = []
    if width is None:
        return shown, dropped

    def least(index: int) -> int:
        return min(widths[index], max(columns[index].least, min(width_of(columns[index].title), 20)))

    def total(size: Callable[[int], int]) -> int:
        return sum(map(size, shown)) + len(GAP) * (len(shown) - 1)

    while total(least) > width and any(columns[index].optional for index in shown):
        first = max(shown, key=lambda index: (columns[index].optional, index))
        shown.remove(first)
        dropped.append(first)

    def tight(index: int) -> int:
        narrowest = columns[index].tight
        return least(index) if narrowest is None else min(least(index), narrowest)

    for narrowest in (least, tight):
        while total(lambda index: widths[index]) > width:
            widest = max(shown, key=lambda index: widths[index] - narrowest(index))
            if widths[widest] <= narrowest(widest):
                break  # if it is tight: what must be shown is wider than the terminal. It wraps, and is whole
            widths[widest] -= 1
    return shown, sorted(dropped)


def _shown(cell: str) -> str:
    return cell if cell.isascii() and cell.isprintable() else printable(cell, LONGEST_CELL)


def _line(
    cells: Sequence[str],
    columns: Sequence[Column],
    widths: Sequence[int],
    paints: Sequence[Callable[[str], Paint | None] | None] | None = None,
) -> str:
    pieces = []
    for index, (cell, column, width) in enumerate(zip(cells, columns, widths, strict=True)):
        text = cut(cell, width)
        blanks = " " * (width - width_of(text))
        choose = paints[index] if paints else None
        paint = choose(cell) if choose else None
        painted = paint(text) if paint else text
        pieces.append(blanks + painted if column.right else painted + blanks)
    return GAP.join(pieces).rstrip()
