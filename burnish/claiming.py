"""Claims: from a job whose command is made, or refused, to the fact that follows, and to the spec by which its host starts it.

`specs` holds, by an attempt's name, what a host is told to start. An attempt of ours without its spec cannot be started any more:
a host that has not heard of it is told to void it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.failures import policies
from burnish.core.jobs import AttemptId, CoordinatorId, HostName, Job, JobId
from burnish.core.requirements import requirements
from burnish.core.spec import spec
from burnish.core.state import State
from burnish.fleet import Fleet
from burnish.plan import Outcome, Plan
from burnish.preparation import Preparation, Ready
from burnish.store.paths import Paths

NONCES = 64  # drawn at a time


class Claiming:
    """The claims of coordinator `me`. `elsewhere`: whether a job has another host of this run than that one."""

    def __init__(
        self,
        me: CoordinatorId,
        state: State,
        plan: Plan,
        outcome: Outcome,
        fleet: Fleet,
        *,
        preparation: Preparation,
        paths: Paths,
        elsewhere: Callable[[Job, HostName], bool],
        say: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.specs: dict[str, dict[str, Any]] = {}
        self._me = me
        self._state = state
        self._plan = plan
        self._outcome = outcome
        self._fleet = fleet
        self._preparation = preparation
        self._paths = paths
        self._elsewhere = elsewhere
        self._say = say
        self._clock = clock
        self._open: set[AttemptId] = set()  # made by this run
        self._nonces = _nonces()

    def claim(self, job: Job, ready: Ready, after: str) -> events.AttemptClaimed:
        """The claim of a job for the slots that are kept for it. `after`: the attempt that has them still, or ""."""
        host = ready.slots[0].host
        # As it was heard: its link's own word of it is gone when the connection breaks, at any moment.
        welcome = self._fleet.members[host].met
        assert welcome is not None
        asked = requirements(job, self._state).retries
        return events.AttemptClaimed(
            attempt=_next_of(job),
            nonce=next(self._nonces),
            by=self._me,
            host=host,
            state_id=welcome.state_id,
            incarnation=welcome.incarnation,
            entry=self._fleet.entry(host),
            slots=tuple(slot.index for slot in ready.slots),
            gpus=tuple(slot.gpu for slot in ready.slots if slot.gpu is not None),
            argv=tuple(ready.command.argv),
            log=self._stem(job),
            at=self._clock(),
            after=after,
            retries=self._plan.retries if asked is None else asked,
            on_failure=policies(dict(self._fleet.members[host].host.on_failure), elsewhere=self._elsewhere(job, host)),
        )

    def refused(self, job_id: JobId, why: str, detail: str) -> events.AttemptRefused:
        """The runner made no command: what it said is written where the job's errors are read, and is its verdict."""
        job = self._state.jobs[job_id]
        stem = self._stem(job)
        path = self._paths.log(stem, "err")
        try:
            path.write_text(f"{why}\n{detail}", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            self._say(f"{path}: {error.strerror}. What the runner said of job {job_id} is not kept there:\n{detail}")
        return events.AttemptRefused(_next_of(job), self._me, why, stem, self._clock())

    def _stem(self, job: Job) -> str:
        """A new stem for the logs of the job's next attempt."""
        return self._paths.free_log_stem(job.id, self._clock(), {attempt.log for attempt in job.attempts})

    def learn(self, fact: Fact) -> None:
        """A fact was committed: of a claim of ours the spec is made, and what is claimed is counted."""
        if isinstance(fact, events.AttemptClaimed) and fact.by == self._me:
            self._keep_spec(fact)
            self._open.add(fact.attempt)
            self._outcome.claimed += 1
        elif isinstance(fact, events.ENDS) and fact.attempt in self._open:
            self._open.remove(fact.attempt)
            # What never ran does not count, unless it cannot be run at all.
            self._outcome.claimed -= isinstance(fact, events.AttemptVoided) and not fact.refused

    def _keep_spec(self, claim: events.AttemptClaimed) -> None:
        attempt = self._state.jobs[claim.attempt.job].attempts[-1]
        command = self._preparation.command(attempt.id.job)
        if command is None or tuple(command.argv) != claim.argv:
            return  # the claim was taken for refused when it was made; its host is asked, and says that it never ran
        member = self._fleet.members[attempt.host]
        asked = requirements(self._state.jobs[attempt.id.job], self._state)
        in_place = {stream: self._paths.log_name(attempt.log, stream) for stream in ("out", "err")}
        self.specs[attempt.name] = spec(
            attempt,
            command,
            member.host,
            table=str(self._paths.db),
            log_dir=str(self._paths.log_dir),
            logs=in_place if member.here else {},
            time_limit=self._plan.time_limit if asked.time_limit is None else asked.time_limit,
            gpus=asked.gpus,
            sbatch=dict(asked.sbatch),
            **self._fleet.on_slots(attempt),
        )


def _next_of(job: Job) -> AttemptId:
    return AttemptId(job.id, job.attempts[-1].id.number + 1 if job.attempts else 1)


def _nonces() -> Iterator[str]:
    """Eight hex digits each, drawn for many claims at once: whoever asks the kernel lets another thread in meanwhile."""
    while True:
        drawn = secrets.token_hex(4 * NONCES)
        yield from (drawn[begin : begin + 8] for begin in range(0, len(drawn), 8))
