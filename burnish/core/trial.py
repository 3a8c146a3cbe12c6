"""Facts tried out before they are committed.

A commit that `State.apply` refuses would stop the table for good, in every process that reads it. So whoever is about to publish
facts lets them happen first to a copy of the jobs that they are about; the state itself, and the journal, stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy

from burnish.core import events
from burnish.core.events import Fact, job_of
from burnish.core.jobs import Job, JobId
from burnish.core.state import State


def try_out(state: State, facts: Sequence[Fact]) -> None:
    """Raise InternalError if `facts` cannot follow on `state` in this order, or leave a job as no job can be.

    Costs what the facts are about, not what the table holds.
    """
    trial = State()
    trial.table, trial.columns, trial.closed_by = state.table, state.columns, state.closed_by
    trial.next_id = state.next_id
    for job_id in {about for fact in facts for about in _jobs_of(fact, state)}:
        if (job := state.jobs.get(job_id)) is not None:
            trial.jobs[job_id] = copied = _copy(job)
            if (attempt := copied.open_attempt) is not None:
                trial.open[attempt.id] = attempt
    for fact in facts:
        trial.apply(fact)
    trial.check()


def _jobs_of(fact: Fact, state: State) -> Iterator[JobId]:
    """The jobs that a fact reads or changes, but for columns, which change all of them alike."""
    if (about := job_of(fact)) is not None:
        yield about
    elif isinstance(fact, events.JobsAdded):
        yield from (JobId(row[0]) for row in fact.rows)
    elif isinstance(fact, events.HostDrained):
        yield from map(JobId, fact.excused)
    elif isinstance(fact, events.HostForgotten):
        yield from (attempt.job for attempt, open_attempt in state.open.items() if open_attempt.host == fact.host)


def _copy(job: Job) -> Job:
    """A job that may change on its own. Only its newest attempt ever does."""
    copied = copy(job)
    copied.history = [*job.attempts[:-1], *map(copy, job.attempts[-1:])]
    return copied
