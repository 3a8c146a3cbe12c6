"""What halts a sweep before it spends a night on failures: too many of them, or a canary that dies.

A halt is a fact, so every run of the table starts nothing more within a second of it; what runs goes on. The next `burnish run`
lifts it: whoever starts one has seen why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import AttemptId, CoordinatorId, HostName, JobId, Word
from burnish.core.state import State
from burnish.core.verdict import verdict_of
from burnish.errors import counted
from burnish.plan import Outcome, Plan

ANYWHERE = HostName("")  # where one canary goes for all hosts


class Brakes:
    """The brakes of one run. `halts` are facts for the next commit; `room`, `room_on` a host: how many jobs may be under way."""

    def __init__(
        self,
        me: CoordinatorId,
        state: State,
        plan: Plan,
        outcome: Outcome,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._me = me
        self._state = state
        self._plan = plan
        self._outcome = outcome
        self._clock = clock
        self._failed: set[JobId] = set()
        self._canaries: dict[HostName, AttemptId] = {}  # out now: for all hosts, or one for each
        self._alive_since: dict[HostName, float] = {}
        self._passed: set[HostName] = set()
        self._fallen: JobId | None = None  # the job of a canary that failed

    def learn(self, fact: Fact) -> None:
        """A fact was committed."""
        attempt = getattr(fact, "attempt", None)
        if isinstance(fact, events.AttemptClaimed):
            place = self._place(HostName(fact.host))
            if self._plan.canary and fact.by == self._me and place not in self._passed:
                self._canaries.setdefault(place, fact.attempt)
        elif isinstance(fact, events.AttemptStarted):
            self._alive_since.update({place: self._clock() for place in self._flown(fact.attempt)})
        elif attempt is not None and (job := self._state.jobs[attempt.job]).open_attempt is None:
            if job.failed and job.id in self._outcome.taken:
                self._failed.add(job.id)
            if (
                self._plan.canary
                and isinstance(fact, events.AttemptRefused)
                and fact.by == self._me
                and not self._passed
            ):
                self._fallen = job.id  # no command could be made of the first of all
            for place in self._flown(attempt):
                if job.word is Word.COMPLETE:
                    self._passed.add(place)
                elif job.failed and place not in self._passed:
                    self._fallen = job.id
                del self._canaries[place]  # another one, if it neither failed nor passed
                self._alive_since.pop(place, None)

    def _place(self, host: HostName) -> HostName:
        return host if self._plan.canary and self._plan.canary.each_host else ANYWHERE

    def _flown(self, attempt: AttemptId) -> list[HostName]:
        """The place whose canary this attempt is, if it is one."""
        return [place for place, canary in self._canaries.items() if canary == attempt]

    @property
    def room(self) -> int | None:
        """How many jobs may be on their way to a start; None: as many as there are slots."""
        if self._state.halted or self._why():
            return 0
        return self._left(ANYWHERE) if self._plan.canary and not self._plan.canary.each_host else None

    def room_on(self, host: HostName) -> int | None:
        """The same for one host, where each has a canary of its own."""
        return self._left(host) if self._plan.canary and self._plan.canary.each_host else None

    def _left(self, place: HostName) -> int | None:
        assert self._plan.canary is not None
        since = self._alive_since.get(place)
        if since is not None and self._clock() - since >= self._plan.canary.lives:
            self._passed.add(place)
        if place in self._passed:
            return None
        return 0 if place in self._canaries else 1

    def may_halt(self, facts: Iterable[Fact]) -> bool:
        """True if nothing should be claimed with these facts: a failure among them may be the last that is borne."""
        return self._plan.max_fails is not None and any(
            isinstance(fact, events.AttemptRefused)
            or (isinstance(fact, events.AttemptExited) and verdict_of(fact)[0] is Word.ERROR)
            for fact in facts
        )

    def halts(self) -> list[Fact]:
        """The halt, if one is due and not committed yet."""
        why = "" if self._state.halted else self._why()
        return [events.StartsHalted(why, self._me)] if why else []

    def resumes(self, state: State) -> list[Fact]:
        """A new run lifts the halt of earlier ones."""
        return [events.StartsResumed(self._me)] if state.halted and self._plan.source is not None else []

    def _why(self) -> str:
        failed = [job for job_id in sorted(self._failed) if (job := self._state.jobs[job_id]).failed]
        if self._fallen is not None and (job := self._state.jobs[self._fallen]).failed:
            there = f" on {job.attempts[-1].host}" if self._plan.canary and self._plan.canary.each_host else ""
            return f"the canary, job {job.id}{there}, failed ({job.reason})"
        most = self._plan.max_fails
        if most is not None and len(failed) > 0 and len(failed) >= most.of(len(self._outcome.taken)):
            return f"{counted(len(failed), 'job')} of {len(self._outcome.taken)} failed (--max_fails {most})"
        return ""
