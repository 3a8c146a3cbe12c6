"""The rows of a table: CSV text in, rows out, and no row that cannot be read stops the others.

A `Table` is one text of `burnish.db`, cut into records. It keeps every record byte for byte, blank ones and unreadable ones too,
so that a text which differs in three rows is written by changing three records (`core.render`). What is wrong with the whole
file (an unclosed quote, no header, no UTF-8) raises `InputError`; what is wrong with a row is in `Table.problems`, and that row
is `usable = False`. Cells are the text that was typed: nothing here knows numbers, dates or formulas.

A row that cannot be read is not a row that was deleted: `Table.index` holds the ids of unusable rows as well.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from burnish.core import columns, table_faults
from burnish.core.jobs import JobId, Word
from burnish.errors import Problem, counted, printable

ID_COLUMN = "JOB_ID"
STATE_COLUMN = "STATE"
RESET = "RESET"
CANCEL = "CANCEL"
WORDS = (*(str(word) for word in Word), RESET, CANCEL)
BOM = "\ufeff"
_SKIPPED = "This row is skipped;"
csv.field_size_limit(1 << 30)  # no field is too long to be read; what no command can be given is a fault of its row
SHORT_ROW = columns.LONGEST_ARGUMENT // 4  # characters: no cell of it is too long
ID_DIGITS = 15  # more, and a spreadsheet rounds it


class Row(NamedTuple):
    """One record of a table that is not blank.

    `line`: where it begins in the file, from 1. `at`: its index in `Table.records`. `id`: None if the cell was left empty or
    cannot be read. `word`: upper-cased, empty if left empty. `cells`: aligned with `Table.columns`, empty for a ragged row.
    `raw`: the record as it stands, line end included. `usable`: False if `Table.problems` has a sentence about it.
    """

    line: int
    at: int
    id: JobId | None
    word: str
    cells: tuple[str, ...]
    raw: str
    usable: bool = True


class Table(Struct, frozen=True, dict=True):
    """One text of the table. Never changed; `core.render.render` makes the next one.

    `header`: all columns in file order, none in an `empty` file; `columns`: those without JOB_ID and STATE. `head`: the header's
    record and what stood before it. `newline`: what ends its lines. `index`: id -> row number (from 0, not counting blank
    records).
    """

    name: str
    bom: bool
    newline: str
    header: tuple[str, ...]
    head: str
    records: list[str]
    rows: list[Row]
    index: Mapping[JobId, int]
    problems: tuple[Problem, ...] = ()

    @property
    def empty(self) -> bool:
        """True if there is nothing in the file, not even a header."""
        return not self.header

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Control columns and arguments, in file order."""
        return tuple(column for column in self.header if column.strip() not in (ID_COLUMN, STATE_COLUMN))

    @cached_property
    def id_at(self) -> int:
        """The position of JOB_ID in the header."""
        return [column.strip() for column in self.header].index(ID_COLUMN)

    @cached_property
    def state_at(self) -> int:
        """The position of STATE in the header."""
        return [column.strip() for column in self.header].index(STATE_COLUMN)

    @cached_property
    def data(self) -> bytes:
        """The bytes of the file."""
        return "".join((BOM if self.bom else "", self.head, *self.records)).encode()

    @cached_property
    def sha256(self) -> str:
        """The name of this text in the journal: hex digest of `data`."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def faults(self) -> Mapping[int, Problem]:
        """What is wrong with each unusable row, by its index in `records`."""
        unusable = zip((row for row in self.rows if not row.usable), self.problems, strict=True)
        return {row.at: Problem(self.where(row), problem.what) for row, problem in unusable}

    @cached_property
    def skipped(self) -> Mapping[JobId, Problem]:
        """Ids of rows that cannot be used as they stand, and why."""
        return {row.id: self.faults[row.at] for row in self.rows if not row.usable and row.id is not None}

    @cached_property
    def nameless(self) -> tuple[Row, ...]:
        """Unusable rows of which not even the id can be read: any job without a row may be one of these."""
        return tuple(row for row in self.rows if not row.usable and row.id is None)

    def row(self, job: JobId) -> Row | None:
        """The row of that job, usable or not."""
        number = self.index.get(job)
        return None if number is None else self.rows[number]

    def where(self, row: Row) -> str:
        """`burnish.db:9`."""
        return f"{self.name}:{row.line}"


def parse(data: bytes, name: str = "burnish.db", like: Table | None = None) -> Table:
    """Read a table. `name` is the file as the user knows it, for messages. `like`: a text that differs little, if one is at hand.

    A file without a header has no jobs. Raises InputError for what is wrong with the file as a whole.
    """
    text = table_faults.decoded(data, name)
    bom = text.startswith(BOM)
    if like is not None and (table := _edited(like, text)) is not None:
        return table
    lines = _lines(text[bom:])
    records = _records(lines, name)
    head, header = _header(records, name)
    reader = _RowReader(name, header or (ID_COLUMN, STATE_COLUMN))
    rest = [reader.read(line, raw, fields) for line, raw, fields in records]
    reader.close()
    return Table(
        name=name,
        bom=bom,
        newline="\r\n" if head.endswith("\r\n") else "\n",
        header=header,
        head=head,
        records=rest,
        rows=reader.rows,
        index=reader.index,
        problems=reader.problems(),
    )


def _edited(before: Table, text: str) -> Table | None:
    """`text`, if it is `before` with some rows that read otherwise, each in its place: the other rows are not read again.

    None for all that is not as simple. Where each line is a whole record by itself, no quote is open at the end of any.
    """
    start = (BOM if before.bom else "") + before.head
    lines = _lines(text.removeprefix(start))
    if before.problems or before.empty or not text.startswith(start) or len(lines) != len(before.records):
        return None
    records, rows = before.records.copy(), before.rows.copy()
    reader = _RowReader(before.name, before.header)
    try:
        for at in [at for at, line in enumerate(lines) if line != records[at]]:
            if records[at].count("\n") != lines[at].count("\n"):
                return None
            records[at] = lines[at]
            [fields] = csv.reader([lines[at]], strict=True)
            reader.read(0, lines[at], fields)
            row = reader.rows.pop()
            number = before.index[row.id]  # type: ignore[index]
            if rows[number].at != at or reader.faults:
                return None
            rows[number] = row._replace(line=rows[number].line, at=at)
            reader.index.clear()
    except (csv.Error, LookupError, ValueError):
        return None
    return replace(before, records=records, rows=rows)


def _lines(text: str) -> list[str]:
    """With their ends, which are newlines and nothing else."""
    lines = [piece + "\n" for piece in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    if not lines[-1]:
        lines.pop()
    return lines


def _records(lines: list[str], name: str) -> Iterator[tuple[int, str, list[str]]]:
    """(line, raw text, fields) of each record; only a quoted field makes a record longer than a line."""
    reader = csv.reader(lines, strict=True)
    start = 0
    try:
        for fields in reader:
            end = reader.line_num
            yield start + 1, lines[start] if end - start == 1 else "".join(lines[start:end]), fields
            start = end
    except csv.Error as error:
        raise table_faults.quoting(lines, start, error, name) from None


def _header(records: Iterator[tuple[int, str, list[str]]], name: str) -> tuple[str, tuple[str, ...]]:
    before = ""
    for line, raw, fields in records:
        if not is_blank(fields):
            table_faults.check_header(fields, raw, line, name, (ID_COLUMN, STATE_COLUMN))
            return before + raw, tuple(fields)
        before += raw
    return before, ()


def is_blank(fields: list[str]) -> bool:
    """True for an empty line and for the rows of nothing but commas that spreadsheets leave at the end."""
    return not any(fields) or not "".join(fields).strip()


class _RowReader:
    """Turns records into rows, remembering ids and what is wrong."""

    def __init__(self, name: str, header: tuple[str, ...]) -> None:
        names = [column.strip() for column in header]
        self.name = name
        self.header, self.width = header, len(header)
        self.id_at, self.state_at = names.index(ID_COLUMN), names.index(STATE_COLUMN)
        self.pick = _picker([i for i in range(len(header)) if i not in (self.id_at, self.state_at)])
        self.control = [(place, column) for place, column in enumerate(header) if column in columns.CONTROL_COLUMNS]
        self.control_faults: dict[tuple[str, str], str | None] = {}
        self.words = {"": "", **{word: word for word in WORDS}}
        self.rows: list[Row] = []
        self.index: dict[JobId, int] = {}
        self.faults: dict[int, str] = {}  # row number -> sentence
        self.copies: dict[JobId, list[int]] = {}  # id -> numbers of its rows, where there are several
        self.at = -1

    def read(self, line: int, raw: str, fields: list[str]) -> str:
        """Take one record in; gives back its raw text. The first half is what 100 000 rows go through."""
        self.at += 1
        if len(fields) == self.width:
            typed, word = fields[self.id_at], self.words.get(fields[self.state_at])
            if word is not None and typed.isdecimal() and len(typed) <= ID_DIGITS:
                job = JobId(int(typed))
                faulty = len(raw) > SHORT_ROW or (self.control and self._control_fault(fields))
                if str(job) == typed and job not in self.index and not faulty:
                    self.index[job] = len(self.rows)
                    self.rows.append(Row(line, self.at, job, word, self.pick(fields), raw))
                    return raw
        if not is_blank(fields):
            self._read_slowly(line, raw, fields)
        return raw

    def _read_slowly(self, line: int, raw: str, fields: list[str]) -> None:
        ragged = len(fields) != len(self.header)
        # Where a field is missing or one too many, only what stands at the front is surely in its place.
        typed = fields[self.id_at].strip() if self.id_at < len(fields) and (not ragged or self.id_at == 0) else ""
        job = parse_id(typed)
        number = len(self.rows)
        if ragged:
            self.faults[number] = _ragged(fields, self.header)
        elif typed and job is None:
            self.faults[number] = (
                f'"{printable(typed, 60)}" in {ID_COLUMN} is not an id: expected a whole number such as 12, or nothing for '
                "a new job. (A spreadsheet or pandas may have rewritten it.)"
            )
        if job is not None:
            if job in self.index:
                self.copies.setdefault(job, [self.index[job]]).append(number)
            else:
                self.index[job] = number
        word = ""
        if not ragged:
            word = fields[self.state_at].strip().upper()
            if word in self.words:
                self.words[fields[self.state_at]] = word
            else:
                self.faults.setdefault(number, _unknown_word(fields[self.state_at]))
            if fault := self._control_fault(fields) or self._overlong(fields):
                self.faults.setdefault(number, fault)
        cells = () if ragged else self.pick(fields)
        self.rows.append(Row(line, self.at, job, word, cells, raw, number not in self.faults))

    def _control_fault(self, fields: list[str]) -> str | None:
        for place, column in self.control:
            text = fields[place]
            if (column, text) not in self.control_faults:
                self.control_faults[column, text] = columns.fault(column, text)
            if fault := self.control_faults[column, text]:
                return fault
        return None

    def _overlong(self, fields: list[str]) -> str | None:
        """Which cell no command can be given, and why."""
        found = ((column, columns.overlong(text)) for column, text in zip(self.header, fields, strict=True))
        return next((f"{printable(column, 60)} {fault}" for column, fault in found if fault), None)

    def close(self) -> None:
        """Mark all rows of an id that stands in several."""
        for job, numbers in self.copies.items():
            lines = ", ".join(str(self.rows[number].line) for number in numbers)
            for number in numbers:
                self.faults.setdefault(
                    number, f"{ID_COLUMN} {job} stands in lines {lines}. For a copy of a job leave {ID_COLUMN} empty."
                )
                self.rows[number] = self.rows[number]._replace(usable=False)

    def problems(self) -> tuple[Problem, ...]:
        """A sentence for each unusable row, in file order."""
        others = len(self.rows) - len(self.faults)
        end = consequence(others)
        return tuple(
            Problem(f"{self.name}:{self.rows[number].line}", f"{what} {end}")
            for number, what in sorted(self.faults.items())
        )


def consequence(others: int) -> str:
    """What becomes of a row that cannot be read beside so many others: the end of each sentence about one."""
    return f"{_SKIPPED} {counted(others, 'other goes', 'others go') + ' on' if others else 'there is no other'}."


def fault_alone(problem: Problem) -> str:
    """What is wrong with a row, without what becomes of it."""
    return problem.what.rpartition(f" {_SKIPPED}")[0] or problem.what


def parse_id(typed: str) -> JobId | None:
    """The id that `typed` is, or None: ASCII digits without leading zeros, at most 15."""
    if not (typed.isascii() and typed.isdigit() and len(typed) <= ID_DIGITS) or str(int(typed)) != typed:
        return None
    return JobId(int(typed))


def _picker(positions: list[int]) -> Callable[[list[str]], tuple[str, ...]]:
    """A function that takes the fields at `positions` out of a record."""
    if not positions:
        return lambda fields: ()
    first, last = positions[0], positions[-1]
    if positions == list(range(first, last + 1)):
        return lambda fields: tuple(fields[first : last + 1])
    return itemgetter(*positions)


def _ragged(fields: list[str], header: tuple[str, ...]) -> str:
    count = f"{counted(len(fields), 'field')} where the header has {len(header)}"
    if len(fields) > len(header):
        shown = printable(",".join(fields), 120)
        return f'{count} (an unquoted comma? put quotes around the whole field: "1,2"). It reads: {shown}.'
    missing = ", ".join(printable(column, 60) for column in header[len(fields) :][:6])
    return f"{count}; nothing is given for {missing}."


def _unknown_word(typed: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(typed.strip().upper(), WORDS, n=1, cutoff=0.6)
    guess = f" Did you mean {near[0]}?" if near else ""
    return f'"{printable(typed, 60)}" is not a {STATE_COLUMN}.{guess} Expected one of {", ".join(WORDS)}.'
