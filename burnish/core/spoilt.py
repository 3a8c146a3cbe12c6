"""Rows whose JOB_ID cannot be read any more: which job each of them was, and what becomes of that job meanwhile.

A spreadsheet makes `100000` into `1E+05`, pandas `3` into `3.0`. Such a row is skipped like every other that cannot be read, so
its job must not be started behind the back of who reads that; nor is it deleted, and it gets no second row. It is known by its
cells: the only thing that is left of it. Two rows with the same cells are taken in order.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence

from burnish.core.jobs import Job, JobId, Word
from burnish.core.table import Row, Table
from burnish.errors import Problem


def spoilt(table: Table, jobs: Mapping[JobId, Job], columns: Sequence[str]) -> dict[JobId, Row]:
    """Jobs of which `table` has no row but one without a readable JOB_ID, and that row. `columns`: of the jobs' cells."""
    if not table.nameless:
        return {}
    at = {column: place for place, column in enumerate(table.columns)}
    rows: dict[tuple[str, ...], deque[Row]] = defaultdict(deque)
    for row in table.nameless:
        if row.cells:
            rows[tuple(row.cells[at[column]] if column in at else "" for column in columns)].append(row)
    found = {}
    for job in jobs.values():
        if job.id not in table.index and not job.removed and (alike := rows.get(job.cells)):
            found[job.id] = alike.popleft()
    return found


def passed_over(table: Table, jobs: Mapping[JobId, Job], columns: Sequence[str]) -> dict[JobId, Problem]:
    """Jobs whose row cannot be used as it stands, and why: nothing is started for them until it is mended."""
    lost = spoilt(table, jobs, columns)
    return {**table.skipped, **{job: table.faults[row.at] for job, row in lost.items()}}


def told(table: Table, jobs: Mapping[JobId, Job], columns: Sequence[str]) -> list[str]:
    """What is wrong with rows, and what becomes of their jobs where "skipped" alone would not say it."""
    if not table.problems:
        return []
    lost = {row.at: jobs[job] for job, row in spoilt(table, jobs, columns).items()}
    owners = {row.at: jobs.get(job) for job, number in table.index.items() if not (row := table.rows[number]).usable}
    return [f"{problem}{_fate(lost.get(at), owners.get(at))}" for at, problem in table.faults.items()]


def _fate(lost: Job | None, owner: Job | None) -> str:
    if lost is not None:
        return f" It reads like job {lost.id}, which {_FATES[lost.word]}."
    if owner is not None and owner.word is Word.RUNNING:
        return f" Job {owner.id} runs on."
    return ""


_FATES = {
    Word.NOT_RUNNING: "is not started until the row is mended",
    Word.HOLD: "stays on HOLD",
    Word.RUNNING: "runs on",
    Word.COMPLETE: "stays COMPLETE",
    Word.ERROR: "stays ERROR",
}
