"""Whose attempts: a run looks after its own, and takes over those of coordinators that are gone, also on hosts that it starts
nothing on.

A coordinator is gone when its file says so (`store.presence`). On another machine, or where locks tell nothing, that takes a
while to see; a run does not end before it knows, or nobody would look after what a dead machine's coordinator has left.
"""

from __future__ import annotations

from collections.abc import Container

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.hosts import Host
from burnish.core.jobs import Attempt, AttemptId, CoordinatorId
from burnish.core.state import State
from burnish.fleet import Fleet
from burnish.store.presence import Presence


class Adoption:
    """What this run looks after, and takes over. `attend`: attempts to look after whoever claimed them."""

    def __init__(
        self, me: CoordinatorId, state: State, fleet: Fleet, presence: Presence, attend: Container[AttemptId]
    ) -> None:
        self._me = me
        self._state = state
        self._fleet = fleet
        self._presence = presence
        self._attend = attend
        self._gone: set[CoordinatorId] = set()

    def mine(self) -> list[Attempt]:
        """The open attempts that this run looks after."""
        return [attempt for attempt in self._state.open.values() if self.is_mine(attempt)]

    def is_mine(self, attempt: Attempt) -> bool:
        """True if this run looks after an attempt: it claimed it or took it over, or was told to."""
        return attempt.by == self._me or attempt.id in self._attend

    def look(self) -> bool:
        """See who is gone, and begin to connect to the hosts of what they left. True if somebody is."""
        self._gone = {claimer for claimer in self._claimers() if not self._presence.alive(claimer)}
        for attempt in self._state.open.values():
            ours = attempt.by in self._gone or attempt.id in self._attend
            if ours and attempt.host not in self._fleet.members:
                self._fleet.add(Host.from_entry({**attempt.entry, "name": attempt.host}), starts=False)
        return bool(self._gone)

    def facts(self, state: State) -> list[Fact]:
        """What is taken over now."""
        orphans = (a for a in state.open.values() if a.by in self._gone and self._may_hold(a))
        return [events.AttemptAdopted(attempt.id, self._me) for attempt in orphans]

    @property
    def awaited(self) -> bool:
        """True while something may still be taken over: its host has to answer, or its coordinator to be gone for sure."""
        orphans = (attempt for attempt in self._state.open.values() if attempt.by in self._gone)
        return any(map(self._may_answer, orphans)) or any(map(self._presence.unsure, self._claimers()))

    def _claimers(self) -> set[CoordinatorId]:
        return {attempt.by for attempt in self._state.open.values()} - {self._me}

    def _may_answer(self, attempt: Attempt) -> bool:
        """True if the attempt's host is reached, or may be."""
        member = self._fleet.members.get(attempt.host)
        if member is None or member.refused is not None:
            return False
        return member.link.welcome is None or self._fleet.holds(attempt)

    def _may_hold(self, attempt: Attempt) -> bool:
        """True if the host of that name is the attempt's, or is a remote one that has not answered yet."""
        member = self._fleet.members[attempt.host]
        return self._fleet.holds(attempt) or (member.link.welcome is None and not member.here)
