"""Which jobs may be claimed ahead: for a slot that has a job, to wait in line behind it on the host. Pure.

Without it a slot stands idle between two jobs for a round trip and a commit. That is nothing beside a job of minutes and half
the time beside one of 50 ms. So only short jobs get successors, and only while all that was seen last was short: a job that waits
behind a long one could run elsewhere. A line is as long as what a slot gets done in a few round trips: one job, or more where
jobs are shorter than those. What is claimed ahead is NOT_RUNNING until its host says that it started, and is called back as soon
as somebody would rather have it otherwise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import Attempt, AttemptId, CoordinatorId, HostName, Slot
from burnish.core.state import State

ROUND_TRIPS = 50  # a job that lasts longer loses less than a fiftieth by the wait for the next
SHORTEST_TRIP = 0.02  # s that a round trip counts at least: a turn and its commit are part of it
TRIPS_AHEAD = 4  # round trips whose work may wait on a slot
LONGEST_LINE = 6  # jobs
SHORTEST_JOB = 0.001  # s that a job counts at least
REMEMBERED = 8  # durations

_GOING = (events.AttemptClaimed, events.AttemptStarted)
_BEGUN = (events.AttemptStarted, *events.ENDS)


def patience(round_trip: float) -> float:
    """How long a job may last, in s, to be short where an answer takes `round_trip`."""
    return ROUND_TRIPS * max(round_trip, SHORTEST_TRIP)


def line_length(duration: float, round_trip: float) -> int:
    """How many jobs that last so long, in s, may wait on one slot where an answer takes `round_trip`: one at least."""
    jobs = TRIPS_AHEAD * max(round_trip, SHORTEST_TRIP) / max(duration, SHORTEST_JOB)
    return max(1, min(int(jobs), LONGEST_LINE))


class Ahead:
    """What coordinator `me` has seen of how long jobs last, and what follows. `now` is s on the clock that `learn` is given."""

    def __init__(self, me: CoordinatorId, state: State) -> None:
        self._me = me
        self._state = state
        self._durations: deque[float] = deque(maxlen=REMEMBERED)
        self._well: set[tuple[HostName, int]] = set()  # slots on which our last job ended well
        self._since: dict[AttemptId, float] = {}  # when it was heard to start, or claimed by us
        self._behind: dict[AttemptId, str] = {}  # what was claimed ahead and has not started -> whom it comes after
        self._followed: set[str] = set()  # the latter

    def learn(self, fact: Fact, now: float) -> None:
        """A fact was committed."""
        if isinstance(fact, events.AttemptClaimed):
            if fact.by == self._me:
                self._since[fact.attempt] = now
                if fact.after:
                    self._behind[fact.attempt] = fact.after
                    self._followed.add(fact.after)
            return
        if isinstance(fact, _BEGUN):
            self._followed.discard(self._behind.pop(fact.attempt, ""))
        if isinstance(fact, events.AttemptStarted):
            self._since[fact.attempt] = now
        elif isinstance(fact, events.ENDS):
            self._since.pop(fact.attempt, None)
            self._remember(fact)
            if isinstance(fact, events.AttemptExited):
                self._durations.append(fact.duration)

    def _remember(self, fact: events.AttemptExited | events.AttemptLost | events.AttemptVoided) -> None:
        ended = self._state.jobs[fact.attempt.job].of(fact.attempt)
        if ended is None or ended.by != self._me:
            return  # its host may be another machine of that name: each has a localhost
        slots = {(ended.host, index) for index in ended.slots}
        if isinstance(fact, events.AttemptExited) and fact.code == 0:
            self._well |= slots
        else:
            self._well -= slots

    @property
    def longest(self) -> float | None:
        """How long the longest of the last jobs lasted, in s; None before one has ended."""
        return max(self._durations, default=None)

    def slots(self, slots: Iterable[Slot], there: Sequence[Attempt], now: float, round_trip: float) -> list[Slot]:
        """Those of a host's `slots` on which jobs may wait, each as often as jobs may join its line. `there`: its open attempts.

        Where the last job ended well, one of which nobody has heard yet that it started counts as started. Elsewhere one waits
        at most.
        """
        limit = patience(round_trip)
        if self.longest is None or self.longest >= limit:
            return []
        length = line_length(self.longest, round_trip)
        found, on_slots = [], by_slot(there)
        for slot in slots:
            line = on_slots.get(slot.index, [])
            leader = self.leader(line)
            if leader is None or any(self.is_long(attempt, now, limit) for attempt in (line[0], leader)):
                continue
            head, well = line[0], (slot.host, slot.index) in self._well
            if head.started_at is not None or well:
                waiting = sum(attempt.started_at is None for attempt in line if attempt is not head)
                found += [slot] * ((length if well else 1) - waiting)
        return found

    def leader(self, line: Sequence[Attempt]) -> Attempt | None:
        """Of those on a slot, in the order of their claims, the one that the next comes after: the last, if it is ours.

        One that has several slots is followed by none: who comes next may need them all.
        """
        return line[-1] if line and line[-1].by == self._me and len(line[-1].slots) == 1 else None

    def is_long(self, leader: Attempt, now: float, limit: float) -> bool:
        """True if an attempt lasts too long already to wait behind it."""
        return now - self._since.get(leader.id, float("-inf")) >= limit

    def is_followed(self, name: str) -> bool:
        """True if something that we claimed ahead comes after the attempt of this name, and is not known to have started."""
        return name in self._followed

    def waiting(self) -> Iterator[tuple[Attempt, Attempt]]:
        """What we have claimed ahead and is not known to have started, each with the attempt that has the slot."""
        for attempt in self._state.open.values():
            if attempt.after and attempt.by == self._me and (line := list(before(attempt, self._state))):
                yield attempt, line[-1]


class Lines:
    """Who is last on each slot, while one commit is made: of the claims for a slot, each comes after the one before it.

    `there`: the attempts that have slots of a host, or wait for them, in the order of their claims.
    """

    def __init__(self, ahead: Ahead, there: Callable[[HostName], Iterable[Attempt]]) -> None:
        self._ahead = ahead
        self._there = there
        self._on_hosts: dict[HostName, dict[int, list[Attempt]]] = {}
        self._joined: dict[Slot, str] = {}

    def last(self, slots: Sequence[Slot]) -> str:
        """The name of the attempt that a claim for these slots has to come after; "" if they are free."""
        if len(slots) > 1:
            return ""
        slot = slots[0]
        if slot in self._joined:
            return self._joined[slot]
        if slot.host not in self._on_hosts:
            self._on_hosts[slot.host] = by_slot(self._there(slot.host))
        leader = self._ahead.leader(self._on_hosts[slot.host].get(slot.index, ()))
        return "" if leader is None else leader.name

    def join(self, slots: Sequence[Slot], name: str) -> None:
        """The attempt of this name was claimed for these slots."""
        if len(slots) == 1:
            self._joined[slots[0]] = name


def by_slot(attempts: Iterable[Attempt]) -> dict[int, list[Attempt]]:
    """Attempts on one host, by the indices of their slots."""
    found: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        for index in attempt.slots:
            found.setdefault(index, []).append(attempt)
    return found


def before(attempt: Attempt, state: State) -> Iterator[Attempt]:
    """The open attempts that one which has not started waits for, the nearest first. The last one has the slot.

    What never ran and never will is passed over: those before it are waited for all the same.
    """
    while attempt.after and attempt.started_at is None:
        about = AttemptId.parse(attempt.after.partition("-")[0])
        earlier = state.jobs[about.job].of(about) if about.job in state.jobs else None
        if earlier is None or earlier.name != attempt.after:
            return
        if earlier.open:
            yield earlier
        elif earlier.voided is None:
            return
        attempt = earlier


def begins(facts: Iterable[Fact]) -> bool:
    """True if one of these gives a job a slot, or says that it has started: then it may get a successor."""
    return any(isinstance(fact, _GOING) for fact in facts)


def unsettles(facts: Iterable[Fact]) -> bool:
    """True if, after these, somebody may want otherwise what was claimed ahead: any fact but those of jobs that go well.

    One of the latter may do so too, where it is what another job waited for (AFTER).
    """
    return any(not isinstance(fact, _GOING) and getattr(fact, "code", None) != 0 for fact in facts)
