"""When failures speak against a place and not the job: a host that can start nothing, or where everything fails; a GPU that kills
what it gets. Pure.

Most failures are the jobs' own, and a sweep with a bug fails everywhere. So a place is blamed only if it fails alone: while
others brought jobs to a good end and none failed as fast. A host whose jobs die at once would have eaten the sweep before others
end one: after three it is in doubt, and gets a job now and then until it is known whose fault that is.

`Endings` answers without going through them: a fleet's jobs end by the hundred a second.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Hashable
from typing import TypeVar

from msgspec import Struct, field

from burnish.core.jobs import HostName, JobId

REMEMBERED = 1000  # endings
JOBS = 3  # different ones, in a row
DOUBT = 60.0  # s between two jobs on a host that is in doubt
AT_ONCE = 5.0  # s: an end so soon is that of a command that could not be run
SOON = 60.0  # s: an end so soon may be the GPU's work
NOT_RUN = (126, 127)  # what shells exit with for a command that is not executable, or not there


class Ending(Struct, frozen=True):
    """How an attempt ended. `slot` is its index there, `gpu` its GPU's name, "" for none; `lasted` in s.

    `complete`: with a good end. `not_run`: the command could not be run. Ends that somebody asked for, and losses, are none.
    """

    job: JobId
    host: HostName
    slot: int
    gpu: str
    lasted: float
    complete: bool
    not_run: bool = False

    @property
    def at_once(self) -> bool:
        """True if it speaks against its host."""
        return self.not_run and self.lasted < AT_ONCE

    @property
    def soon(self) -> bool:
        """True if it may speak against its slot."""
        return not self.complete and not self.not_run and self.lasted < SOON


class Suspicion(Struct, frozen=True):
    """The last `jobs` on a host all failed soon. `proven`: it is the host; elsewhere as many ended well and none failed so."""

    jobs: tuple[JobId, ...]
    proven: bool


class _Host(Struct):
    """The endings of one host, oldest first, each with its number.

    `jobs`: how many each job has. `later`: how many are not `at_once`. `streak`: how many each job has of the last ones, from
    number `since` on, which are all `soon`.
    """

    endings: deque[tuple[int, Ending]] = field(default_factory=deque)
    jobs: Counter[JobId] = field(default_factory=Counter)
    later: int = 0
    streak: Counter[JobId] = field(default_factory=Counter)
    since: int = 0


Place = TypeVar("Place", bound=Hashable)


class Endings:
    """The last endings, as many as are `remembered`, and whom they speak against."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._next = 0
        self._all: deque[tuple[int, Ending]] = deque()
        self._hosts: defaultdict[HostName, _Host] = defaultdict(_Host)
        self._slots: defaultdict[tuple[HostName, int], deque[tuple[int, Ending]]] = defaultdict(
            lambda: deque(maxlen=JOBS)
        )
        # The number of the last such ending, by where it was; the newest last.
        self._soon: dict[HostName, int] = {}
        self._soon_on: dict[tuple[HostName, int], int] = {}
        self._well: dict[tuple[JobId, HostName], int] = {}

    def add(self, ending: Ending) -> None:
        """The next one."""
        number, host, slot = self._next, ending.host, (ending.host, ending.slot)
        self._next += 1
        here = self._hosts[host]
        for endings in (self._all, here.endings, self._slots[slot]):
            endings.append((number, ending))
        here.jobs[ending.job] += 1
        here.later += not ending.at_once
        if ending.soon:
            here.since = here.since if here.streak else number
            here.streak[ending.job] += 1
            _put_last(self._soon, host, number)
            _put_last(self._soon_on, slot, number)
        else:
            here.streak.clear()
            here.since = self._next  # or later
        if ending.complete:
            _put_last(self._well, (ending.job, host), number)
        if len(self._all) > self._remembered:
            self._forget(*self._all.popleft())

    def _forget(self, number: int, ending: Ending) -> None:
        host = ending.host
        here, on = self._hosts[host], self._slots[host, ending.slot]
        here.endings.popleft()
        _take_one(here.jobs, ending.job)
        here.later -= not ending.at_once
        if number >= here.since:
            _take_one(here.streak, ending.job)
        if on[0][0] == number:
            on.popleft()
        if self._well.get((ending.job, host)) == number:
            del self._well[ending.job, host]

    def unfit(self, host: HostName) -> bool:
        """True if at least three different jobs ended on `host`, and none of them could be run."""
        here = self._hosts.get(host)
        return here is not None and not here.later and len(here.jobs) >= JOBS

    def suspicion(self, host: HostName) -> Suspicion | None:
        """Whether the host as a whole is to blame for the failures in a row that it had last."""
        here = self._hosts.get(host)
        if here is None or len(here.streak) < JOBS:
            return None
        began = max(here.since, here.endings[0][0])
        if _last_elsewhere(self._soon, host) >= began:
            return None
        well: set[JobId] = set()
        for (job, _), number in reversed(self._well.items()):  # none of them here, where all failed since then
            if number < began or len(well) == JOBS:
                break
            well.add(job)
        return Suspicion(tuple(here.streak), proven=len(well) >= JOBS)

    def killed_by(self, host: HostName, slot: int) -> tuple[JobId, ...]:
        """The last three jobs on this slot, if that speaks against it: different ones, failed soon, while others elsewhere
        succeeded and none failed. Otherwise ().
        """
        last = self._slots[host, slot]
        jobs = tuple(dict.fromkeys(ending.job for _, ending in last))
        if len(jobs) < JOBS or not all(ending.soon for _, ending in last):
            return ()
        began = last[0][0]
        succeeded = next(reversed(self._well.values()), -1) >= began
        deadly = succeeded and _last_elsewhere(self._soon_on, (host, slot)) < began
        return jobs if deadly else ()


def _put_last(numbers: dict[Place, int], place: Place, number: int) -> None:
    numbers.pop(place, None)
    numbers[place] = number


def _last_elsewhere(numbers: dict[Place, int], place: Place) -> int:
    """The newest number of another place; -1 if there is none."""
    return next((number for other, number in reversed(numbers.items()) if other != place), -1)


def _take_one(counts: Counter[JobId], job: JobId) -> None:
    counts[job] -= 1
    if not counts[job]:
        del counts[job]
