"""What halts a sweep before it spends a night on failures: too many of them, or a canary that dies.

A halt is a fact, so every run of the table starts nothing more within a second of it; what runs goes on. The next `burnish run`
lifts it: whoever starts one has seen why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import AttemptId, CoordinatorId, JobId, Word
from burnish.core.state import State
from burnish.core.verdict import verdict_of
from burnish.errors import counted
from burnish.plan import Outcome, Plan

CANARY_LIVES = 600.0  # s after which a canary that still runs has proved enough


class Brakes:
    """The brakes of one run. `halts` are facts for the next commit, `room` how many jobs may be on their way at a time."""

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
        self._canary: AttemptId | None = None
        self._alive_since: float | None = None
        self._passed = not plan.canary

    def learn(self, fact: Fact) -> None:
        """A fact was committed."""
        attempt = getattr(fact, "attempt", None)
        if isinstance(fact, events.AttemptClaimed):
            if self._canary is None and not self._passed and fact.by == self._me:
                self._canary = fact.attempt
        elif isinstance(fact, events.AttemptStarted) and attempt == self._canary:
            self._alive_since = self._clock()
        elif attempt is not None and (job := self._state.jobs[attempt.job]).open_attempt is None:
            if job.failed and job.id in self._outcome.taken:
                self._failed.add(job.id)
            if attempt == self._canary:
                self._passed = self._passed or job.word is Word.COMPLETE
                self._canary, self._alive_since = None, None  # another one, if it neither failed nor passed

    @property
    def room(self) -> int | None:
        """How many jobs may be on their way to a start; None: as many as there are slots."""
        if self._state.halted or self._why():
            return 0
        if self._alive_since is not None and self._clock() - self._alive_since >= CANARY_LIVES:
            self._passed = True
        if self._passed:
            return None
        return 1 if self._canary is None else 0

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
        if failed and not self._passed:
            return f"the canary, job {failed[0].id}, failed ({failed[0].reason})"
        most = self._plan.max_fails
        if most is not None and len(failed) > 0 and len(failed) >= most.of(len(self._outcome.taken)):
            return f"{counted(len(failed), 'job')} of {len(self._outcome.taken)} failed (--max_fails {most})"
        return ""
