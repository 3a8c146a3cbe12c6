"""Where a run may start something now: free slots, and slots whose job may get a successor; and what comes back.

The rules are in `core.placement` (free slots), `core.ahead` (successors) and `inspection` (slots that are let be).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from burnish.core.ahead import Ahead, Lines, patience
from burnish.core.events import Fact
from burnish.core.jobs import Attempt, AttemptId, CoordinatorId, HostName, JobId, Slot
from burnish.core.placement import Kind, Site, free_slots, in_place, wants
from burnish.core.requirements import priority
from burnish.core.state import State
from burnish.fleet import Fleet, Member
from burnish.inspection import Inspection
from burnish.preparation import Preparation


class Vacancies:
    """The slots of a run's hosts, for coordinator `me`. `plain`, `most`: as its plan says.

    `is_mine`: whether the run looks after an attempt. Without `ahead`, nothing is claimed ahead.
    `ending` are attempts whose end is about to be committed: such a one leaves its slot to a claim in the same commit, so that
    there is one wait for the disk, not two.
    """

    def __init__(
        self,
        me: CoordinatorId,
        state: State,
        fleet: Fleet,
        inspection: Inspection,
        *,
        plain: bool,
        most: int | None,
        is_mine: Callable[[Attempt], bool],
        ahead: bool = True,
    ) -> None:
        self._state = state
        self._fleet = fleet
        self._inspection = inspection
        self._plain = plain
        self._most = most
        self._is_mine = is_mine
        self._looks_ahead = ahead
        self._ahead = Ahead(me, state)

    def learn(self, fact: Fact) -> None:
        """A fact was committed."""
        self._ahead.learn(fact, time.monotonic())

    def find(self, ending: Collection[AttemptId], kept: Preparation) -> tuple[list[Site], list[Site], int | None]:
        """Where jobs may be claimed for: on free slots, and behind others; and how many at most on free ones.

        `kept`: slots that are taken.
        """
        now, occupied = time.monotonic(), self._occupied(ending)
        free: list[Site] = []
        behind: list[Site] = []
        for member in self._fleet.ready(now, self._state.drained):
            there, reserved = occupied[member.host.name], kept.slots(member.host.name)
            slots = self._inspection.usable(free_slots(member.slots, there, reserved), tried=bool(reserved))
            free.append(Site(member.host, member.slots, slots, self._plain))
            if member.host.engine == "slurm" or not self._looks_ahead or member.trial:
                continue  # who comes next on Slurm is Slurm's to say; on trial, the first one's end
            following = self._ahead.slots(member.slots, there, now, member.link.round_trip)
            slots = [slot for slot in self._inspection.usable(following) if slot not in reserved]
            behind.append(Site(member.host, member.slots, slots, self._plain, ahead=True))
        if self._most is None:
            return free, behind, None
        running = [a for there in occupied.values() for a in in_place(there) if self._is_mine(a)]
        return free, behind, self._most - len(running) - len(kept)

    def busy(self, members: Iterable[Member]) -> dict[HostName, int]:
        """How many slots of each member a running job has; how many jobs run there while its slots are not known."""
        occupied, busy = self._occupied(()), {}
        for member in members:
            running = [attempt for attempt in occupied[member.host.name] if attempt.started_at is not None]
            held = {slot.index for slot in member.slots} & {index for attempt in running for index in attempt.slots}
            busy[member.host.name] = len(held) if member.offer.known else len(running)
        return busy

    def lines(self, ending: Collection[AttemptId]) -> Lines:
        """Whom the claims of one commit come after. Those that are `ending` have left their slots."""
        return Lines(self._ahead, lambda host: (a for a in self._state.open.on(host) if self._occupies(a, ending)))

    @property
    def hurried(self) -> bool:
        """True if jobs are so short that what has just got a slot, or begun, may have a successor."""
        longest, members = self._ahead.longest, self._fleet.members.values()
        return longest is not None and any(longest < patience(member.link.round_trip) for member in members)

    def is_followed(self, name: str) -> bool:
        """True if something that was claimed ahead comes after the attempt of this name."""
        return self._ahead.is_followed(name)

    def waits(self) -> bool:
        """True while something that was claimed ahead has neither started nor come back."""
        return any(self._ahead.waiting())

    def unwanted(
        self, skipped: Collection[JobId], first: Sequence[tuple[float, Kind]], kept: Preparation, stopping: bool
    ) -> Iterator[tuple[Attempt, str]]:
        """What was claimed ahead and should not start there, and why, a clause.

        `first`: of the jobs that come first in the queue, PRIORITY and kind.
        """
        waiting = list(self._ahead.waiting())
        sites = self.find((), kept)[0] if waiting and first else []
        for attempt, leader in waiting:
            if stopping:
                yield attempt, "its run was stopped"
            elif why := self._why_unwanted(attempt, leader, skipped):
                yield attempt, why
            else:
                job, slots = self._state.jobs[attempt.id.job], self._slots(attempt)
                own = priority(job, self._state)
                if any(before > own and wants(kind, sites, slots) for before, kind in first):
                    yield attempt, "a job of higher priority waits"

    def _why_unwanted(self, attempt: Attempt, leader: Attempt, skipped: Collection[JobId]) -> str:
        job, member = self._state.jobs[attempt.id.job], self._fleet.members[attempt.host]
        if job.removed or job.ran_with is not None or job.id in skipped:
            return "its row was edited"
        usable = self._inspection.usable(self._slots(attempt))
        if not self._fleet.takes_jobs(attempt.host, self._state.drained) or not usable:
            return "its slot takes no more jobs"
        if self._ahead.is_long(leader, time.monotonic(), patience(member.link.round_trip)):
            return f"job {leader.id.job} keeps its slot for long"
        return ""

    def _slots(self, attempt: Attempt) -> list[Slot]:
        return [slot for slot in self._fleet.members[attempt.host].slots if slot.index in attempt.slots]

    def _occupied(self, ending: Collection[AttemptId]) -> defaultdict[HostName, list[Attempt]]:
        """The attempts that take slots, by host. Plain workers are this run's own."""
        found: defaultdict[HostName, list[Attempt]] = defaultdict(list)
        for attempt in self._state.open.values():
            if self._occupies(attempt, ending):
                found[attempt.host].append(attempt)
        return found

    def _occupies(self, attempt: Attempt, ending: Collection[AttemptId]) -> bool:
        return attempt.id not in ending and (not self._plain or self._is_mine(attempt))
