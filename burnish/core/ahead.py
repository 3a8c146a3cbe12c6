"""Which jobs may be claimed ahead: for a slot that has a job, to wait behind it on the host. Pure.

Without it a slot stands idle between two jobs for a round trip and a commit. That is nothing beside a job of minutes and half
the time beside one of 50 ms. So only short jobs get a successor, one per slot, and only while all that was seen last was short:
a job that waits behind a long one could run elsewhere. What is claimed ahead is NOT_RUNNING until its host says that it started,
and is called back as soon as somebody would rather have it otherwise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import Attempt, AttemptId, CoordinatorId, HostName, Slot
from burnish.core.state import State

ROUND_TRIPS = 50  # a job that lasts longer loses less than a fiftieth by the wait for the next
SHORTEST_TRIP = 0.02  # s that a round trip counts at least: a turn and its commit are part of it
REMEMBERED = 8  # durations

_GOING = (events.AttemptClaimed, events.AttemptStarted)
_BEGUN = (events.AttemptStarted, *events.ENDS)


def patience(round_trip: float) -> float:
    """How long a job may last, in s, to be short where an answer takes `round_trip`."""
    return ROUND_TRIPS * max(round_trip, SHORTEST_TRIP)


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

    def slots(self, slots: Iterable[Slot], there: Sequence[Attempt], now: float, limit: float) -> list[Slot]:
        """Those of a host's `slots` whose job may get a successor. `there`: its open attempts; `limit`: s that are short.

        A job of which nobody has heard yet that it started counts as started where the last one ended well.
        """
        if self.longest is None or self.longest >= limit:
            return []
        found, on_slots = [], by_slot(there)
        for slot in slots:
            leader = self.leader(on_slots.get(slot.index, ()))
            if leader is None or self.is_long(leader, now, limit):
                continue
            if leader.started_at is not None or (slot.host, slot.index) in self._well:
                found.append(slot)
        return found

    def leader(self, on_slot: Sequence[Attempt]) -> Attempt | None:
        """Of those on a slot, the one that the next comes after: ours, the last one there and with nobody behind it.

        It is known to run, or the only one there: so one waits on a slot, never two. One that has several slots is followed by
        none: who comes next may need them all.
        """
        followed = {attempt.after for attempt in on_slot}
        last = [attempt for attempt in on_slot if attempt.name not in followed]
        if len(last) != 1 or last[0].by != self._me or len(last[0].slots) > 1:
            return None
        return last[0] if last[0].started_at is not None or len(on_slot) == 1 else None

    def is_long(self, leader: Attempt, now: float, limit: float) -> bool:
        """True if an attempt lasts too long already to wait behind it."""
        return now - self._since.get(leader.id, float("-inf")) >= limit

    def is_followed(self, name: str) -> bool:
        """True if something that we claimed ahead comes after the attempt of this name, and is not known to have started."""
        return name in self._followed

    def waiting(self) -> Iterator[tuple[Attempt, Attempt]]:
        """What we have claimed ahead and is not known to have started, each with the attempt that it waits for."""
        for attempt in self._state.open.values():
            if attempt.after and attempt.by == self._me and attempt.started_at is None:
                leader = leader_of(attempt, self._state)
                if leader is not None:
                    yield attempt, leader


def by_slot(attempts: Iterable[Attempt]) -> dict[int, list[Attempt]]:
    """Attempts on one host, by the indices of their slots."""
    found: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        for index in attempt.slots:
            found.setdefault(index, []).append(attempt)
    return found


def leader_of(attempt: Attempt, state: State) -> Attempt | None:
    """The attempt that `attempt` waits for, as long as that one is open."""
    if not attempt.after or attempt.started_at is not None:
        return None
    leader = state.open.get(AttemptId.parse(attempt.after.partition("-")[0]))
    return leader if leader is not None and leader.name == attempt.after else None


def begins(facts: Iterable[Fact]) -> bool:
    """True if one of these gives a job a slot, or says that it has started: then it may get a successor."""
    return any(isinstance(fact, _GOING) for fact in facts)


def unsettles(facts: Iterable[Fact]) -> bool:
    """True if, after these, somebody may want otherwise what was claimed ahead: any fact but those of jobs that go well.

    One of the latter may do so too, where it is what another job waited for (AFTER).
    """
    return any(not isinstance(fact, _GOING) and getattr(fact, "code", None) != 0 for fact in facts)
