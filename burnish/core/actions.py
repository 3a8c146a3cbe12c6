"""What follows from facts: orders to hosts, in the imperative. `follow` is the whole rule, and it is pure.

Every order is safe to give twice and in vain: the agent answers a repeated `start` with the attempt's status, a repeated `void`,
`cancel` or `ack` likewise. So a coordinator that connects again gives all orders that the state calls for, and nothing has to
remember which ones were heard.
"""

from __future__ import annotations

from dataclasses import dataclass

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import Attempt, AttemptId, CoordinatorId, HostName
from burnish.core.state import State


@dataclass(frozen=True, slots=True)
class StartAttempt:
    host: HostName
    attempt: AttemptId
    name: str


@dataclass(frozen=True, slots=True)
class AskStatus:
    host: HostName
    name: str


@dataclass(frozen=True, slots=True)
class VoidAttempt:
    host: HostName
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class CancelAttempt:
    """TERM, `grace` seconds, KILL."""

    host: HostName
    name: str
    grace: float
    by: str


@dataclass(frozen=True, slots=True)
class AckAttempt:
    """Everything of it is stored here: the host may forget all but its tombstone."""

    host: HostName
    name: str


Action = StartAttempt | AskStatus | VoidAttempt | CancelAttempt | AckAttempt


def follow(fact: Fact, state: State, me: CoordinatorId) -> list[Action]:
    """The orders that a fact, just applied, calls for from coordinator `me`."""
    if not hasattr(fact, "attempt") and not isinstance(fact, events.HoldRequested):
        return []
    job = state.jobs[fact.attempt.job if hasattr(fact, "attempt") else fact.job]  # type: ignore[index]
    attempt = job.attempt
    if attempt is None or attempt.by != me or not attempt.host:
        return []
    match fact:
        case events.AttemptClaimed():
            return [StartAttempt(attempt.host, attempt.id, attempt.name)]
        case events.AttemptVoided() | events.AttemptExited() | events.AttemptLost():
            return [AckAttempt(attempt.host, attempt.name)]
        case events.CancelRequested() | events.AttemptAdopted():
            return resume(attempt, holds_spec=False)
        case events.HoldRequested() if attempt.open and attempt.started_at is None:
            return [VoidAttempt(attempt.host, attempt.name, "held")]
    return []


def resume(attempt: Attempt, *, holds_spec: bool) -> list[Action]:
    """The orders for an open attempt whose host was just reached: what recovery is, and what a clean start is, too.

    `holds_spec`: this process made the claim and still knows what to start. Otherwise the host is asked, and what never started
    is voided by whoever hears so.
    """
    if attempt.cancelled_by is not None:
        return [CancelAttempt(attempt.host, attempt.name, attempt.grace, attempt.cancelled_by)]
    if attempt.started_at is None and holds_spec:
        return [StartAttempt(attempt.host, attempt.id, attempt.name)]
    return [AskStatus(attempt.host, attempt.name)]
