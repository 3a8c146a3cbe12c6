"""Text tables at a given width: what fits is shown, what does not is named.

A `Table` is columns and rows of text. `lines` lays it out: columns that are empty throughout are left out, wide ones give way
until the table fits, and of those that may be dropped as many as it takes are, which is then said below. Without a width
(a pipe, a file) nothing is cut. Text is escaped here, once, so that no cell can move anyone's cursor. Colour, where it is wanted,
only repeats what a word says.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from msgspec import Struct, field

from burnish.errors import printable

GAP = "  "
NARROWEST = 40  # terminal columns; a narrower terminal wraps
LONGEST_CELL = 10_000
LINES_OF_NAMES = 2  # for columns that are not shown; more of them are counted
Paint = Callable[[str], str]


class Column(Struct, frozen=True):
    """`right`: numbers. `least`: narrowest it may become, in characters. `optional`: where there is no room, larger ones are
    dropped first, of equals one that says the same in all rows, then the last; 0: never.

    `tight`: narrowest where rows would wrap although all that may be dropped is; None: no narrower than `least`. `apart`: names,
    which are cut at a place that leaves them different.
    """

    title: str
    right: bool = False
    least: int = 8
    tight: int | None = None
    optional: int = 0
    keep_empty: bool = False
    apart: bool = False


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


def shortened(names: Collection[str], width: int) -> dict[str, str]:
    """Each of `names` in at most `width` terminal columns, all cut at one place: the one that leaves most of them different.

    They are cut at the end, in the middle, or at the beginning: `gpu-n…`, `gpu…01`, `…a100-1`.
    """
    if all(width_of(name) <= width for name in names):
        return {name: name for name in names}
    ways = [{name: _cut_within(name, width, kept) for name in names} for kept in (0, (width - 1) // 2, width - 1)]
    return max(ways, key=lambda way: len(set(way.values())))


def _cut_within(text: str, width: int, kept: int) -> str:
    """As `cut`, but the last `kept` columns stay."""
    if width_of(text) <= width:
        return text
    end = cut(text[::-1], kept + 1)[-2::-1] if kept > 0 else ""
    return cut(text, width - width_of(end)) + end


def _apart_from(names: Collection[str], least: int) -> int:
    """The narrowest width, of `least` and more, at which these names stay different."""
    whole = max(map(width_of, names), default=0)
    wide_enough = (w for w in range(least, whole) if len(set(shortened(names, w).values())) == len(names))
    return next(wide_enough, whole)


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
    short: dict[int, dict[str, str]] = {}
    dropped: list[int] = []
    shown = filled
    if width is not None and _total(widths, filled) > width:
        shown, dropped = _fit(table.columns, cells, widths, filled, width)
        apart = [index for index in shown if table.columns[index].apart]
        short = {index: shortened({row[index] for row in cells}, widths[index]) for index in apart}
    columns = [table.columns[index] for index in shown]
    yield _line([titles[index] for index in shown], columns, [widths[index] for index in shown])
    paints = [table.paints.get(column.title) if colour else None for column in columns]
    for row in cells:
        yield _line(
            [short[index][row[index]] if index in short else row[index] for index in shown],
            columns,
            [widths[index] for index in shown],
            paints,
        )
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


def _total(widths: Mapping[int, int] | Sequence[int], shown: Sequence[int]) -> int:
    """Terminal columns that a row of these columns takes."""
    return sum(widths[index] for index in shown) + len(GAP) * (len(shown) - 1)


def _fit(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], widths: list[int], filled: Sequence[int], width: int
) -> tuple[list[int], list[int]]:
    """Indices to show and indices dropped; narrows `widths` in place. The widest gives way first.

    What may be dropped is, before any column is made tight; and of that, what says the same in all rows gives way first.
    """
    names = {index: {row[index] for row in cells} for index in filled if columns[index].apart}
    same = {index for index in filled if len(cells) > 1 and all(row[index] == cells[0][index] for row in cells)}

    def narrowest(index: int, wish: int) -> int:
        """What `wish` comes to: no more than is there, and enough for names to stay apart."""
        return min(widths[index], _apart_from(names[index], wish) if index in names else wish)

    least = {i: narrowest(i, max(columns[i].least, min(width_of(columns[i].title), 20))) for i in filled}
    tight = {i: least[i] if (tightest := columns[i].tight) is None else min(least[i], tightest) for i in filled}
    apart = {i: min(least[i], narrowest(i, tight[i])) for i in filled}
    shown = list(filled)
    dropped: list[int] = []
    while _total(least, shown) > width and any(columns[index].optional for index in shown):
        first = max(shown, key=lambda index: (columns[index].optional, index in same, index))
        shown.remove(first)
        dropped.append(first)
    for index in reversed(dropped[:-1]):  # one that was dropped in vain comes back
        if _total(least, [*shown, index]) <= width:
            dropped.remove(index)
            shown = sorted([*shown, index])
    alike = [index for index in shown if index in same and columns[index].optional]
    for giving, narrow in (alike, least), (shown, least), (shown, apart), (shown, tight):
        while giving and _total(widths, shown) > width:
            widest = max(giving, key=lambda index: widths[index] - narrow[index])
            if widths[widest] <= narrow[widest]:
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
