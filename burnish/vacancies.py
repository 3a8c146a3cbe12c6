"""Where a run may start something now: free slots, and slots whose job may get a successor; and what comes back.

The rules are in `core.placement` (free slots), `core.ahead` (successors) and `inspection` (slots that are let be).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator

from burnish.core.ahead import Ahead, patience
from burnish.core.events import Fact
from burnish.core.jobs import Attempt, AttemptId, CoordinatorId, HostName, JobId, Slot
from burnish.core.placement import free_slots, in_place, priority
from burnish.core.state import State
from burnish.fleet import Fleet
from burnish.inspection import Inspection
from burnish.preparation import Preparation


class Vacancies:
    """The slots of a run's hosts, for coordinator `me`. `plain`, `most`, `num_jobs`, `attend`: as its plan says.

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
        num_jobs: int | None,
        attend: Collection[AttemptId],
    ) -> None:
        self._me = me
        self._state = state
        self._fleet = fleet
        self._inspection = inspection
        self._plain = plain
        self._most = most
        self._num_jobs = num_jobs
        self._attend = attend
        self._ahead = Ahead(me, state)

    def learn(self, fact: Fact) -> None:
        """A fact was committed."""
        self._ahead.learn(fact, time.monotonic())

    def find(self, ending: Collection[AttemptId], kept: Preparation, claimed: int) -> list[Slot]:
        """Where jobs may be claimed for, the free slots first. `kept`: slots that are taken; `claimed`: jobs, of `num_jobs`."""
        now, occupied = time.monotonic(), self._occupied(ending)
        free: list[Slot] = []
        behind: list[Slot] = []
        for member in self._fleet.ready(now, self._state.drained):
            there, reserved = occupied[member.host.name], kept.slots(member.host.name)
            free.extend(self._inspection.usable(free_slots(member.slots, there, reserved)))
            following = self._ahead.slots(member.slots, there, now, patience(member.link.round_trip))
            behind.extend(slot for slot in self._inspection.usable(following) if slot not in reserved)
        if self._most is not None:
            running = [a for there in occupied.values() for a in in_place(there) if self._is_mine(a)]
            free = free[: max(0, self._most - len(running) - len(kept))]
        slots = free + behind
        if self._num_jobs is not None:
            slots = slots[: max(0, self._num_jobs - claimed - len(kept))]
        return slots

    def leaders(self, ending: Collection[AttemptId]) -> Callable[[Slot], str]:
        """What tells the name of the attempt that a claim for a slot has to come after; "" if the slot is free."""
        occupied = self._occupied(ending)

        def leader(slot: Slot) -> str:
            found = self._ahead.leader(slot, occupied[slot.host])
            return "" if found is None else found.name

        return leader

    def waits(self) -> bool:
        """True while something that was claimed ahead has neither started nor come back."""
        return any(self._ahead.waiting())

    def unwanted(
        self, skipped: Collection[JobId], highest: float | None, stopping: bool
    ) -> Iterator[tuple[Attempt, str]]:
        """What was claimed ahead and should not start there, and why, a clause. `highest`: the priority of the next job."""
        for attempt, leader in self._ahead.waiting():
            if stopping:
                yield attempt, "its run was stopped"
            elif why := self._why_unwanted(attempt, leader, skipped, highest):
                yield attempt, why

    def _why_unwanted(
        self, attempt: Attempt, leader: Attempt, skipped: Collection[JobId], highest: float | None
    ) -> str:
        job, member = self._state.jobs[attempt.id.job], self._fleet.members[attempt.host]
        slots = [slot for slot in member.slots if slot.index in attempt.slots]
        if job.removed or job.ran_with is not None or job.id in skipped:
            return "its row was edited"
        if not self._fleet.takes_jobs(attempt.host, self._state.drained) or not self._inspection.usable(slots):
            return "its slot takes no more jobs"
        if self._ahead.is_long(leader, time.monotonic(), patience(member.link.round_trip)):
            return f"job {leader.id.job} keeps its slot for long"
        if highest is not None and highest > priority(job, self._state):
            return "a job of higher priority waits"
        return ""

    def _occupied(self, ending: Collection[AttemptId]) -> defaultdict[HostName, list[Attempt]]:
        """The attempts that take slots, by host. Plain workers are this run's own."""
        found: defaultdict[HostName, list[Attempt]] = defaultdict(list)
        for attempt in self._state.open.values():
            if attempt.id not in ending and (not self._plain or self._is_mine(attempt)):
                found[attempt.host].append(attempt)
        return found

    def _is_mine(self, attempt: Attempt) -> bool:
        return attempt.by == self._me or attempt.id in self._attend
