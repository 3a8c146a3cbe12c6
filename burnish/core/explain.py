"""Why a job is in its state, and what has to happen before it runs: sentences from what the journal knows. Pure.

What only a run knows (which slots are free at this moment, which hosts answer) is not guessed at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from msgspec import Struct, field

from burnish.core.ahead import before
from burnish.core.ids import name_jobs, name_run, to_type
from burnish.core.jobs import FOUND_RUNNING, GRACE, Attempt, AttemptId, CoordinatorId, Job, JobId
from burnish.core.phases import Phase, phase
from burnish.core.placement import WaitingQueue
from burnish.core.requirements import misnamed, priority, requirements, unmet, why_blocked
from burnish.core.selection import Selection
from burnish.core.state import MAX_LOST, State
from burnish.core.table import fault_alone
from burnish.core.unplaced import Unplaced
from burnish.errors import Problem, counted, printable

SHOWN_PIDS = 5


class Surroundings(Struct, frozen=True):
    """What is known beside the state: jobs whose row cannot be read, and why; whether the table can; which runs are going.

    `more` tells the command that shows more of a failed job. `start`: those of the `runs` that start jobs, None for all of them.
    `unplaced`: what runs that go and those that went last have no place for. `narrowed`: runs that go and take up some jobs only.
    `limited`: those that end after so many jobs.
    """

    skipped: Mapping[JobId, Problem] = field(default_factory=dict)
    readable: bool = True
    runs: Sequence[CoordinatorId] = ()
    more: Callable[[Job], str] = lambda job: more_of(job)
    start: Collection[CoordinatorId] | None = None
    unplaced: Mapping[CoordinatorId, Sequence[Unplaced]] = field(default_factory=dict)
    narrowed: Mapping[CoordinatorId, Selection] = field(default_factory=dict)
    limited: Collection[CoordinatorId] = ()

    @property
    def starters(self) -> list[CoordinatorId]:
        """The runs from which a job may get a place."""
        return [run for run in self.runs if self.start is None or run in self.start]

    def refusals(self, state: State, job: Job) -> dict[CoordinatorId, str]:
        """Why which run does not start it: clauses."""
        narrowed = [run for run in self.narrowed if not self._admitted(state, job, run)]
        return {**self._placeless(state, job), **{run: f"it was narrowed to {self.narrowed[run]}" for run in narrowed}}

    def startable(self, state: State, job: Job, starters: Sequence[CoordinatorId] | None = None) -> bool:
        """False if none of the `starters` (None: all that are going) has a place for it or, where none is, the last had none."""
        if not self.unplaced and not self.narrowed:
            return True
        placeless, starters = self._placeless(state, job), self.starters if starters is None else starters
        if not starters:
            return not placeless
        return any(run not in placeless and self._admitted(state, job, run) for run in starters)

    def _placeless(self, state: State, job: Job) -> dict[CoordinatorId, str]:
        """Why it has no place in which run."""
        said = {
            run: next((one.why for one in found if one.concerns(job, state)), "")
            for run, found in self.unplaced.items()
        }
        return {run: why for run, why in said.items() if why}

    def _admitted(self, state: State, job: Job, run: CoordinatorId) -> bool:
        return run not in self.narrowed or self.narrowed[run].admits(job, state)


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
        yield f"Its row, {fault.where}, cannot be read, so it is passed over until that is mended: {fault_alone(fault)}"
    if not around.readable:
        yield "The table cannot be read as a whole, and until it can, nothing new is started."
    unread, blocked = fault is not None or not around.readable, why_blocked(state, job.id)
    yield from _in_runs(around, around.refusals(state, job), has_a_turn=not (unread or blocked or state.halted))
    if state.halted:
        yield f"Nothing is started since {printable(state.halted)}; the next burnish run goes on."
    if blocked:
        yield f"It cannot start now: {blocked}.{_way_out(state, job)}"
    else:
        yield from _place(state, job)
        if around.startable(state, job) and not unread:
            yield from _turn(state, job, around)
    yield from _drained(state)


def _way_out(state: State, job: Job) -> str:
    """What lets a job that comes after others go on, where these do not by themselves."""
    if misnamed(state, job.id):
        return " It waits until AFTER is corrected in the table."
    watched = unmet(requirements(job, state).after, state)
    match None if watched is None else phase(state.jobs[watched]):
        case Phase.ERROR:
            return f" To run that one again: burnish reset --job_id {watched}"
        case Phase.HELD:
            return f" To let that one go: burnish release --job_id {watched}"
    return ""


def _in_runs(around: Surroundings, refusals: Mapping[CoordinatorId, str], *, has_a_turn: bool) -> Iterator[str]:
    """What it has to hope for from the runs that are going, or from the next. Unless it `has_a_turn`, that is told elsewhere."""
    starters = around.starters
    if taking := [run for run in starters if run not in refusals]:
        ends = ", unless --num_jobs ends the run before" if all(run in around.limited for run in taking) else ""
        yield f"{_runs(taking)} going; the job comes in its turn{ends}." if has_a_turn else f"{_runs(taking)} going."
    for run in starters:
        if run in refusals:
            yield f"{_runs([run])} going and cannot start it: {printable(refusals[run], 500)}."
    if not starters:
        yield "No burnish run is going, and nothing starts without one."
        for run, why in refusals.items():
            yield f"The last one ({name_run(run)}) could not start it: {printable(why, 500)}."


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
        asked = requirements(job, state)
        picky = not around.starters and (asked.hosts or asked.gpus is not None)
        yield f"It is the next to start{', if the run has a host for it' if picky else ''}."
    if state.open:
        hosts = Counter(str(attempt.host) for attempt in state.open.values())
        where = ", ".join(f"{count} on {host}" for host, count in hosts.items())
        yield f"Slots are taken by this table's own jobs: {where}."


def _ahead(state: State, job: Job, around: Surroundings) -> list[JobId]:
    everyone, refusals = Selection(), around.refusals(state, job)
    its_own = [run for run in around.starters if run not in refusals]

    def may_start(other: Job, now: State) -> bool:
        return other.id not in around.skipped and everyone.admits(other, now) and around.startable(now, other, its_own)

    queue = WaitingQueue(may_start)
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
    if line := [earlier.id.job for earlier in before(attempt, state)]:
        holder = "which has its slot" if len(line) == 1 else f"and job {line[-1]} has its slot"
        yield f"Attempt {attempt.id} waits on {where} for the end of job {line[0]}, {holder}."
    elif attempt.started_at is None and attempt.entry.get("engine") == "slurm":
        yield f"Attempt {attempt.id} was given to Slurm on {where}, which has not started it yet."
    elif attempt.started_at is None:
        yield f"Attempt {attempt.id} was given to {where}, which has not said yet that it started."
    elif attempt.by not in around.runs:
        yield f"Attempt {attempt.id} was started on {where}{f' as pid {attempt.pid}' if attempt.pid else ''}."
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


def given_longer(attempts: Sequence[Attempt]) -> Iterator[str]:
    """A sentence about those that are cancelled already, and were given longer to end than jobs are by default."""
    if patient := [attempt for attempt in attempts if attempt.grace > GRACE]:
        ids = [attempt.id.job for attempt in patient]
        yield (
            f"An earlier cancel gave {name_jobs(ids)} up to {max(attempt.grace for attempt in patient):g} s to end. To end "
            f"{'it' if len(ids) == 1 else 'them'} sooner: burnish cancel --job_id {to_type(ids)} --grace 1s"
        )


def unended(attempts: Sequence[Attempt], told: Mapping[AttemptId, bool]) -> Iterator[tuple[list[Attempt], str]]:
    """Why the end of cancelled attempts was not seen: those of one reason, and a sentence without its beginning.

    `told`: those whose host answers, and whether it says that they live.
    """
    if silent := [attempt for attempt in attempts if attempt.id not in told]:
        hosts = ", ".join(sorted({str(attempt.host) for attempt in silent}))
        yield silent, f"no word from {hosts}. It is done when the host answers."
    by_host: dict[tuple[str, bool], list[Attempt]] = {}
    for attempt in attempts:
        if attempt.id in told:
            by_host.setdefault((str(attempt.host), told[attempt.id]), []).append(attempt)
    for (host, lives), theirs in by_host.items():
        ids = [attempt.id.job for attempt in theirs]
        again = f"To see whether {'it has' if len(ids) == 1 else 'they have'}: burnish cancel --job_id {to_type(ids)}"
        if not lives:
            yield (
                theirs,
                f"{host} was told, and a word of its end, or the rest of its log, has not come home yet. {again}",
            )
            continue
        pids = [attempt.pid for attempt in theirs if attempt.pid and attempt.entry.get("engine") != "slurm"]
        shown = [str(pid) for pid in pids[:SHOWN_PIDS]]
        began = f" (started as pid {', '.join(shown)})" if pids else ""
        look = (
            f"\nhint: on {host}: ps -s {','.join(shown)} -o pid,stat,wchan:24,args shows what it waits for"
            if pids
            else ""
        )
        yield (
            theirs,
            f"{host} was told, and {'its' if len(ids) == 1 else 'their'} processes have not ended{began}. Not even SIGKILL ends "
            f"one that waits for a disk, a file server or a driver: it ends when that answers, or {host} is rebooted. "
            f"{again}{look}",
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
