"""The state of a table: what the facts of its journal say, and nothing else.

`State.apply(fact)` is the only thing that changes it. Every process that reads the same journal applies the same facts in the
same order and so holds the same state, whoever it is: that is what makes a claim exclusive and a crash harmless. No clock, no
file, no randomness comes in here.

A fact that cannot follow (the table is in `core.phases`) raises `IllegalFact` and changes nothing, so whoever wants to commit one
decides on the newest state (`store.journal.Journal.commit` repeats the decision when somebody else was faster), and an illegal
fact in a journal is a defect, not a case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from burnish.core import events
from burnish.core.events import Fact, job_of
from burnish.core.failures import OOM, kind_of
from burnish.core.ids import name_run
from burnish.core.jobs import CANCELLED, Attempt, CoordinatorId, HostName, Job, JobId, OpenAttempts, Verdict, Word
from burnish.core.phases import SETTLED, TRANSITIONS, phase
from burnish.core.verdict import after_failure, verdict_of
from burnish.errors import InternalError

MAX_LOST = 2  # a job whose attempts die without a verdict is started again at most this often


class IllegalFact(InternalError):
    """A fact that cannot follow on this state."""


class State:
    """All jobs of a table and their attempts. Changed by `apply` only; read by everyone.

    `columns`: control columns and arguments, in table order. `open`: attempts that run or may come to run. `rendered`: the
    newest texts of the table, oldest first: sha256 -> (ids of rows that had none, when). `drained`: host -> why. `lacking`:
    host -> what it lacked for the job that it was given last. `halted`: why nothing is started at all; "" if things are.
    """

    def __init__(self) -> None:
        self.table = ""
        self.opened_at = 0.0
        self.columns: tuple[str, ...] = ()
        self.jobs: dict[JobId, Job] = {}
        self.open = OpenAttempts()
        self.drained: dict[HostName, str] = {}
        self.lacking: dict[HostName, str] = {}
        self.halted = ""
        self.rendered: dict[str, tuple[dict[str, int], float]] = {}
        self.next_id = JobId(0)
        self.closed_by: str | None = None
        self._touched: set[JobId] = set()

    # -- reading ---------------------------------------------------------------------------------------------------

    def listed(self) -> Iterator[Job]:
        """The jobs that are rows of the table, in the order they were added."""
        return (job for job in self.jobs.values() if not job.removed)

    def take_touched(self) -> set[JobId]:
        """Ids of the jobs that changed since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def values(self, job: Job) -> dict[str, str]:
        """The cells of a job by column, control columns included, empty ones too."""
        return dict(zip(self.columns, job.cells, strict=True))

    def check(self) -> None:
        """Raise InternalError unless the invariants hold: run before every commit, after every test and simulated step."""
        opened = {}
        for job in self.jobs.values():
            for broken in self._broken(job):
                raise InternalError(broken)
            if (attempt := job.open_attempt) is not None:
                opened[attempt.id] = attempt
        if opened != self.open or not self.open.whole:
            raise InternalError("the index of open attempts is wrong")

    def _broken(self, job: Job) -> Iterator[str]:
        """What is said of a job that breaks an invariant."""
        numbers = [attempt.id.number for attempt in job.attempts]
        if numbers != sorted(set(numbers)):
            yield f"attempts of job {job.id} are not in order: {numbers}"
        if any(attempt.open for attempt in job.attempts[:-1]):
            yield f"job {job.id} has an open attempt that is not its newest"
        if len(job.cells) != len(self.columns):
            yield f"job {job.id} has {len(job.cells)} cells"
        if job.id >= self.next_id:
            yield f"job {job.id} is not below the next id"
        attempt = job.open_attempt
        if attempt is None and job.word is Word.RUNNING:
            yield f"job {job.id} is RUNNING without an attempt"
        if attempt is not None and job.word is not (Word.NOT_RUNNING if attempt.started_at is None else Word.RUNNING):
            yield f"job {job.id} is {job.word} with {attempt.id} open"
        for attempt in job.attempts:
            if attempt.voided and attempt.verdict:
                yield f"{attempt.id} is void and has a verdict"

    def admits(self, fact: Fact) -> bool:
        """True if a fact of `TRANSITIONS` could follow now: what a proposal is checked with before a commit."""
        about = job_of(fact)
        job = None if about is None else self.jobs.get(about)
        if job is None or phase(job) not in TRANSITIONS.get(type(fact), {}):
            return False
        attempt = getattr(fact, "attempt", None)
        if attempt is None:
            return True
        last = job.attempts[-1].id.number if job.attempts else 0
        is_new = isinstance(fact, events.BEGINNINGS)
        return bool(attempt.number == last + is_new)

    # -- changing --------------------------------------------------------------------------------------------------

    def apply(self, fact: Fact) -> None:
        """Make `fact` true. Raises IllegalFact, and changes nothing, when it cannot follow on this state."""
        if self.closed_by is not None:
            raise IllegalFact(f"{type(fact).__name__} after the table was closed")
        _APPLY[type(fact)](self, fact)
        if (about := job_of(fact)) is not None:
            self._touched.add(about)

    def _table_opened(self, fact: events.TableOpened) -> None:
        if self.table:
            raise IllegalFact("the table was opened twice")
        self.table, self.columns, self.opened_at = fact.table, fact.columns, fact.at

    def _table_closed(self, fact: events.TableClosed) -> None:
        self.closed_by = fact.by

    def _jobs_added(self, fact: events.JobsAdded) -> None:
        self._check_rows(fact)
        new = [column for column in fact.columns if column not in self.columns]
        if new:
            self._columns_changed(events.ColumnsChanged((*self.columns, *new)))
        same = fact.columns == self.columns
        position = {column: index for index, column in enumerate(fact.columns)}
        for row in fact.rows:
            job_id = JobId(row[0])
            known = self.jobs.get(job_id)
            cells = tuple(row[1:])
            if not same:
                cells = tuple(cells[position[column]] if column in position else "" for column in self.columns)
            if known is None:
                self.jobs[job_id] = Job(job_id, cells)
            else:
                known.removed, known.cells = False, cells
            self.next_id = max(self.next_id, JobId(job_id + 1))
            self._touched.add(job_id)

    def _check_rows(self, fact: events.JobsAdded) -> None:
        ids = [JobId(row[0]) for row in fact.rows]
        if len(set(ids)) < len(ids):
            raise IllegalFact("a job is added twice")
        if listed := [job_id for job_id in ids if (job := self.jobs.get(job_id)) is not None and not job.removed]:
            raise IllegalFact(f"job {listed[0]} exists already")
        if any(len(row) != 1 + len(fact.columns) for row in fact.rows):
            raise IllegalFact("a row has not a cell for each column")

    def _columns_changed(self, fact: events.ColumnsChanged) -> None:
        position = {column: index for index, column in enumerate(self.columns)}
        source = [position.get(column) for column in fact.columns]

        def moved(cells: tuple[str, ...]) -> tuple[str, ...]:
            return tuple("" if index is None else cells[index] for index in source)

        for job in self.jobs.values():
            job.cells = moved(job.cells)
            job.ran_with = None if job.ran_with is None else moved(job.ran_with)
        self.columns = fact.columns
        self._touched.update(self.jobs)

    def _job_changed(self, fact: events.JobChanged) -> None:
        job = self._job(fact.job)
        if unknown := set(fact.cells) - set(self.columns):
            raise IllegalFact(f"job {job.id}: no column {sorted(unknown)}")
        before = job.cells
        job.cells = tuple(fact.cells.get(column, cell) for column, cell in zip(self.columns, before, strict=True))
        if job.attempts:
            ran_with = before if job.ran_with is None else job.ran_with
            job.ran_with = None if ran_with == job.cells else ran_with

    def _job_removed(self, fact: events.JobRemoved) -> None:
        self._job(fact.job).removed = True

    def _job_marked(self, fact: events.JobMarked) -> None:
        job = self._leave(fact, fact.job)
        word = Word.__members__.get(fact.word)
        if word is None or SETTLED.get(word) not in TRANSITIONS[events.JobMarked][phase(job)]:
            raise IllegalFact(f"job {job.id}, which is {phase(job).value}, cannot be marked {fact.word}")
        job.word, job.reason = word, fact.reason

    def _reset_requested(self, fact: events.ResetRequested) -> None:
        job = self._leave(fact, fact.job)
        job.word, job.reason, job.lost, job.failed_on, job.outgrew = Word.NOT_RUNNING, "", 0, (), ()

    def _hold_requested(self, fact: events.HoldRequested) -> None:
        job = self._leave(fact, fact.job)
        if job.open_attempt is not None:
            job.hold_next = True
        else:
            job.word, job.reason = Word.HOLD, fact.reason

    def _release_requested(self, fact: events.ReleaseRequested) -> None:
        job = self._leave(fact, fact.job)
        job.hold_next = False
        if job.open_attempt is None:
            job.word, job.reason = Word.NOT_RUNNING, ""

    def _attempt_claimed(self, fact: events.AttemptClaimed) -> None:
        job = self._leave(fact, fact.attempt.job)
        attempt = Attempt(
            id=fact.attempt,
            nonce=fact.nonce,
            by=CoordinatorId(fact.by),
            host=HostName(fact.host),
            state_id=fact.state_id,
            incarnation=fact.incarnation,
            entry=fact.entry,
            slots=fact.slots,
            gpus=fact.gpus,
            argv=fact.argv,
            log=fact.log,
            claimed_at=fact.at,
            after=fact.after,
            retries=fact.retries,
            on_failure=fact.on_failure,
        )
        self._append(job, attempt)
        self.open[attempt.id] = attempt
        job.reason, job.ran_with, job.hold_next = "", None, False

    def _attempt_refused(self, fact: events.AttemptRefused) -> None:
        job = self._leave(fact, fact.attempt.job)
        by, nowhere = CoordinatorId(fact.by), HostName("")
        attempt = Attempt(fact.attempt, "", by, nowhere, "", "", {}, (), (), (), fact.log, fact.at, voided=fact.why)
        self._append(job, attempt)
        job.word, job.reason, job.ran_with = Word.ERROR, f"not started: {fact.why}", None

    def _attempt_in_batch(self, fact: events.AttemptQueued | events.AttemptDisowned) -> None:
        job, attempt = self._attempt(fact)
        job.reason = fact.why if attempt.cancelled_by is None else job.reason

    def _attempt_started(self, fact: events.AttemptStarted) -> None:
        job, attempt = self._attempt(fact)
        attempt.pid, attempt.started_at, attempt.version, attempt.node = fact.pid, fact.at, fact.version, fact.node
        self.lacking.pop(attempt.host, None)
        job.word, job.reason = Word.RUNNING, "cancelling" if attempt.cancelled_by is not None else ""

    def _attempt_voided(self, fact: events.AttemptVoided) -> None:
        job, attempt = self._attempt(fact)
        attempt.voided = fact.why
        if fact.refused:
            self._close(job, attempt, Word.ERROR, f"not started: {fact.why}")
        elif attempt.cancelled_by is not None:
            self._close(job, attempt, Word.HOLD, CANCELLED)
        else:
            lack = f"not started: {fact.why} on {attempt.host}" if fact.lacks else ""
            self._return(job, attempt, lack or (fact.why if fact.trouble else ""))
        if fact.lacks:
            self.lacking[attempt.host] = fact.why

    def _attempt_exited(self, fact: events.AttemptExited) -> None:
        job, attempt = self._attempt(fact)
        word, reason = verdict_of(fact)
        attempt.started_at, attempt.pid = fact.started, attempt.pid or fact.pid or None
        attempt.version, attempt.node = attempt.version or fact.version, attempt.node or fact.node
        attempt.verdict = Verdict(word, reason, fact.started, fact.ended, fact.duration, fact.max_rss, fact.result)
        if fact.lacks and attempt.cancelled_by is None:
            self.lacking[attempt.host] = fact.not_started
            self._return(job, attempt, f"{reason} on {attempt.host}")
            return
        if word is Word.ERROR and attempt.cancelled_by is None:
            kind = kind_of(fact)
            job.failed_on = (*job.failed_on, attempt.host)
            job.outgrew = (*job.outgrew, attempt.host) if kind == OOM else job.outgrew
            word, reason = after_failure(job, attempt, kind, reason)
        self._close(job, attempt, word, reason)

    def _attempt_lost(self, fact: events.AttemptLost) -> None:
        job, attempt = self._attempt(fact)
        reason = f"LOST: {fact.why}"
        attempt.verdict = Verdict(Word.ERROR, reason, attempt.started_at, fact.at)
        job.lost += not fact.excused
        if attempt.cancelled_by is not None:
            self._close(job, attempt, Word.ERROR, CANCELLED)
        elif job.lost > MAX_LOST:
            self._close(job, attempt, Word.ERROR, f"{reason}, {job.lost} times")
        else:
            self._return(job, attempt, f"again: {fact.why}")

    def _attempt_adopted(self, fact: events.AttemptAdopted) -> None:
        _, attempt = self._attempt(fact)
        attempt.by = CoordinatorId(fact.by)

    def _cancel_requested(self, fact: events.CancelRequested) -> None:
        job, attempt = self._attempt(fact)
        if attempt.cancelled_by is None:
            attempt.cancelled_by, attempt.grace = fact.by, fact.grace
        attempt.grace = min(attempt.grace, fact.grace)  # of two who asked at once, the less patient
        job.reason = "cancelling"

    def _host_forgotten(self, fact: events.HostForgotten) -> None:
        for attempt in [a for a in self.open.on(HostName(fact.host)) if a.state_id == fact.state_id]:
            job = self._job(attempt.id.job)
            reason = f"LOST: {fact.host} was forgotten by {name_run(CoordinatorId(fact.by))}"
            attempt.verdict = Verdict(Word.ERROR, reason, attempt.started_at)
            self._close(job, attempt, Word.ERROR, reason)
            self._touched.add(job.id)

    def _host_drained(self, fact: events.HostDrained) -> None:
        self.drained[HostName(fact.host)] = fact.reason
        for job_id in fact.excused:
            self._job(JobId(job_id)).excuse(HostName(fact.host.partition(":")[0]))
            self._touched.add(JobId(job_id))

    def _host_undrained(self, fact: events.HostUndrained) -> None:
        self.drained.pop(HostName(fact.host), None)

    def _starts_halted(self, fact: events.StartsHalted) -> None:
        self.halted = fact.why

    def _starts_resumed(self, fact: events.StartsResumed) -> None:
        self.halted = ""

    def _table_rendered(self, fact: events.TableRendered) -> None:
        self.rendered.pop(fact.sha256, None)
        self.rendered[fact.sha256] = (fact.ids, fact.at)
        while len(self.rendered) > 200:
            del self.rendered[next(iter(self.rendered))]

    # -- the steps they share --------------------------------------------------------------------------------------

    def _job(self, job_id: int) -> Job:
        job = self.jobs.get(JobId(job_id))
        if job is None:
            raise IllegalFact(f"there is no job {job_id}")
        return job

    def _leave(self, fact: Fact, job_id: int) -> Job:
        job = self._job(job_id)
        if phase(job) not in TRANSITIONS[type(fact)]:
            raise IllegalFact(f"{type(fact).__name__} cannot meet job {job_id}, which is {phase(job).value}")
        return job

    def _attempt(self, fact: Any) -> tuple[Job, Attempt]:
        job = self._leave(fact, fact.attempt.job)
        attempt = job.open_attempt
        if attempt is None or attempt.id != fact.attempt:
            raise IllegalFact(f"{type(fact).__name__}: {fact.attempt} is not the open attempt of its job")
        return job, attempt

    def _append(self, job: Job, attempt: Attempt) -> None:
        last = job.attempts[-1].id.number if job.attempts else 0
        if attempt.id.number != last + 1:
            raise IllegalFact(f"{attempt.id} cannot follow attempt {last} of its job")
        job.attempts.append(attempt)

    def _return(self, job: Job, attempt: Attempt, reason: str) -> None:
        """The job waits again, unless somebody held it meanwhile."""
        self._close(job, attempt, Word.HOLD if job.hold_next else Word.NOT_RUNNING, reason)

    def _close(self, job: Job, attempt: Attempt, word: Word, reason: str) -> None:
        del self.open[attempt.id]
        job.word, job.reason, job.hold_next = word, reason, False


_APPLY: dict[type[Any], Callable[[State, Any], None]] = {
    events.TableOpened: State._table_opened,
    events.TableClosed: State._table_closed,
    events.JobsAdded: State._jobs_added,
    events.ColumnsChanged: State._columns_changed,
    events.JobChanged: State._job_changed,
    events.JobRemoved: State._job_removed,
    events.JobMarked: State._job_marked,
    events.ResetRequested: State._reset_requested,
    events.HoldRequested: State._hold_requested,
    events.ReleaseRequested: State._release_requested,
    events.CancelRequested: State._cancel_requested,
    events.AttemptClaimed: State._attempt_claimed,
    events.AttemptRefused: State._attempt_refused,
    events.AttemptQueued: State._attempt_in_batch,
    events.AttemptStarted: State._attempt_started,
    events.AttemptDisowned: State._attempt_in_batch,
    events.AttemptVoided: State._attempt_voided,
    events.AttemptExited: State._attempt_exited,
    events.AttemptLost: State._attempt_lost,
    events.AttemptAdopted: State._attempt_adopted,
    events.HostForgotten: State._host_forgotten,
    events.HostDrained: State._host_drained,
    events.HostUndrained: State._host_undrained,
    events.StartsHalted: State._starts_halted,
    events.StartsResumed: State._starts_resumed,
    events.TableRendered: State._table_rendered,
}
