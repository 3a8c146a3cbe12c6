"""`burnish results`: arguments × metrics, a row for each job that is COMPLETE or has reported a result.

A metric is a key of the JSON object that the job wrote to its BURNISH_RESULT; keys of objects within it are joined by dots
(`val.acc`). The table rounds numbers to six digits; CSV and JSON hold them as reported.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct

from burnish.core.ids import name_ids
from burnish.core.jobs import Word
from burnish.core.verdict import NOT_TAKEN
from burnish.errors import counted
from burnish.views import tables
from burnish.views.snapshot import JobRow, Snapshot
from burnish.views.tables import Column, Table

DIGITS = 6
NEWLINE = "\r\n"  # with it the csv module quotes every cell that holds either character
DEEPEST = 8
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class ResultsView(Struct, frozen=True, dict=True):
    """The results in a snapshot. `text`, `json`, and `csv` hold the same rows in table order. `alone`: it is of a bare file."""

    snapshot: Snapshot
    alone: bool = False

    @cached_property
    def rows(self) -> list[tuple[JobRow, dict[str, object]]]:
        """Jobs that have something to show, with their metrics by name."""
        return [
            (row, flat(row.result or {}))
            for row in self.snapshot.rows
            if row.word is Word.COMPLETE or row.result is not None
        ]

    @cached_property
    def metrics(self) -> list[str]:
        """Names of all metrics, in the order in which they are first reported."""
        return list(dict.fromkeys(name for _, values in self.rows for name in values))

    def text(self, width: int | None = None, colour: bool = False) -> Iterator[str]:
        if not self.rows:
            yield "No results yet: no job is COMPLETE, and none has reported a result"
            return
        yield from tables.lines(self._table(), width, colour)
        refused = [row.id for row, _ in self.rows if NOT_TAKEN in row.reason]
        if refused:
            yield (
                f"What {counted(len(refused), 'job')} ({name_ids(refused)}) wrote to $BURNISH_RESULT was not taken; why: "
                f"burnish explain {refused[0]}"
            )
        elif not self.metrics and not self.alone:
            yield "No job has reported a metric: a JSON object written to the file $BURNISH_RESULT becomes its result"

    def json(self) -> object:
        names = [self.snapshot.columns[index] for index in self.snapshot.arguments]
        return [
            {
                "id": row.id,
                "state": row.word.value,
                "run_time": row.run_time,
                "arguments": dict(zip(names, self._arguments(row), strict=True)),
                "result": None if row.result is None else dict(row.result),
            }
            for row, _ in self.rows
        ]

    def csv(self) -> Iterator[str]:
        """Records of CSV without the newline at their end: JOB_ID, STATE, arguments, metrics. A text that a job reported and
        that a spreadsheet would take for a formula gets an apostrophe before it; arguments are as typed."""
        record = csv.writer(_Echo(), lineterminator=NEWLINE).writerow
        yield _unended(record(["JOB_ID", "STATE", *self._argument_names(), *self._metric_titles()]))
        for row, values in self.rows:
            metrics = [_csv_cell(values.get(name)) for name in self.metrics]
            yield _unended(record([row.id, row.word.value, *self._arguments(row), *metrics]))

    def _table(self) -> Table:
        all_complete = all(row.word is Word.COMPLETE for row, _ in self.rows)
        columns = [
            Column("JOB_ID", right=True, keep_empty=True),
            Column("STATE"),
            *(Column(name, least=6, optional=1) for name in self._argument_names()),
            *(Column(title, right=True, least=6) for title in self._metric_titles()),
        ]
        cells = [
            [
                str(row.id),
                "" if all_complete else row.word.value,
                *self._arguments(row),
                *(shown(values.get(name)) for name in self.metrics),
            ]
            for row, values in self.rows
        ]
        return Table(columns, cells)

    def _argument_names(self) -> list[str]:
        return [self.snapshot.columns[index] for index in self.snapshot.arguments]

    def _metric_titles(self) -> list[str]:
        """A metric named like an argument is told apart from it."""
        taken = {"JOB_ID", "STATE", *self._argument_names()}
        return [f"result.{name}" if name in taken else name for name in self.metrics]

    def _arguments(self, row: JobRow) -> list[str]:
        return [row.cells[index] for index in self.snapshot.arguments]


def flat(result: Mapping[str, object], prefix: str = "", depth: int = 0) -> dict[str, object]:
    """`{"val": {"acc": 0.9}}` -> `{"val.acc": 0.9}`. Lists stay values; so does what lies deeper than eight objects."""
    values: dict[str, object] = {}
    for key, value in result.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and depth < DEEPEST:
            values.update(flat(value, f"{name}.", depth + 1))
        else:
            values[name] = value
    return values


def shown(value: object) -> str:
    """A metric in a table: empty for none, numbers to six digits, texts as they are, the rest as JSON."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    if isinstance(value, str):
        return value
    return json.dumps(value)


def _csv_cell(value: object) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) and not _is_number(value) else value
    return "" if value is None else json.dumps(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Echo:
    """A file for csv.writer that hands each record back instead of keeping it."""

    def write(self, text: str) -> str:
        return text


def _unended(record: object) -> str:
    return str(record)[: -len(NEWLINE)]
