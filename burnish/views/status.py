"""`burnish status`: how many jobs are in which state, then the jobs; of a long table those that matter now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import nlargest, nsmallest
from typing import TYPE_CHECKING

from msgspec import Struct

from burnish.core.ids import name_ids, name_run, process_of
from burnish.core.jobs import CoordinatorId, Job, JobId, Word
from burnish.core.requirements import priority
from burnish.core.state import State
from burnish.errors import counted, printable
from burnish.views import durations, tables
from burnish.views.snapshot import JobRow, Snapshot, has_verdict
from burnish.views.tables import Column, Table

if TYPE_CHECKING:
    from burnish.core.standing import Standing
    from burnish.views.hosts import HostsView

SCHEMA = 1
LONGEST_REASON = 72  # columns; `explain`, `view` and --json have the whole of it
LONG = 40  # rows; a longer table is shown in part
SHARES = {
    Word.RUNNING: 20,
    Word.ERROR: 12,
    Word.NOT_RUNNING: 5,
    Word.COMPLETE: 3,
}  # rows of each then shown, in this order
UNREMARKABLE = "exit 0"  # what COMPLETE says already, and says alone: the column is left to reasons worth reading
ORDER = (Word.RUNNING, Word.ERROR, Word.NOT_RUNNING, Word.HOLD, Word.COMPLETE)

_SGR = {Word.RUNNING: "36", Word.ERROR: "31", Word.HOLD: "33", Word.COMPLETE: "32"}
_FIXED = (
    Column("JOB_ID", right=True, keep_empty=True),
    Column("STATE", least=len(Word.NOT_RUNNING), tight=len(Word.COMPLETE), keep_empty=True),
    Column("REASON", tight=6),
    Column("HOST", least=8, tight=6, apart=True),
    Column("GPU", least=4, optional=1),
    Column("ATTEMPT", right=True, optional=1),
    Column("TIME", right=True),
)


class StatusView(Struct, frozen=True):
    """What `burnish status` shows of a snapshot.

    Its rows are those of `picked` jobs; `partly` if that left some out which are not shown for want of room. Counts are of the
    whole table always. `hosts`: how the hosts stand that were asked, shown above the table.
    """

    snapshot: Snapshot
    partly: bool = False
    hosts: Sequence[Standing] | None = None

    def text(self, width: int | None = None, colour: bool = False) -> Iterator[str]:
        if self.hosts is not None:
            yield from _hosts_view(self.hosts).text(width, colour)
            yield ""
        yield from tables.wrapped(summary(self.snapshot.counts), width)
        for host, reason in self.snapshot.drained.items():
            line = printable(f"Drained: {host}{f' ({reason})' if reason else ''}")
            yield from tables.wrapped(line, width)
        for host, why in self.snapshot.lacking.items():
            line = printable(f"Could not start its last job: {host} ({why})")
            yield from tables.wrapped(line, width)
        if self.snapshot.halted:
            line = printable(f"Halted: {self.snapshot.halted}; the next burnish run goes on")
            yield from tables.wrapped(line, width)
        for line in (*running(self.snapshot.runs), *unattended(self.snapshot.unattended)):
            yield from tables.wrapped(line, width)
        if self.snapshot.rows:
            yield ""
            yield from tables.lines(_table(self.snapshot), width, colour)
        if self.partly:
            hidden = Counter(self.snapshot.counts)
            hidden.subtract(row.word for row in self.snapshot.rows)
            yield from tables.wrapped(f"Not shown: {_by_state(hidden)} (--all shows every job)", width)

    def json(self) -> object:
        snapshot = self.snapshot
        return {
            "schema": SCHEMA,
            "now": snapshot.now,
            "counts": {word.value: snapshot.counts[word] for word in Word},
            "columns": list(snapshot.columns),
            "drained": {str(host): reason for host, reason in snapshot.drained.items()},
            "lacking": {str(host): why for host, why in snapshot.lacking.items()},
            "halted": snapshot.halted or None,
            "unattended": list(snapshot.unattended),
            "runs": [_run_json(run, says) for run, says in snapshot.runs.items()],
            "jobs": [job_json(snapshot, row) for row in snapshot.rows],
            **({} if self.hosts is None else {"hosts": _hosts_view(self.hosts).json()}),
        }


def picked(
    state: State,
    every: bool = False,
    words: Collection[Word] | None = None,
    ids: Collection[JobId] | None = None,
    room: int = LONG,
) -> tuple[list[Job], bool]:
    """The jobs to show, and whether others are left out for want of room.

    `words` and `ids` narrow them (None: all); whoever narrows, or sets `every`, sees all that remain. `room`: rows that fit.
    """
    jobs = [job for job in state.listed() if (words is None or job.word in words) and (ids is None or job.id in ids)]
    if every or words is not None or ids is not None or len(jobs) <= min(LONG, room):
        return jobs, False
    return what_matters(jobs, state), True


def _hosts_view(standings: Sequence[Standing]) -> HostsView:
    from burnish.views.hosts import HostsView

    return HostsView(standings)


def summary(counts: Mapping[Word, int]) -> str:
    """`36 jobs: 2 RUNNING, 1 ERROR, 33 COMPLETE`."""
    total = sum(counts.values())
    if not total:
        return "No jobs"
    return f"{counted(total, 'job')}: {_by_state(counts)}"


def running(runs: Mapping[CoordinatorId, str]) -> Iterator[str]:
    """A line for each run that is going."""
    for run, says in runs.items():
        yield printable(f"Run: {name_run(run)}{f', detached; it says: {says}' if says else ''}", 1000)


def _run_json(run: CoordinatorId, says: str) -> dict[str, object]:
    pid, host = process_of(run)
    return {"pid": pid, "host": host, "log": says or None}


def unattended(jobs: Sequence[JobId]) -> Iterator[str]:
    """What is said of jobs that no run looks after: their supervisors do, and nobody has heard of them since."""
    if len(jobs) == 1:
        yield f"No burnish run looks after job {jobs[0]}: it runs on, or has ended since."
        yield "burnish run takes it back either way; so does burnish wait, which starts nothing."
    elif jobs:
        yield f"No burnish run looks after jobs {name_ids(jobs)}: they run on, or have ended since."
        yield "burnish run takes them back either way; so does burnish wait, which starts nothing."


def what_matters(jobs: Iterable[Job], state: State) -> list[Job]:
    """At most `LONG` of them: running, failed last, starting next, completed last; in this order."""
    by_word: dict[Word, list[Job]] = {word: [] for word in Word}
    for job in jobs:
        by_word[job.word].append(job)
    for word in (Word.ERROR, Word.COMPLETE):
        by_word[word] = nlargest(SHARES[word], by_word[word], key=_ended)
    by_word[Word.NOT_RUNNING] = nsmallest(
        SHARES[Word.NOT_RUNNING],
        by_word[Word.NOT_RUNNING],
        key=lambda job: (job.open_attempt is None, -priority(job, state)),  # one with an attempt is on its way
    )
    return [job for word, share in SHARES.items() for job in by_word[word][:share]]


def _ended(job: Job) -> float:
    """When the attempt ended that put it in its state; 0 if none did."""
    end = job.end
    return end.ended if end is not None and has_verdict(end.word, job) else 0.0


def job_json(snapshot: Snapshot, row: JobRow) -> dict[str, object]:
    """One job of docs/status-json.md."""
    return {
        "id": row.id,
        "state": row.word.value,
        "reason": row.reason,
        "attempt": None if row.attempt is None else str(row.attempt),
        "attempts": row.attempts,
        "host": row.host or None,
        "gpus": list(row.gpus),
        "pid": row.pid,
        "started": row.started,
        "ended": row.ended,
        "run_time": row.run_time,
        "max_rss": row.max_rss,
        "control": {snapshot.columns[index]: row.cells[index] for index in snapshot.controls},
        "arguments": {snapshot.columns[index]: row.cells[index] for index in snapshot.arguments},
        "result": None if row.result is None else dict(row.result),
    }


def _by_state(counts: Mapping[Word, int]) -> str:
    return ", ".join(f"{counts[word]:,} {word}" for word in ORDER if counts[word])


def _table(snapshot: Snapshot) -> Table:
    ordered = (*snapshot.arguments, *snapshot.controls)
    columns = [*_FIXED, *(Column(snapshot.columns[index], least=6, optional=1) for index in ordered)]
    cells = [
        [
            str(row.id),
            row.word.value,
            "" if row.reason == UNREMARKABLE else tables.cut(row.reason, LONGEST_REASON),
            row.host,
            ",".join(row.gpus),
            str(row.attempt or ""),
            _time(row, snapshot.now),
            *(row.cells[index] for index in ordered),
        ]
        for row in snapshot.rows
    ]
    return Table(columns, cells, {"STATE": _paint_of})


def _time(row: JobRow, now: float) -> str:
    """How long it ran; `<3d` of one that may have ended since its start without anybody who heard of it."""
    if row.run_time is None and row.started is not None and not row.word.final:
        return f"<{durations.short(max(0.0, now - row.started))}"
    return durations.short(row.run_time)


def _paint_of(cell: str) -> tables.Paint | None:
    code = _SGR.get(Word(cell))
    return None if code is None else lambda text: f"\x1b[{code}m{text}\x1b[0m"
