"""What people ask of jobs by command: reset, hold, release, cancel. Pure functions from the state to facts and sentences.

They are what an edit of the STATE column would be, but a command may insist: `reset` runs a finished job again
without asking whether the text was stale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct, field

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.ids import name_ids, name_jobs
from burnish.core.jobs import CANCELLED, GRACE, AttemptId, Job, JobId, Word
from burnish.core.phases import Phase, phase
from burnish.core.state import State
from burnish.core.table import fault_alone
from burnish.errors import Problem, UsageError, printable


class Wish(Struct):
    """The facts to commit, and what to tell the user: what was done, what was not and why.

    `alive` are jobs that were left alone because they run; `attempts` the open attempts that the facts are about.
    """

    facts: list[Fact] = field(default_factory=list)
    done: list[JobId] = field(default_factory=list)
    alive: list[JobId] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    attempts: list[AttemptId] = field(default_factory=list)


def chosen(
    state: State,
    ids: frozenset[JobId] | None,
    shown: str,
    skipped: Mapping[JobId, Problem] = MappingProxyType({}),
    nothing: str = "",
) -> list[Job]:
    """The jobs of these ids in id order; for None all, in the order of the table. A row that was removed counts while it runs.

    Raises UsageError naming the ids that are no jobs, those of `skipped` rows of the table `shown` with the reason. `nothing`
    is the end of the sentence: what was not done.
    """
    there = {job.id: job for job in state.jobs.values() if not job.removed or job.open_attempt is not None}
    if ids is None:
        return list(there.values())
    missing = sorted(ids - there.keys())
    if missing:
        unread = [job_id for job_id in missing if job_id in skipped]
        told = [
            f"Job {job_id} is not known yet: its row, {skipped[job_id].where}, cannot be read: {fault_alone(skipped[job_id])}"
            for job_id in unread
        ]
        if unknown := [job_id for job_id in missing if job_id not in skipped]:
            has = name_jobs(list(there)) if there else "none"
            told.append(
                f"{shown} has no {'job' if len(unknown) == 1 else 'jobs'} {printable(name_ids(unknown), 400)}; it has {has}."
            )
        hint = f"mend the row in {shown}" if unread and not unknown else None
        raise UsageError("\n".join([*told[:-1], f"{told[-1]} {nothing}".rstrip()]), hint=hint)
    return [there[job_id] for job_id in sorted(ids)]


def reset(state: State, jobs: Sequence[Job], *, errors_only: bool = False) -> Wish:
    """Back to NOT_RUNNING. A job that is alive stays and is named."""
    wish = Wish()
    for job in jobs:
        if errors_only and job.word is not Word.ERROR:
            continue
        if job.open_attempt is not None:
            wish.alive.append(job.id)
        elif job.word is not Word.NOT_RUNNING:
            wish.facts.append(events.ResetRequested(job.id))
            wish.done.append(job.id)
    return wish


def hold(state: State, jobs: Sequence[Job]) -> Wish:
    """Keep waiting (and failed) jobs out until they are released."""
    wish = Wish()
    for job in jobs:
        match phase(job):
            case Phase.WAITING | Phase.CLAIMED | Phase.ERROR:
                wish.facts.append(events.HoldRequested(job.id))
                wish.done.append(job.id)
            case Phase.RUNNING:
                wish.alive.append(job.id)
            case Phase.COMPLETE:
                wish.ignored.append(f"Job {job.id} is COMPLETE; there is nothing to hold.")
            case Phase.HELD:
                wish.ignored.append(f"Job {job.id} is on HOLD already.")
    return wish


def release(state: State, jobs: Sequence[Job]) -> Wish:
    """HOLD back to NOT_RUNNING."""
    wish = Wish()
    for job in jobs:
        if phase(job) is Phase.HELD or (phase(job) is Phase.CLAIMED and job.hold_next):
            wish.facts.append(events.ReleaseRequested(job.id))
            wish.done.append(job.id)
        else:
            wish.ignored.append(f"Job {job.id} is {job.word}, not HOLD.")
    return wish


def cancel(state: State, jobs: Sequence[Job], by: str, grace: float | None) -> Wish:
    """Stop what runs; what waits becomes HOLD, reason CANCELLED.

    `grace` is in s. What is to stop already keeps its own, unless this is shorter; None is GRACE for all others.
    """
    wish = Wish()
    for job in jobs:
        attempt = job.open_attempt
        if attempt is not None:
            wish.attempts.append(attempt.id)
            wish.alive.append(job.id)
            if attempt.cancelled_by is None:
                wish.facts.append(events.CancelRequested(attempt.id, by, GRACE if grace is None else grace))
            elif grace is not None and grace < attempt.grace:
                wish.facts.append(events.CancelRequested(attempt.id, by, grace))
        elif phase(job) is Phase.WAITING:
            wish.facts.append(events.HoldRequested(job.id, CANCELLED))
            wish.done.append(job.id)
        else:
            wish.ignored.append(f"Job {job.id} is {job.word}; there is nothing to cancel.")
    return wish
