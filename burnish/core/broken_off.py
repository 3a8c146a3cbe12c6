"""Does a text end in the midst of a row? So does a save on a full disk, and one that a loss of power tore.

A text of burnish's ends with a newline, and so does what most editors write. Where the newline is missing, the last row is held
against what is known of its job: the base may be an older text than the one that was torn, if that was lost with the same power.

- With fewer fields than the header it is no whole row. It was cut, if it is a known job's, or if the end of the base is gone.
- With a last cell that is the beginning of what stood there, it was cut, unless the base too ends without a newline: then its
  author's editor writes none.
- With a last cell that is neither this nor what stood there, it was cut if the end of the base is gone.

All else is taken at its word. Whoever deletes the last rows and leaves no newline behind the one before them, or types a new row
without one, has saved a text that is whole; one that was cut just there looks the same.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence

from burnish.core.bases import Base
from burnish.core.jobs import Job, JobId
from burnish.core.table import Table

_NONE: Mapping[JobId, Job] = {}
_NO_IDS: Mapping[int, JobId] = {}


def breaks_off(
    base: Base,
    theirs: Table,
    jobs: Mapping[JobId, Job] = _NONE,
    columns: Sequence[str] = (),
    ids: Mapping[int, JobId] = _NO_IDS,
) -> bool:
    """True if `theirs`, made of `base`, ends inside a row.

    `columns`: of the cells of `jobs`. `ids`: row number -> id, for rows of `theirs` without one that are jobs already.
    """
    if not theirs.rows or theirs.records[-1].endswith("\n"):
        return False
    cut, number = theirs.records[-1], len(theirs.rows) - 1
    row = theirs.rows[number] if theirs.rows[number].at == len(theirs.records) - 1 else None  # else nothing but commas
    job = None
    if row is not None and theirs.id_at != len(theirs.header) - 1:  # an id that stands last may be cut itself
        job = row.id if row.id is not None else ids.get(number)
    before, known = (None, None) if job is None else (base.row(job), jobs.get(job))
    if before is not None and before.raw.rstrip("\r\n") == cut:
        return False
    end = max(base.numbers, key=base.numbers.__getitem__, default=None)
    end_is_gone = end is not None and end != job and end not in theirs.index
    fields = _fields(cut)
    if len(fields) < len(theirs.header):
        return end_is_gone or before is not None or known is not None
    column, last = theirs.header[-1], fields[-1]
    stood = set()
    if before is not None:
        stood.add(dict(zip(base.table.header, _fields(before.raw), strict=False)).get(column, ""))
    if known is not None and column in columns:
        stood.add(known.cells[columns.index(column)])
    if last in stood:
        return False
    if any(text.startswith(last) for text in stood):
        return end_is_gone or base.table.data.endswith(b"\n")
    return end_is_gone and row is not None and row.id is not None


def _fields(record: str) -> list[str]:
    return next(csv.reader([record]))
