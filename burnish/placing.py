"""Waiting jobs and free slots brought together: which job starts next, where, and why the others do not.

`core.placement` has the rules. Here is what they are asked with: what the fleet offers at this moment, what this run may still
start, which rows can be read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Set

from msgspec.structs import replace

from burnish.core.ids import name_jobs
from burnish.core.jobs import AttemptId, CoordinatorId, HostName, Job, JobId, Slot
from burnish.core.lacking import Lacking
from burnish.core.phases import Phase, phase
from burnish.core.placement import NOT_USED, Kind, Site, WaitingQueue, assign, fits_nowhere, names, why_nowhere
from burnish.core.requirements import misnamed, never_met, priority, requirements, why_blocked, why_never_met
from burnish.core.state import State
from burnish.core.unplaced import Unplaced
from burnish.fleet import Fleet, Member
from burnish.plan import Outcome, Plan
from burnish.preparation import Preparation
from burnish.projection import Projection
from burnish.runners.sources import Call
from burnish.store import unplaced
from burnish.store.paths import Paths
from burnish.vacancies import Vacancies

FEW = 3  # jobs of which each is looked at by itself


class Placing:
    """The queue of one run. `place` reserves slots in `preparation` and has the commands made."""

    def __init__(
        self,
        state: State,
        plan: Plan,
        outcome: Outcome,
        fleet: Fleet,
        *,
        vacancies: Vacancies,
        projection: Projection,
        preparation: Preparation,
        paths: Paths,
        lacking: Lacking,
        say: Callable[[str], None],
    ) -> None:
        self._state = state
        self._plan = plan
        self._outcome = outcome
        self._fleet = fleet
        self._vacancies = vacancies
        self._projection = projection
        self._preparation = preparation
        self._paths = paths
        self._lacking = lacking
        self._say = say
        self._queue = WaitingQueue(self._may_start, barred=lacking.barred)
        self._skipped: Set[JobId] = frozenset()
        self._misnamed: dict[JobId, str] = {}
        self._unplaced: list[Unplaced] = []

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def waiting(self) -> int:
        """How many jobs wait for this run to start them; 0 if it starts none."""
        return 0 if self._plan.source is None else len(self._queue)

    # -- what waits ------------------------------------------------------------------------------------------------

    def update(self, changed: Iterable[JobId]) -> bool:
        """These jobs may have begun or ceased to wait. True if more wait than did.

        Says, once, what stands in AFTER and can never be.
        """
        ids, waited = list(changed), len(self._queue)
        self._queue.update(ids, self._state)
        waiting = {job_id for job_id in ids if job_id in self._queue.blocked}
        if len(waiting) > FEW:
            self._name_many(waiting)
        for job_id in ids:
            if job_id not in waiting:
                self._misnamed.pop(job_id, None)
            elif len(waiting) <= FEW and self._misnamed.get(job_id) != (why := misnamed(self._state, job_id)):
                self._misnamed[job_id] = why
                if why:
                    self._say(f"{self._paths.shown}: job {job_id} is not started: {why}.")
        return len(self._queue) > waited

    def _name_many(self, waiting: set[JobId]) -> None:
        """To follow each one's chain would cost the square of a long one."""
        found = list(never_met(self._state))
        for job_id in waiting.difference(*(ids for ids, _ in found)):
            self._misnamed.pop(job_id, None)
        for ids, why in found:
            new = [job_id for job_id in ids if job_id in waiting and not self._misnamed.get(job_id)]
            self._misnamed.update(dict.fromkeys(new, why))
            if new:
                self._say(
                    f"{self._paths.shown}: {name_jobs(new)} {'is' if len(new) == 1 else 'are'} not started: {why}."
                )

    def look(self) -> None:
        """Rows may have become readable, or ceased to be; hosts may have got what they lacked."""
        self.update(self._lacking.take_freed() & self._state.jobs.keys())
        if (skipped := self._projection.skipped.keys()) != self._skipped:
            mended, self._skipped = self._skipped ^ skipped, skipped
            self.update(mended & self._state.jobs.keys())

    def hopeful(self) -> bool:
        """True if something that waits may still be started by this run."""
        if any(self._may_fit(kind) for _, kind in self._queue.heads()):
            return True
        watched = (self._state.jobs.get(job_id) for job_id in self._queue.blocked.values())
        return any(job is not None and phase(job) in (Phase.CLAIMED, Phase.RUNNING) for job in watched)

    def stuck(self) -> dict[JobId, str]:
        """What waits and cannot be started, and why: clauses."""
        waiting = self._queue.waiting()
        nowhere = {job_id: self._why_nowhere(job_id, kind) for job_id, kind in waiting if not self._may_fit(kind)}
        never = why_never_met(self._state) if len(self._queue.blocked) > FEW else None
        return nowhere | {job_id: why_blocked(self._state, job_id, never) for job_id in self._queue.blocked}

    def leave_word(self, me: CoordinatorId) -> None:
        """Leave word of what has no place in this run, for `explain`, unless it stands there."""
        found = self.unplaced()
        if found != self._unplaced:
            unplaced.leave(self._paths.unplaced, me, found)
        self._unplaced = found

    def unplaced(self) -> list[Unplaced]:
        """What waits and has no place on any host of this run, as far as is known now. Costs what kinds of jobs there are."""
        unfit = {kind: job_id for job_id, kind in self._queue.heads() if not self._may_fit(kind)}
        found = [
            Unplaced.of(kind, self._why_nowhere(job_id, kind)) for kind, job_id in unfit.items() if not kind.lacking
        ]
        alike: dict[tuple[Kind, str], list[JobId]] = {}
        for job_id in self._lacking.jobs() if unfit else ():
            if (kind := self._queue.kind(job_id)) in unfit:
                alike.setdefault((kind, self._why_nowhere(job_id, kind)), []).append(job_id)
        return list(dict.fromkeys([*found, *(Unplaced.of(kind, why, jobs) for (kind, why), jobs in alike.items())]))

    def elsewhere(self, job: Job, host: HostName) -> bool:
        """True if this run has another host than `host` for a job that runs out of memory there."""
        others = [member.host for member in self._starting() if member.host.name != host]
        if not others:
            return False
        asked = requirements(job, self._state)
        kind = Kind(None, asked.hosts, outgrew=frozenset(job.outgrew), only_slurm=asked.only_slurm)
        return any(names(kind, other) for other in others)

    def _why_nowhere(self, job_id: JobId, kind: Kind) -> str:
        given_up = [member for member in self._fleet.members.values() if member.given_up and names(kind, member.host)]
        lacks = [f"{member.lacks} on {member.host.name}" for member in given_up if _may_place(kind, member)]
        unused = "; nor ".join(
            f"{member.host.name}: {member.unused}"
            for member in self._fleet.members.values()
            if member.unused and names(kind, member.host) and _may_place(kind, member)
        )
        missing = [why for why in (self._lacking.why_barred(job_id), *lacks) if why]
        if not missing:
            return why_nowhere(kind, unused)
        return ", and ".join([*missing, *([f"{NOT_USED} {unused}"] if unused else [])])

    def _may_start(self, job: Job, state: State) -> bool:
        if job.id in self._preparation:
            return False  # it has its slots; an edit makes its command void, and then it waits again
        return job.id not in self._projection.skipped and self._plan.selection.admits(job, state)

    def _may_fit(self, kind: Kind) -> bool:
        now = time.monotonic()
        kind = kind._replace(lacking=frozenset(host for host in kind.lacking if self._lacking.given_up(host, now)))
        return any(_may_place(kind, member) for member in self._starting() if names(kind, member.host))

    def _starting(self) -> Iterator[Member]:
        """The members on which jobs of this run may start, now or later."""
        members = self._fleet.members.values()
        return (m for m in members if m.starts and not (m.refused or m.stopped or m.given_up))

    # -- what starts -----------------------------------------------------------------------------------------------

    def first(self) -> list[tuple[float, Kind]]:
        """Of the first job of each kind that waits: its PRIORITY, and what it asks of its place."""
        return [(priority(self._state.jobs[job_id], self._state), kind) for job_id, kind in self._queue.heads()]

    def place(
        self, ending: set[AttemptId], most: int | None, on: Callable[[HostName], int | None] = lambda host: None
    ) -> None:
        """Keep slots for each next job and ask the runner for its command, for at most `most` jobs at a time, and `on` a host.

        The slots of `ending` attempts are free.
        """
        if self._plan.source is None or not self._queue or not self._projection.readable:
            return
        free, behind, room = self._vacancies.find(ending, self._preparation)
        left = len(self._queue)
        if self._plan.num_jobs is not None:
            left = self._plan.num_jobs - self._outcome.claimed - len(self._preparation)
        if most is not None:
            left = min(left, most - len(self._preparation))
        now = left if room is None else min(left, room)
        chosen: list[tuple[JobId, tuple[Slot, ...]]] = []
        for site in free:
            if (few := on(site.host.name)) is not None and not self._preparation.slots(site.host.name):
                chosen += assign(self._queue, [site], min(few, now - len(chosen)))
        chosen += assign(self._queue, [site for site in free if on(site.host.name) is None], now - len(chosen))
        given = {slot for _, slots in chosen for slot in slots}
        idle = [replace(site, free=[slot for slot in site.free if slot not in given]) for site in free]
        behind = [site for site in behind if on(site.host.name) is None]
        chosen += assign(self._queue, behind, left - len(chosen), idle)
        jobs = ((self._state.jobs[job_id], slots) for job_id, slots in chosen)
        self._preparation.ask([(job, slots, self._call(job, slots)) for job, slots in jobs])

    def _call(self, job: Job, slots: tuple[Slot, ...]) -> Call:
        values = {"JOB_ID": str(job.id), "STATE": job.word.value, **self._state.values(job)}
        folder = self._paths.log_dir
        gpus = ",".join(slot.gpu for slot in slots if slot.gpu is not None)
        return Call(values, {"log_dir": str(folder.parent), "prefix": folder.name, "host": slots[0].host, "gpus": gpus})


def _may_place(kind: Kind, member: Member) -> bool:
    """True unless it is known that no slot of this host, free or not, is for such a job."""
    site = Site(member.host, member.slots, (), member.offer.plain)
    return not member.offer.known or not fits_nowhere(kind, (site,))
