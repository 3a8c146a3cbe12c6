"""From a sweep to rows: the product of its lists, counted before it is made.

A mapping is one grid: lists are searched over, single values are fixed, and rows come in the order of `itertools.product`,
the last key fastest. A list of mappings is the union of their grids. Every grid becomes *axes* (arguments that advance
together, usually one), so a row is one choice per axis and has a number; sampling and shuffling work on those numbers, and a
grid too large is refused by its count, before anything is expanded.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from burnish.core import ranges, sweep_options
from burnish.core.cells import Findings, Value, column_fault, from_scalar, from_value, uncellable
from burnish.core.columns import CONTROL_COLUMNS, control_first, did_you_mean
from burnish.core.columns import fault as control_fault
from burnish.core.document import Mapping, Node, Scalar, Sequence, kind
from burnish.core.sweep_options import BLOCK, SweepOptions
from burnish.errors import InputError, Problem, counted, printable

MAX_JOBS = 100_000
_FOREIGN_LEVELS = ("grid", "parameters", "params", "sweep", "args", "arguments")  # other tools have one around the grid
# How many combinations of an enormous grid are looked at when `exclude` leaves little to sample from.
_MOST_DRAWS = 1_000_000

_EXAMPLE = """\
a sweep is written like this:
    --env: [env1, env2]
    --seed: [1, 2]
    --lr: 1e-4"""


class Grid(Struct, frozen=True):
    """New jobs: `rows` of texts aligned with `columns` (control columns first, then arguments; no JOB_ID, no STATE).

    `notices` are worth showing and refuse nothing.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notices: tuple[Problem, ...] = ()


class Appended(Struct, frozen=True):
    """A grid beside rows that are there: `rows` are its new ones, aligned with `columns` (the old ones, then new ones)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    present: int


class _Axis(Struct, frozen=True):
    """Arguments that advance together: `values[i]` has a cell for each of `keys`."""

    keys: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]


class _Part(Struct, frozen=True):
    """One mapping of the sweep, read but not expanded."""

    node: Mapping
    axes: tuple[_Axis, ...]
    order: tuple[str, ...]
    options: SweepOptions

    @property
    def size(self) -> int:
        """Rows of the full product."""
        return math.prod(len(axis.values) for axis in self.axes)

    @property
    def jobs(self) -> int:
        """At most how many rows it contributes."""
        return self.size if self.options.random is None else min(self.size, self.options.random)


def expand(node: Node, max_jobs: int = MAX_JOBS) -> Grid:
    """The jobs of a sweep file. Raises InputError with all of its problems; more than `max_jobs` is one."""
    findings = Findings()
    mappings = _mappings(node, findings)
    _stop_on(findings, _EXAMPLE)
    parts = [_read_part(mapping, max_jobs, findings) for mapping in mappings]
    _stop_on(findings)
    _check_count(node, parts, max_jobs)
    grid = _union(parts, findings)
    _stop_on(findings)
    return grid


def from_rows(
    columns: Iterable[str],
    rows: Iterable[Iterable[Value]],
    where: str,
    max_jobs: int = MAX_JOBS,
    where_row: Callable[[int], str] | None = None,
) -> Grid:
    """The jobs that a function or a CSV gives: a value is text, True (bare flag), False or None (left out).

    Control columns may be among `columns`. `where` and `where_row` (from a row's index) name places. Raises InputError.
    """
    names = tuple(columns)
    problems = _name_problems(names, where)
    where_row = where_row or (lambda index: f"{where}, row {index}")
    cells = [tuple(from_value(name, value) for name, value in zip(names, row, strict=True)) for row in rows]
    if len(cells) > max_jobs:
        problems.append(Problem(where, f"more than {counted(max_jobs, 'job')}, which is the limit (--max_jobs)."))
    if not cells or not names:
        problems.append(Problem(where, "this gives no jobs."))
    for index, row in enumerate(cells):
        for name, text in zip(names, row, strict=True):
            if fault := uncellable(text) or (control_fault(name, text) if name in CONTROL_COLUMNS else None):
                problems.append(Problem(where_row(index), fault))
    if problems:
        raise InputError(problems)
    return _control_first(names, cells)


def append(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]], grid: Grid) -> Appended:
    """What of `grid` is not among `rows` yet. Rows are the same when their arguments are, as text; empty is absent.

    A combination that the grid has three times and the table once is there twice more.
    """
    there = Counter(_arguments(columns, row) for row in rows)
    new_columns = [name for name in grid.columns if name not in columns]
    merged = (*columns, *new_columns)
    added, present = [], 0
    for row in grid.rows:
        arguments = _arguments(grid.columns, row)
        if there[arguments] > 0:
            there[arguments] -= 1
            present += 1
        else:
            cells = dict(zip(grid.columns, row, strict=True))
            added.append(tuple(cells.get(name, "") for name in merged))
    return Appended(merged, tuple(added), present)


def _arguments(columns: tuple[str, ...], row: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    pairs = zip(columns, row, strict=True)
    return frozenset((name, text) for name, text in pairs if text and name not in CONTROL_COLUMNS)


# Reading


def _mappings(node: Node, findings: Findings) -> tuple[Mapping, ...]:
    items = node.items if isinstance(node, Sequence) and node.items else (node,)
    for item in items:
        if not isinstance(item, Mapping):
            found = "nothing" if isinstance(item, Scalar) and not item.text else kind(item)
            found = "an empty list" if isinstance(item, Sequence) and not item.items else found
            findings.refuse(item, f"found {printable(found)}; expected arguments and their values.")
    return tuple(item for item in items if isinstance(item, Mapping))


def _read_part(node: Mapping, max_jobs: int, findings: Findings) -> _Part:
    known_problems = len(findings.problems)
    options, axes = SweepOptions(), {}
    for key, value in node:
        if key.text == BLOCK:
            options = sweep_options.read(value, max_jobs, findings)
        elif fault := column_fault(key.text):
            findings.refuse(key, fault)
        else:
            axes[key.text] = _Axis((key.text,), tuple((text,) for text in _values(key, value, max_jobs, findings)))
    for key, times in options.repeat:
        if key.text in axes:
            findings.refuse(key, f"{printable(key.text)} is both a parameter and repeated; remove one of them.")
        axes[key.text] = _Axis((key.text,), tuple((str(number),) for number in range(times)))
    order = tuple(axes)
    if not axes and len(findings.problems) == known_problems:
        findings.refuse(node, "this grid has no arguments.")
    return _Part(node, tuple(_zipped(axes, options, findings)), order, options)


def _values(key: Scalar, node: Node, max_jobs: int, findings: Findings) -> list[str]:
    """The cells of one argument; at least one, so that reading can go on after a problem."""
    if isinstance(node, Mapping):
        findings.refuse(
            node, f"{printable(key.text)} holds a mapping; expected a value or a list of values.{_meant(key.text)}"
        )
        return [""]
    if isinstance(node, Scalar):
        try:
            computed = ranges.values(node.text, max_jobs) if node.plain else None
        except ranges.RangeFault as fault:
            findings.refuse(node, f"{fault} In quotes it is text.")
            return [""]
        return list(computed) if computed is not None else [from_scalar(key.text, node, findings)]
    if not node.items:
        findings.refuse(node, f"{printable(key.text)} has an empty list, so there would be no jobs.")
        return [""]
    values = [from_scalar(key.text, item, findings) for item in node.items]
    twice = [text for text, count in Counter(values).items() if count > 1]
    if twice:
        shown = printable(twice[0] or "nothing", 40)
        findings.note(node, f"{printable(key.text)} lists {shown} more than once; each makes jobs of its own.")
    return values


def _meant(key: str) -> str:
    """What somebody may have meant who put a mapping below `key`."""
    if near := did_you_mean(key, [BLOCK]):
        return near
    if near := did_you_mean(key, _FOREIGN_LEVELS):
        guess = "" if key in _FOREIGN_LEVELS else near
        return (
            f"{guess} There is no such level here: write the arguments themselves at the left margin, --lr: [0.1, 1]."
        )
    return ""


def _zipped(axes: dict[str, _Axis], options: SweepOptions, findings: Findings) -> Iterator[_Axis]:
    """The axes with zipped ones made one, at the place of the first of them."""
    taken: dict[str, _Axis | None] = {}
    for group in options.zip:
        names = [name.text for name in group]
        unknown = next((name for name in group if name.text not in axes), None)
        again = next((name for name in group if name.text in taken or names.count(name.text) > 1), None)
        if unknown is not None:
            near = did_you_mean(unknown.text, axes)
            findings.refuse(unknown, f'zip names "{printable(unknown.text)}", which is no argument here.{near}')
        elif again is not None:
            findings.refuse(again, f"{printable(again.text)} is zipped twice.")
        elif len({len(axes[name].values) for name in names}) > 1:
            shown = ", ".join(f"{printable(name)} has {len(axes[name].values)}" for name in names)
            findings.refuse(group[0], f"zipped arguments need equally many values: {shown}.")
        else:
            joined = zip(*(axes[name].values for name in names), strict=True)
            axis = _Axis(tuple(names), tuple(tuple(cell for (cell,) in row) for row in joined))
            first = min(names, key=list(axes).index)
            taken.update({name: axis if name == first else None for name in names})
    for name, axis in axes.items():
        chosen = taken.get(name, axis)
        if chosen is not None:
            yield chosen


def _check_count(node: Node, parts: list[_Part], max_jobs: int) -> None:
    total = sum(part.jobs for part in parts)
    if total <= max_jobs:
        return
    lists = " + ".join(
        " × ".join(f"{printable(axis.keys[0])} {len(axis.values)}" for axis in part.axes if len(axis.values) > 1) or "1"
        for part in parts[:5]
    )
    more = f" + {len(parts) - 5} more grids" if len(parts) > 5 else ""
    before = " before `exclude`" if any(part.options.exclude for part in parts) else ""
    raise InputError(
        [
            node.problem(
                f"this sweep has {total} jobs{before} ({lists}{more}); the limit is {max_jobs}. Nothing was expanded."
            )
        ],
        hint="shorten a list, sample with `burnish: {random: 30}`, or allow it with --max_jobs",
    )


# Expanding


def _union(parts: list[_Part], findings: Findings) -> Grid:
    arguments = dict.fromkeys(name for part in parts for name in part.order)
    control = dict.fromkeys(name for part in parts for name, _ in part.options.columns)
    columns = (*(name for name in CONTROL_COLUMNS if name in control), *arguments)
    rows: list[tuple[str, ...]] = []
    earlier: set[frozenset[tuple[str, str]]] = set()
    for part in parts:
        own = [(row, _arguments(columns, row)) for row in _rows(part, columns, findings)]
        fresh = [row for row, arguments in own if arguments not in earlier]
        if len(fresh) < len(own):
            repeated = f"{len(own) - len(fresh)} of {counted(len(own), 'combination')}"
            findings.note(part.node, f"an earlier grid has {repeated} already, which it does not repeat.")
        earlier.update(arguments for _, arguments in own)
        rows += fresh
    return Grid(columns, tuple(rows), findings.notices)


def _rows(part: _Part, columns: tuple[str, ...], findings: Findings) -> Iterator[tuple[str, ...]]:
    excluded = _exclusions(part, findings)
    fixed = dict(part.options.columns)
    rows = 0
    for number in _numbers(part, excluded, findings):
        cells = _cells(part, number)
        if not _is_excluded(cells, excluded):
            rows += 1
            yield tuple(cells[name] if name in cells else fixed.get(name, "") for name in columns)
    if not rows:
        findings.refuse(part.node, "every combination of this grid is excluded.")


def _cells(part: _Part, number: int) -> dict[str, str]:
    """Row `number` of the product: the last axis varies fastest."""
    cells: dict[str, str] = {}
    for axis in reversed(part.axes):
        number, index = divmod(number, len(axis.values))
        cells.update(zip(axis.keys, axis.values[index], strict=True))
    return cells


_Exclusion = dict[str, frozenset[str]]


def _exclusions(part: _Part, findings: Findings) -> list[_Exclusion]:
    values = {key: {row[index] for row in axis.values} for axis in part.axes for index, key in enumerate(axis.keys)}
    return [_exclusion(rule, values, findings) for rule in part.options.exclude]


def _exclusion(rule: Mapping, values: dict[str, set[str]], findings: Findings) -> _Exclusion:
    """A rule whose every word is known; one that can never match is a mistake and is refused."""
    exclusion = {}
    for key, node in rule:
        if key.text not in values:
            near = did_you_mean(key.text, values)
            findings.refuse(key, f'exclude names "{printable(key.text)}", which is no argument here.{near}')
            continue
        texts = set()
        for item in node.items if isinstance(node, Sequence) else (node,):
            text = from_scalar(key.text, item, Findings())
            texts.add(text)
            if text not in values[key.text]:
                has = ", ".join(printable(value, 20) or "nothing" for value in sorted(values[key.text])[:5])
                shown = kind(item) if isinstance(item, Scalar) else "this"
                findings.refuse(
                    item, f"{printable(key.text)} is never {printable(shown)} (it is {has}); texts are compared."
                )
        exclusion[key.text] = frozenset(texts)
    return exclusion


def _is_excluded(cells: dict[str, str], exclusions: list[_Exclusion]) -> bool:
    return any(all(cells[key] in texts for key, texts in exclusion.items()) for exclusion in exclusions)


def _numbers(part: _Part, excluded: list[_Exclusion], findings: Findings) -> Iterable[int]:
    """Which rows of the product, in the order of the table: all, or a sample; as written, or shuffled."""
    options = part.options
    numbers: Iterable[int] = range(part.size)
    if options.random is not None:
        numbers = sorted(_sample(part, options.random, excluded, findings))
    if options.shuffle:
        numbers = sorted(numbers, key=lambda number: _draw(options.sample_seed, "order", number))
    return numbers


def _sample(part: _Part, wanted: int, excluded: list[_Exclusion], findings: Findings) -> set[int]:
    """`wanted` numbers of rows that are not excluded, drawn without return; fewer where there are not so many."""
    chosen: set[int] = set()
    for number in _drawn(part):
        if len(chosen) == wanted:
            break
        if not _is_excluded(_cells(part, number), excluded):
            chosen.add(number)
    if len(chosen) < wanted:
        findings.note(
            part.node,
            f"random asks for {wanted}; only {counted(len(chosen), 'combination was', 'combinations were')} found, and all "
            "that were found are taken.",
        )
    return chosen


def _drawn(part: _Part) -> Iterator[int]:
    """Numbers of rows in an order that only `sample_seed` and the size decide, on every machine and every Python."""
    seed, size = part.options.sample_seed, part.size
    if size <= _MOST_DRAWS // 5:
        yield from sorted(range(size), key=lambda number: _draw(seed, "sample", number))
        return
    for attempt in range(_MOST_DRAWS):
        yield _draw(seed, "sample", attempt) % size


def _draw(seed: int, purpose: str, number: int) -> int:
    """A number below 2**128 that looks random. Not `random`, whose draws are not promised to stay between versions."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=16).digest(), "big")


def _stop_on(findings: Findings, hint: str | None = None) -> None:
    if findings.problems:
        raise InputError(findings.problems, hint=hint)


def _name_problems(names: tuple[str, ...], where: str) -> list[Problem]:
    faults = [fault for name in names if name not in CONTROL_COLUMNS and (fault := column_fault(name))]
    faults += [f'"{printable(name)}" names {count} columns.' for name, count in Counter(names).items() if count > 1]
    return [Problem(where, fault) for fault in faults]


def _control_first(names: tuple[str, ...], rows: list[tuple[str, ...]]) -> Grid:
    order = control_first(names)
    if order == list(range(len(names))):
        return Grid(names, tuple(rows))
    return Grid(tuple(names[index] for index in order), tuple(tuple(row[index] for index in order) for row in rows))
