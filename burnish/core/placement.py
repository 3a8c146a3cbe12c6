"""Which job goes where next. Pure: a queue of waiting jobs, the slots that are free, and the pairs that follow.

The queue is a heap kept up to date by the ids of the jobs that changed, so that a claim costs the logarithm of the table and not
the table. There is one heap for each *kind* of job, that is, for what it asks of its place: which job comes next is seen from
the first entries of a few heaps, however many wait for a host that is busy. An entry may be stale; it is checked against the
queue's index when it comes up.

A job that waits for others (AFTER) is in no heap. It watches the first of them that is not COMPLETE, and is looked at again when
that one changes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from msgspec import Struct

from burnish.core.hosts import Host, matches
from burnish.core.jobs import Attempt, HostName, Job, JobId, Slot
from burnish.core.phases import Phase, phase
from burnish.core.requirements import priority, requirements, unmet
from burnish.core.state import State

NOT_USED = "this run does not use"  # and then hosts, each with why


class Kind(NamedTuple):
    """What a job asks of its place: so many GPUs (None: any one slot), one of these hosts (empty: any), if possible none of
    those on which it failed, and never one that it `outgrew` or that is `lacking` something for it. `only_slurm`: a cluster.
    """

    gpus: int | None = None
    hosts: tuple[str, ...] = ()
    failed_on: frozenset[HostName] = frozenset()
    outgrew: frozenset[HostName] = frozenset()
    lacking: frozenset[HostName] = frozenset()
    only_slurm: bool = False


@lru_cache(maxsize=1000)
def _kind(
    gpus: int | None,
    hosts: tuple[str, ...],
    failed_on: tuple[HostName, ...],
    outgrew: tuple[HostName, ...],
    lacking: frozenset[HostName],
    only_slurm: bool,
) -> Kind:
    """The same object for all jobs of a kind: of 100 000 jobs there are a few kinds."""
    return Kind(gpus, hosts, frozenset(failed_on), frozenset(outgrew), lacking, only_slurm)


class _Entry(NamedTuple):
    before: float  # the negative of PRIORITY
    rank: int
    job: JobId
    kind: Kind


class WaitingQueue:
    """Waiting jobs, larger PRIORITY first, then in table order (`rank`, by default the order of ids).

    `barred`: the hosts that lack something for a job.
    """

    def __init__(
        self,
        admits: Callable[[Job, State], bool],
        rank: Callable[[JobId], int] = int,
        barred: Callable[[JobId], frozenset[HostName]] = lambda job: frozenset(),
    ) -> None:
        self._admits = admits
        self._barred = barred
        self._rank = rank
        self._heaps: dict[Kind, list[_Entry]] = {}
        self._queued: dict[JobId, _Entry] = {}
        self._watchers: dict[JobId, set[JobId]] = {}
        self.blocked: dict[JobId, JobId] = {}  # a job that waits for others -> the one of them it watches

    def __bool__(self) -> bool:
        return bool(self._queued)

    def __len__(self) -> int:
        return len(self._queued)

    def update(self, changed: Iterable[JobId], state: State) -> None:
        """Take in jobs that may have begun or ceased to wait, or changed what they ask for."""
        to_take = dict.fromkeys(changed)
        for job_id in tuple(to_take):
            # Not the watchers of these, to whom nothing has changed: they may wait for each other in a circle.
            to_take |= dict.fromkeys(self._watchers.pop(job_id, ()))
        for job_id in to_take:
            self._take(state.jobs[job_id], state)

    def _take(self, job: Job, state: State) -> None:
        if phase(job) is not Phase.WAITING or not self._admits(job, state):
            self._queued.pop(job.id, None)
            self.blocked.pop(job.id, None)
            return
        asked = requirements(job, state)
        watched = unmet(asked.after, state) if asked.after else None
        if watched is not None:
            self._queued.pop(job.id, None)
            self.blocked[job.id] = watched
            self._watchers.setdefault(watched, set()).add(job.id)
            return
        self.blocked.pop(job.id, None)
        kind = _kind(asked.gpus, asked.hosts, job.failed_on, job.outgrew, self._barred(job.id), asked.only_slurm)
        entry = _Entry(-priority(job, state), self._rank(job.id), job.id, kind)
        if self._queued.get(job.id) != entry:
            self._queued[job.id] = entry
            heapq.heappush(self._heaps.setdefault(kind, []), entry)

    def heads(self) -> list[tuple[JobId, Kind]]:
        """The first job of each kind, in the order in which they are to start."""
        found = []
        for kind in list(self._heaps):
            heap = self._heaps[kind]
            while heap and self._queued.get(heap[0].job) != heap[0]:
                heapq.heappop(heap)
            if heap:
                found.append(heap[0])
            else:
                del self._heaps[kind]
        return [(entry.job, entry.kind) for entry in sorted(found)]

    def waiting(self) -> Iterator[tuple[JobId, Kind]]:
        """All that wait for a slot, in no order."""
        return ((entry.job, entry.kind) for entry in self._queued.values())

    def kind(self, job_id: JobId) -> Kind | None:
        """What this job asks of its place, if it waits for a slot."""
        entry = self._queued.get(job_id)
        return None if entry is None else entry.kind

    def take(self, job_id: JobId) -> None:
        """This job does not wait any more: it gets a slot."""
        del self._queued[job_id]

    def pop(self) -> JobId | None:
        """The next job wherever it may run, taken out of the queue; None when nothing waits."""
        for job_id, _ in self.heads():
            self.take(job_id)
            return job_id
        return None


class Site(Struct, frozen=True):
    """A host on which jobs may start now: all of its slots, and those to give. `plain` workers have no GPUs to give.

    `ahead`: the slots to give are not free yet, but their jobs may get successors, of one slot each.
    """

    host: Host
    slots: Sequence[Slot]
    free: Sequence[Slot]
    plain: bool = False
    ahead: bool = False

    @property
    def any_slot(self) -> bool:
        """True if any one slot does for any job: its GPUs are not ours to give."""
        return self.plain or self.host.engine == "slurm"


def assign(
    queue: WaitingQueue, sites: Sequence[Site], most: int, idle: Sequence[Site] | None = None
) -> Iterator[tuple[JobId, tuple[Slot, ...]]]:
    """Take at most `most` jobs out of the queue, each with the slots it gets.

    The first job that fits goes first. One that needs several GPUs of a host keeps what is free there for itself, so that smaller
    jobs behind it do not pass it by for ever. `idle`: the sites with what is still free on them, where `sites` are those of slots
    whose jobs may get successors: these must not pass it by on the host that it waits for, either.
    """
    free = _given(sites)
    awaited = partial(_awaited, sites=sites if idle is None else idle, free=free if idle is None else _given(idle))
    while most > 0 and free:
        job_id, slots = _next(queue, sites, free, awaited)
        if job_id is None:
            return
        queue.take(job_id)
        for slot in slots:
            free[slot.host].remove(slot)
            if not free[slot.host]:
                del free[slot.host]
        most -= 1
        yield job_id, slots


def _given(sites: Sequence[Site]) -> dict[HostName, list[Slot]]:
    return {site.host.name: list(site.free) for site in sites if site.free}


def _next(
    queue: WaitingQueue,
    sites: Sequence[Site],
    free: Mapping[HostName, Sequence[Slot]],
    awaited: Callable[[Kind], HostName | None],
) -> tuple[JobId | None, tuple[Slot, ...]]:
    """The first job that fits, and its slots; None if none does. `awaited`: the host for which one of several GPUs waits."""
    kept: set[HostName] = set()
    for job_id, kind in queue.heads():
        if slots := _place(kind, sites, free, kept):
            return job_id, slots
        if (kind.gpus or 0) > 1 and (best := awaited(kind)) is not None:
            kept.add(best)
    return None, ()


def wants(kind: Kind, sites: Sequence[Site], slots: Sequence[Slot]) -> bool:
    """True if these `slots` of one host, were they all that is free, would go to a job of this kind, or be kept for it."""
    if (kind.gpus or 0) > 1:
        return _awaited(kind, sites, _given(sites)) == slots[0].host
    return bool(_place(kind, sites, {slots[0].host: slots}, ()))


def fits_nowhere(kind: Kind, sites: Iterable[Site]) -> bool:
    """True if no site could take such a job even if all of its slots were free."""
    return not any(names(kind, site.host) and _choose(kind, site.slots, site.any_slot) for site in sites)


def why_nowhere(kind: Kind, unused: str = "") -> str:
    """Why such a job starts on no host of a run, where it fits on none: a clause.

    `unused`: the hosts that may have a place for it and that the run does not use, and why.
    """
    if unused and not kind.hosts:
        return f"{why_nowhere(kind)}; {NOT_USED} {unused}"
    asked = (
        f"{kind.gpus} GPUs of one host" if (kind.gpus or 0) > 1 else "a GPU" if kind.gpus else "a slot without a GPU"
    )
    if kind.outgrew:
        return f"it ran out of memory on {' and '.join(sorted(kind.outgrew))}, and no other host of this run has a place for it"
    if kind.only_slurm:
        return "it names nodes or features of a cluster, and this run has none"
    if not kind.hosts:
        return f"it needs {asked}, and no host of this run has that"
    needs = "" if kind.gpus is None else f" with {asked}"
    none = f"{NOT_USED} {unused}" if unused else "this run has none"
    return f"it needs a host named {' or '.join(kind.hosts)}{needs}, and {none}"


def names(kind: Kind, host: Host) -> bool:
    """True if the job may run on this host."""
    if host.name in kind.outgrew or host.name in kind.lacking:
        return False
    if kind.only_slurm and host.engine != "slurm":
        return False
    return not kind.hosts or any(matches(host, pattern) for pattern in kind.hosts)


def _place(
    kind: Kind, sites: Sequence[Site], free: Mapping[HostName, Sequence[Slot]], kept: Container[HostName]
) -> tuple[Slot, ...]:
    """The slots for the next job of this kind, empty if there are none. Another host than one it failed on, if there is one."""
    never = kind.outgrew or kind.lacking or kind.only_slurm
    named = [site for site in sites if names(kind, site.host)] if kind.hosts or never else sites
    fresh = [site for site in named if site.host.name not in kind.failed_on] if kind.failed_on else named
    for site in fresh or named:
        name = site.host.name
        if name not in free or name in kept or (site.ahead and (kind.gpus or 0) > 1):
            continue
        if slots := _choose(kind, free[name], site.any_slot):
            return slots
    return ()


def _choose(kind: Kind, slots: Sequence[Slot], plain: bool) -> tuple[Slot, ...]:
    if kind.gpus is None or plain:
        return tuple(slots[:1])
    if kind.gpus == 0:
        return next(((slot,) for slot in slots if slot.gpu is None), ())
    of_each = {slot.gpu: slot for slot in reversed(slots) if slot.gpu is not None}
    chosen = sorted(of_each.values(), key=lambda slot: slot.index)[: kind.gpus]
    return tuple(chosen) if len(chosen) == kind.gpus else ()


def _awaited(kind: Kind, sites: Sequence[Site], free: Mapping[HostName, Sequence[Slot]]) -> HostName | None:
    """The host that has the least left to free for such a job; None if none ever fits."""
    able = [site.host.name for site in sites if names(kind, site.host) and _choose(kind, site.slots, site.any_slot)]
    return max(able, key=lambda name: len({slot.gpu for slot in free.get(name, ()) if slot.gpu}), default=None)


def free_slots(slots: Sequence[Slot], mine: Iterable[Attempt], reserved: Iterable[Slot]) -> list[Slot]:
    """The slots without an attempt. Attempts taken over from a run with other slots count against the number all the same.

    One that waits for the end of another takes no slot of its own, nor does a slot that is kept for such a one.
    """
    attempts = list(mine)
    taken = {index for attempt in attempts for index in attempt.slots}
    kept = {slot for slot in reserved if slot.index not in taken}
    free = [slot for slot in slots if slot.index not in taken and slot not in kept]
    used = sum(max(1, len(attempt.slots)) for attempt in in_place(attempts))
    return free[: max(0, len(slots) - used - len(kept))]


def in_place(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Those of a host's `attempts`, in the order of their claims, that are not in the place of another one of them.

    One that waits in a line of which another was voided is in the place of whoever has the slot.
    """
    names = {attempt.name for attempt in attempts}
    found, taken = [], set[int]()
    for attempt in attempts:
        waits = attempt.after and attempt.started_at is None and not taken.isdisjoint(attempt.slots)
        if attempt.after not in names and not waits:
            found.append(attempt)
            taken.update(attempt.slots)
    return found
