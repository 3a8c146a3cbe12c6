"""Which job goes where next. Pure: a queue of waiting jobs, the slots that are free, and the pairs that follow.

The queue is a heap kept up to date by the ids of the jobs that changed, so that a claim costs the logarithm of the table and not
the table. An entry may be stale; it is checked against the queue's index when it comes up.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from burnish.core.jobs import Attempt, Job, JobId, Slot
from burnish.core.state import Phase, State, phase


@dataclass(frozen=True, slots=True)
class Selection:
    """The jobs that a run takes up: all, or those with one of `ids` and with every `where` cell as given."""

    ids: frozenset[JobId] | None = None
    where: Mapping[str, str] = field(default_factory=dict)

    def admits(self, job: Job, state: State) -> bool:
        """True if the run may take up this job."""
        if job.removed or (self.ids is not None and job.id not in self.ids):
            return False
        if not self.where:
            return True
        values = state.values(job)
        return all(values.get(column, "") == value for column, value in self.where.items())


class WaitingQueue:
    """Waiting jobs, larger PRIORITY first, then in table order (`rank`, by default the order of ids)."""

    def __init__(self, admits: Callable[[Job, State], bool], rank: Callable[[JobId], int] = int) -> None:
        self._admits = admits
        self._rank = rank
        self._heap: list[tuple[float, int, JobId]] = []
        self._queued: dict[JobId, tuple[float, int, JobId]] = {}

    def __bool__(self) -> bool:
        return bool(self._queued)

    def __len__(self) -> int:
        return len(self._queued)

    def update(self, changed: Iterable[JobId], state: State) -> None:
        """Take in jobs that may have begun or ceased to wait, or changed their priority."""
        for job_id in changed:
            job = state.jobs[job_id]
            if phase(job) is Phase.WAITING and self._admits(job, state):
                entry = (-priority(job, state), self._rank(job_id), job_id)
                if self._queued.get(job_id) != entry:
                    self._queued[job_id] = entry
                    heapq.heappush(self._heap, entry)
            else:
                self._queued.pop(job_id, None)

    @property
    def highest(self) -> float | None:
        """The PRIORITY of the next job; None when nothing waits."""
        while self._heap and self._queued.get(self._heap[0][2]) != self._heap[0]:
            heapq.heappop(self._heap)
        return -self._heap[0][0] if self._heap else None

    def pop(self) -> JobId | None:
        """The next job, taken out of the queue; None when nothing waits."""
        while self._heap:
            entry = heapq.heappop(self._heap)
            if self._queued.get(entry[2]) == entry:
                del self._queued[entry[2]]
                return entry[2]
        return None


def priority(job: Job, state: State) -> float:
    """The PRIORITY cell; 0 when there is none or it is no number (which `core.table` names to the user)."""
    try:
        value = float(job.cells[state.columns.index("PRIORITY")] or 0)
    except ValueError:
        return 0.0
    return value if value == value else 0.0  # nan has no place in an order


def free_slots(slots: Sequence[Slot], mine: Iterable[Attempt], reserved: Iterable[Slot]) -> list[Slot]:
    """The slots without an attempt. Attempts taken over from a run with other slots count against the number all the same.

    One that waits for the end of another takes no slot of its own, nor does a slot that is kept for such a one.
    """
    attempts = list(mine)
    taken = {index for attempt in attempts for index in attempt.slots}
    kept = {slot for slot in reserved if slot.index not in taken}
    free = [slot for slot in slots if slot.index not in taken and slot not in kept]
    return free[: max(0, len(slots) - len(in_place(attempts)) - len(kept))]


def in_place(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Those of `attempts` that are not in the place of another one of them."""
    names = {attempt.name for attempt in attempts}
    return [attempt for attempt in attempts if attempt.after not in names]
