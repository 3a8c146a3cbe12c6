"""Why a job is in its state, and what has to happen before it runs: sentences from what the journal knows. Pure.

What only a run knows (which slots are free at this moment, which hosts answer) is not guessed at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from burnish.core.ahead import leader_of
from burnish.core.ids import name_run
from burnish.core.jobs import FOUND_RUNNING, Attempt, CoordinatorId, Job, JobId
from burnish.core.placement import WaitingQueue
from burnish.core.requirements import priority, requirements, why_blocked
from burnish.core.selection import Selection
from burnish.core.state import MAX_LOST, Phase, State, phase
from burnish.errors import Problem, counted, printable


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside the state: jobs whose row cannot be read, and why; whether the table can; which runs are going.

    `more` tells the command that shows more of a failed job.
    """

    skipped: Mapping[JobId, Problem] = field(default_factory=dict)
    readable: bool = True
    runs: Sequence[CoordinatorId] = ()
    more: Callable[[Job], str] = lambda job: more_of(job)


def explain(state: State, job: Job, around: Surroundings) -> Iterator[str]:
    """Sentences, the most important first."""
    yield f"Job {job.id} is {job.word}{_because(job)}."
    if job.removed:
        yield "Its row was deleted from the table, so it is not started again."
    match phase(job):
        case Phase.WAITING:
            yield from _waiting(state, job, around)
        case Phase.HELD:
            if job.reason == FOUND_RUNNING:
                yield (
                    "It stood as RUNNING in the table when burnish first read it, but no journal here knows of a start: "
                    "whether anything of it still runs, only you can see."
                )
            yield f"It is kept out until somebody lets it go: burnish release --job_id {job.id}"
        case Phase.CLAIMED | Phase.RUNNING:
            yield from _open(state, job, around)
        case Phase.COMPLETE:
            yield f"It is not run again unless it is asked for: burnish reset --job_id {job.id}"
        case Phase.ERROR:
            yield from _failed(job, around)
    yield from _past(job)


def _waiting(state: State, job: Job, around: Surroundings) -> Iterator[str]:
    if job.removed:
        return
    if (fault := around.skipped.get(job.id)) is not None:
        yield f"Its row in the table cannot be read, so it is passed over until the row is mended. {fault}"
    if not around.readable:
        yield "The table cannot be read as a whole, and until it can, nothing new is started."
    if not around.runs:
        yield "No burnish run is going, and nothing starts without one."
    else:
        yield f"{_runs(around.runs)} going; the job comes in its turn, unless the run was narrowed to others."
    if state.halted:
        yield f"Nothing is started since {printable(state.halted)}; the next burnish run goes on."
    if blocked := why_blocked(state, job.id):
        yield f"It cannot start now: {blocked}."
    else:
        yield from _place(state, job)
        yield from _turn(state, job, around)
    yield from _drained(state)


def _place(state: State, job: Job) -> Iterator[str]:
    """What it asks of the host that takes it."""
    asked = requirements(job, state)
    if asked.hosts:
        yield f"It runs only on a host named {' or '.join(asked.hosts)} (its HOSTS)."
    if asked.sbatch:
        yield f"Of Slurm it asks for {' '.join(f'--{key}={value}' for key, value in asked.sbatch)} (its HOSTS)."
    if asked.gpus is not None:
        needs = counted(asked.gpus, "GPU") + " of one host" if asked.gpus else "a slot without a GPU"
        yield f"It needs {needs} (its GPUS)."
    if job.outgrew:
        yield f"It ran out of memory on {', '.join(dict.fromkeys(job.outgrew))}, and is not started there again."
    elif job.failed_on:
        yield f"It failed on {', '.join(dict.fromkeys(job.failed_on))}; another host comes first, if there is one."


def _turn(state: State, job: Job, around: Surroundings) -> Iterator[str]:
    """Its place in the queue, and what occupies slots meanwhile."""
    ahead = _ahead(state, job, around)
    if ahead:
        own = priority(job, state)
        why = f" (its PRIORITY is {own:g})" if "PRIORITY" in state.columns else ""
        yield f"{counted(len(ahead), 'waiting job starts', 'waiting jobs start')} before it{why}."
    else:
        yield "It is the next to start."
    if state.open:
        hosts = Counter(str(attempt.host) for attempt in state.open.values())
        where = ", ".join(f"{count} on {host}" for host, count in hosts.items())
        yield f"Slots are taken by this table's own jobs: {where}."


def _ahead(state: State, job: Job, around: Surroundings) -> list[JobId]:
    everyone = Selection()
    queue = WaitingQueue(lambda other, now: other.id not in around.skipped and everyone.admits(other, now))
    queue.update(state.jobs, state)
    before: list[JobId] = []
    while (following := queue.pop()) is not None and following != job.id:
        before.append(following)
    return before


def _drained(state: State) -> Iterator[str]:
    for host, why in state.drained.items():
        yield f"{host} takes no new jobs: it is drained{f' ({printable(why)})' if why else ''}."
    for host, why in state.lacking.items():
        yield f"{host} could not start the job that it was given last: {printable(why, 500)}. A run tries there again by itself."


def _open(state: State, job: Job, around: Surroundings) -> Iterator[str]:
    attempt = job.open_attempt
    if attempt is None:
        yield "So the file says, and no journal here knows of its start: whether it still runs is known where it was started."
        return
    where = str(attempt.host) + (f", GPU {', '.join(attempt.gpus)}" if attempt.gpus else "")
    leader = leader_of(attempt, state)
    if leader is not None:
        yield f"Attempt {attempt.id} waits on {where} for the end of job {leader.id.job}, which has its slot."
    elif attempt.started_at is None:
        yield f"Attempt {attempt.id} was given to {where}, which has not said yet that it started."
    else:
        pid = f"; it was started as pid {attempt.pid}" if attempt.pid else ""  # which may be over, and its children not
        yield f"Attempt {attempt.id} runs on {where}{pid}."
    if attempt.cancelled_by is not None:
        yield f"It is being cancelled: {attempt.host} ends it, or will when it answers again."
    if job.hold_next:
        yield "Somebody held it: if this attempt does not start after all, the job becomes HOLD."
    if attempt.by in around.runs:
        yield f"The burnish run that looks after it is {name_run(attempt.by)}."
    else:
        yield (
            f"The run that looked after it ({name_run(attempt.by)}) is gone, so it may have ended since. The next burnish run "
            "takes it back; so do burnish wait and burnish cancel."
        )


def _failed(job: Job, around: Surroundings) -> Iterator[str]:
    if job.lost > MAX_LOST:
        yield f"It died {job.lost} times without a verdict, and is not started again by itself."
    yield f"To see more: {around.more(job)}. To run it again: burnish reset --job_id {job.id}"


def more_of(job: Job) -> str:
    """The command that shows more of a failed job: what it wrote or, if it never ran, what was to be run."""
    attempt = job.attempt
    never_ran = attempt is not None and attempt.voided is not None and attempt.argv
    return f"burnish view {job.id} {'--meta' if never_ran else '--stderr'}"


def _past(job: Job) -> Iterator[str]:
    """What became of attempts before the one that counts now."""
    for attempt in job.attempts:
        if attempt.open or (attempt is job.attempts[-1] and job.word.final):
            continue
        yield f"Earlier, attempt {attempt.id}{_where(attempt)} {_end(attempt)}."


def _where(attempt: Attempt) -> str:
    return f" on {attempt.host}" if attempt.host else ""


def _end(attempt: Attempt) -> str:
    if attempt.voided is not None:
        return f"never started ({printable(attempt.voided)})"
    assert attempt.verdict is not None
    return f"ended as {attempt.verdict.word} ({printable(attempt.verdict.reason)})"


def _because(job: Job) -> str:
    return f" ({printable(job.reason, 2000)})" if job.reason else ""


def _runs(runs: Sequence[CoordinatorId]) -> str:
    return f"{len(runs)} burnish runs are" if len(runs) > 1 else f"A burnish run ({name_run(runs[0])}) is"
