"""What a person made of the table in `burnish edit`: what is wrong with the text before it is taken, and what it came to.

An editor's own save is taken row by row, since nobody is there to be asked. Here somebody is: a text is held back for a row that
cannot be read, unless that row was there before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from burnish.core.bases import Base
from burnish.core.broken_off import breaks_off
from burnish.core.events import (
    CancelRequested,
    ColumnsChanged,
    Fact,
    HoldRequested,
    JobChanged,
    JobMarked,
    JobRemoved,
    JobsAdded,
    ReleaseRequested,
    ResetRequested,
)
from burnish.core.ids import name_ids
from burnish.core.table import Table, consequence
from burnish.errors import Problem, printable

SHOWN_COLUMNS = 6


def faults(opened: Table, edited: Table) -> list[Problem]:
    """What is wrong with `edited` that was not so in `opened`, in the order of its lines."""
    if breaks_off(Base.of(opened, 0.0), edited):
        return [Problem(edited.where(edited.rows[-1]), "the text breaks off in the middle of this row.")]
    known = {row.raw for row in opened.rows if not row.usable}
    unusable = [row for row in edited.rows if not row.usable]
    end = " " + consequence(len(edited.rows) - len(unusable))
    return [
        Problem(problem.where, problem.what.removesuffix(end))
        for row, problem in zip(unusable, edited.problems, strict=True)
        if row.raw not in known
    ]


def told(facts: Sequence[Fact], before: Sequence[str]) -> str:
    """What an edit came to, of a table that had the columns `before`: `jobs 6-7 added; job 3 changed (--lr)`. "" for nothing."""
    return "; ".join(_pieces(facts, before))


def _pieces(facts: Sequence[Fact], before: Sequence[str]) -> Iterator[str]:
    for fact in facts:
        if isinstance(fact, ColumnsChanged):
            yield from _columns(fact.columns, before)
    added = [int(str(row[0])) for fact in facts if isinstance(fact, JobsAdded) for row in fact.rows]
    changed = {fact.job: fact.cells for fact in facts if isinstance(fact, JobChanged)}
    columns = list(dict.fromkeys(column for cells in changed.values() for column in cells))
    yield from _named(added, "added")
    yield from _named(list(changed), f"changed ({_listed(columns)})")
    yield from _named([fact.job for fact in facts if isinstance(fact, JobRemoved)], "removed")
    yield from _named([fact.job for fact in facts if isinstance(fact, ResetRequested)], "to run again")
    yield from _named([fact.job for fact in facts if isinstance(fact, ReleaseRequested)], "released")
    yield from _named([fact.job for fact in facts if isinstance(fact, HoldRequested)], "held")
    yield from _named([fact.attempt.job for fact in facts if isinstance(fact, CancelRequested)], "to be cancelled")
    for word in ("COMPLETE", "ERROR"):
        marked = [fact.job for fact in facts if isinstance(fact, JobMarked) and fact.word == word]
        yield from _named(marked, f"{word} by hand")


def _columns(after: Sequence[str], before: Sequence[str]) -> Iterator[str]:
    new, gone = [c for c in after if c not in before], [c for c in before if c not in after]
    if new:
        yield f"{'column' if len(new) == 1 else 'columns'} {_listed(new)} added"
    if gone:
        yield f"{'column' if len(gone) == 1 else 'columns'} {_listed(gone)} removed"
    if not new and not gone:
        yield "columns reordered"


def _named(jobs: Sequence[int], what: str) -> Iterator[str]:
    if jobs:
        yield f"{'job' if len(jobs) == 1 else 'jobs'} {name_ids(jobs)} {what}"


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(printable(column, 60) for column in columns[:SHOWN_COLUMNS])
    return f"{shown} …" if len(columns) > SHOWN_COLUMNS else shown
