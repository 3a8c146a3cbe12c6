"""What there is to show of a table at one moment: plain rows, made from its state and the time by a pure function.

Everything that people see of jobs is a function of a `Snapshot`: the text table, the JSON, the live screen. It is taken from the
journal alone, so it works whether or not a coordinator runs; what only a coordinator knows (a host that does not answer) may be
given in `away`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from msgspec import Struct, field

from burnish.core.ahead import before
from burnish.core.columns import CONTROL_COLUMNS
from burnish.core.jobs import BY_HAND, Attempt, AttemptId, CoordinatorId, HostName, Job, JobId, Word
from burnish.core.phases import Phase, phase
from burnish.core.requirements import Circles, requirements, unmet
from burnish.core.state import State


class JobRow(Struct, frozen=True):
    """A job as it is shown. `cells` are aligned with `Snapshot.columns`.

    `host`, `gpus` and the times belong to the newest attempt, and are empty or None unless that attempt is what put the job
    in its state. Times are seconds since 1970 on the host's clock, `run_time` is in s, `max_rss` in KiB. `attempts` counts
    all there were. The `run_time` of a job that no run looks after is None: it may have ended since.
    """

    id: JobId
    word: Word
    reason: str
    cells: tuple[str, ...]
    attempt: AttemptId | None = None
    attempts: int = 0
    host: str = ""
    gpus: tuple[str, ...] = ()
    pid: int | None = None
    log: str = ""
    started: float | None = None
    ended: float | None = None
    run_time: float | None = None
    max_rss: int | None = None
    result: Mapping[str, object] | None = None


class Snapshot(Struct, frozen=True):
    """A table at time `now`: the rows to show, the number of jobs in each state, and the hosts kept out (and why).

    `unattended`: jobs that were started and have not ended as far as is known, and whose run is gone. `halted`: why nothing
    is started; "" if things are. `runs`: those that are going, and the file in which each says what it has to say, "" for a
    terminal. `lacking`: hosts that could not start the last job they were given, and what they lacked.
    """

    now: float
    columns: tuple[str, ...]
    rows: tuple[JobRow, ...]
    counts: Mapping[Word, int]
    drained: Mapping[HostName, str]
    unattended: tuple[JobId, ...] = ()
    halted: str = ""
    runs: Mapping[CoordinatorId, str] = field(default_factory=dict)
    lacking: Mapping[HostName, str] = field(default_factory=dict)

    @property
    def arguments(self) -> tuple[int, ...]:
        """Indices of the columns that reach the command."""
        return tuple(index for index, column in enumerate(self.columns) if column not in CONTROL_COLUMNS)

    @property
    def controls(self) -> tuple[int, ...]:
        """Indices of the control columns that the table has."""
        return tuple(index for index, column in enumerate(self.columns) if column in CONTROL_COLUMNS)


def take(
    state: State,
    now: float,
    away: Mapping[HostName, str] | None = None,
    runs: Collection[CoordinatorId] | None = None,
    say: Mapping[CoordinatorId, str] = MappingProxyType({}),
    jobs: Iterable[Job] | None = None,
) -> Snapshot:
    """The snapshot of `state` at `now` (s since 1970).

    `away`: host -> why it is not seen, as `unreachable since 10:41`. `runs`: those that are going; None if that is not known.
    `say`: those that start jobs -> the file in which each says what it has to say, "" for a terminal.
    `jobs`: those that get a row, in this order; None for all of the table. All are counted.
    """
    away = away or {}
    circles = Circles(state)
    left = () if runs is None else (attempt.id.job for attempt in state.open.values() if attempt.by not in runs)
    gone = frozenset(left)
    rows = tuple(_row(job, state, now, away, circles, gone) for job in (state.listed() if jobs is None else jobs))
    counts = dict.fromkeys(Word, 0)
    counts.update(Counter(job.word for job in state.listed()))
    return Snapshot(
        now,
        state.columns,
        rows,
        counts,
        dict(state.drained),
        tuple(sorted(gone)),
        state.halted,
        dict(say),
        dict(state.lacking),
    )


def _row(
    job: Job,
    state: State,
    now: float,
    away: Mapping[HostName, str],
    circles: Circles,
    gone: Collection[JobId],
) -> JobRow:
    attempt = job.attempt
    if attempt is None:
        return JobRow(job.id, job.word, _because(job, state, circles), job.cells)
    if not explains(attempt, job):
        return JobRow(job.id, job.word, _because(job, state, circles), job.cells, attempt.id, len(job.attempts))
    verdict = attempt.verdict
    started = attempt.started_at if verdict is None else verdict.started
    ended = verdict.ended if verdict else None
    run_time = verdict.duration if verdict else None
    going = attempt.open and job.id not in gone  # or it may have ended long ago
    if run_time is None and started is not None and (ended is not None or going):
        run_time = max(0.0, (now if ended is None else ended) - started)
    return JobRow(
        id=job.id,
        word=job.word,
        reason=_reason(job, attempt, state, away),
        cells=job.cells,
        attempt=attempt.id,
        attempts=len(job.attempts),
        host=attempt.host,
        gpus=attempt.gpus,
        pid=attempt.pid or None,
        log=attempt.log,
        started=started,
        ended=ended,
        run_time=run_time,
        max_rss=verdict.max_rss if verdict else None,
        result=verdict.result if verdict else None,
    )


def explains(attempt: Attempt, job: Job) -> bool:
    """True when the newest attempt is why the job is in its state; false once it was reset, held or marked since."""
    if attempt.verdict is not None:
        return has_verdict(attempt.verdict.word, job)
    return attempt.open or (job.word is Word.ERROR and job.reason != BY_HAND)


def has_verdict(word: Word | None, job: Job) -> bool:
    """True when the job still is what its newest attempt ended as, `word`; false once it was reset, held or marked since."""
    return job.word.final and word is job.word and job.reason != BY_HAND


def _because(job: Job, state: State, circles: Circles) -> str:
    """The reason of a job that has no attempt to tell of; of one that waits for another, which, and how that one is."""
    after = requirements(job, state).after if phase(job) is Phase.WAITING else ()
    parts = [job.reason] if job.reason else []
    if after and (watched := unmet(after, state)) is not None:
        parts.append(circles.why(job.id) or f"after job {watched}, which {_how_it_is(watched, state, circles)}")
    return "; ".join(parts)


def _how_it_is(job_id: JobId, state: State, circles: Circles) -> str:
    job = state.jobs.get(job_id)
    if job is None:
        return "the table does not have"
    return "waits for itself" if circles.why(job_id) else f"is {job.word}"


def _reason(job: Job, attempt: Attempt, state: State, away: Mapping[HostName, str]) -> str:
    parts = [job.reason] if job.reason else []
    if attempt.open:
        if not job.reason and attempt.started_at is None:
            leader = next(before(attempt, state), None)
            parts.append("starting" if leader is None else f"next after job {leader.id.job}")
        if attempt.host in away:
            parts.append(away[attempt.host])
    if job.ran_with is not None and (changed := _other_command(job, state.columns, job.ran_with)):
        parts.append(changed)
    return "; ".join(parts)


def _other_command(job: Job, columns: tuple[str, ...], ran_with: tuple[str, ...]) -> str:
    """`ran with --lr 0.1`: the arguments of the newest attempt that the table no longer shows."""
    differing = [
        f"{column} {before}" if before else f"no {column}"
        for column, before, cell in zip(columns, ran_with, job.cells, strict=True)
        if before != cell and column not in CONTROL_COLUMNS
    ]
    return f"ran with {' '.join(differing)}" if differing else ""
