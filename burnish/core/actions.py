"""What follows from facts: orders to hosts, in the imperative. `follow` is the whole rule, and it is pure.

Every order is safe to give twice and in vain: the agent answers a repeated `start` with the attempt's status, a repeated `void`,
`cancel` or `ack` likewise. So a coordinator that connects again gives all orders that the state calls for, and nothing has to
remember which ones were heard.
"""

from __future__ import annotations

from collections.abc import Container

from msgspec import Struct

from burnish.core import events
from burnish.core.ahead import before
from burnish.core.events import Fact, job_of
from burnish.core.jobs import Attempt, CoordinatorId, HostName
from burnish.core.state import State


class StartAttempt(Struct, frozen=True):
    """With what the claim knew of the host: if it has rebooted since, the command may have run, and the agent refuses.

    With `after`, the name of an attempt, it waits on the host until that one, and all that that one waits for, have ended.
    """

    host: HostName
    name: str
    incarnation: str
    state_id: str
    after: str = ""


class AskStatus(Struct, frozen=True):
    host: HostName
    name: str


class VoidAttempt(Struct, frozen=True):
    """The command must never run. Where it may have run before a reboot, the agent answers `lost` instead.

    `began`: it did run, and its host has no record of that any more. Then it is lost, unless a process of it lives.
    """

    host: HostName
    name: str
    incarnation: str
    state_id: str
    why: str
    began: bool = False


class CancelAttempt(Struct, frozen=True):
    """TERM, `grace` seconds, KILL. With what the claim knew of the host, as for a void."""

    host: HostName
    name: str
    incarnation: str
    state_id: str
    grace: float
    by: str


class AckAttempt(Struct, frozen=True):
    """Everything of it is stored here: the host may forget all but its tombstone."""

    host: HostName
    name: str


Action = StartAttempt | AskStatus | VoidAttempt | CancelAttempt | AckAttempt


def follow(fact: Fact, state: State, me: CoordinatorId, specs: Container[str]) -> list[Action]:
    """The orders that a fact, just applied, calls for from coordinator `me`. `specs`: names of attempts that it can start."""
    attempt = _attempt_of(fact, state)
    if attempt is None or attempt.by != me or not attempt.host:
        return []
    match fact:
        # Not a claim that was taken over since: its claimer may have started it. One whose commit was taken for refused, as when
        # a file server's answer is lost, comes without its command.
        case events.AttemptClaimed() if fact.by == me:
            return [start(attempt)] if attempt.name in specs else [AskStatus(attempt.host, attempt.name)]
        case events.AttemptVoided() | events.AttemptExited() | events.AttemptLost():
            return [AckAttempt(attempt.host, attempt.name)]
        case events.CancelRequested() | events.AttemptAdopted() if attempt.open:
            return resume(attempt, state, ())
        case events.HoldRequested() if attempt.open and attempt.started_at is None:
            return [void(attempt, "held")]
    return []


def _attempt_of(fact: Fact, state: State) -> Attempt | None:
    """The attempt that a fact names, which need not be the newest any more; for a hold the newest attempt of its job."""
    about = job_of(fact)
    if about is None or about not in state.jobs:
        return None
    if isinstance(fact, events.HoldRequested):
        return state.jobs[about].attempt
    named = getattr(fact, "attempt", None)
    return None if named is None else state.jobs[about].of(named)


def resume(attempt: Attempt, state: State, specs: Container[str]) -> list[Action]:
    """The orders for an open attempt whose host was just reached: what recovery is, and what a clean start is, too.

    Of what is in `specs`, this process made the claim and still knows what to start. Otherwise the host is asked, and what never
    started is voided by whoever hears so. If somebody wants the job held, the order that followed may have been lost with a link.
    """
    if attempt.cancelled_by is not None:
        claim = attempt.incarnation, attempt.state_id
        return [CancelAttempt(attempt.host, attempt.name, *claim, attempt.grace, attempt.cancelled_by)]
    if attempt.started_at is None and state.jobs[attempt.id.job].hold_next:
        return [void(attempt, "held")]
    if attempt.started_at is None and attempt.name in specs:
        # Whether one before it that was called back has begun all the same is not known: nothing is started behind it.
        unsure = any(one.started_at is None and one.name not in specs for one in before(attempt, state))
        return [void(attempt, "one before it was called back")] if unsure else [start(attempt)]
    return [AskStatus(attempt.host, attempt.name)]


def start(attempt: Attempt) -> StartAttempt:
    """The order to start what was claimed."""
    return StartAttempt(attempt.host, attempt.name, attempt.incarnation, attempt.state_id, attempt.after)


def void(attempt: Attempt, why: str) -> VoidAttempt:
    """The order to see to it that it never starts."""
    began = attempt.started_at is not None
    return VoidAttempt(attempt.host, attempt.name, attempt.incarnation, attempt.state_id, why, began)
