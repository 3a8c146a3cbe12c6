"""Which orders follow from which facts, for whom; and what a host is told when it is reached again."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from support import facts, tables

from burnish.core import actions, events
from burnish.core.actions import AckAttempt, AskStatus, CancelAttempt, StartAttempt, VoidAttempt
from burnish.core.events import Fact
from burnish.core.jobs import AttemptId, CoordinatorId, JobId
from burnish.core.state import State

ME, OTHER = CoordinatorId("me"), CoordinatorId("other")
FIRST, SECOND = AttemptId(JobId(0), 1), AttemptId(JobId(0), 2)
NAME = "0.1-9f86d081"
BOTH = frozenset({NAME, "0.2-9f86d081"})  # whose commands are known


def follow(state: State, fact: Fact, me: CoordinatorId = ME, specs: frozenset[str] = BOTH) -> list[actions.Action]:
    state.apply(fact)
    return actions.follow(fact, state, me, specs)


def test_a_claim_is_started_by_who_made_it_with_what_it_knew_of_the_host() -> None:
    orders = follow(facts.waiting(), facts.claim_of(FIRST))
    assert orders == [StartAttempt("gpu01", NAME, "boot 1", "id of gpu01")]


def test_a_claim_whose_command_is_not_known_any_more_is_asked_for() -> None:
    assert follow(facts.waiting(), facts.claim_of(FIRST), specs=frozenset()) == [AskStatus("gpu01", NAME)]


@pytest.mark.parametrize(
    "end",
    [
        events.AttemptVoided(FIRST, "why"),
        events.AttemptLost(FIRST, "its host rebooted", 1.0),
        facts.exit_of(FIRST),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_an_end_that_is_stored_is_acknowledged(end: Fact) -> None:
    assert follow(facts.claimed(), end) == [AckAttempt("gpu01", NAME)]


def test_a_cancel_is_passed_on_whether_it_has_started_or_not() -> None:
    for state in (facts.claimed(), facts.running()):
        order = follow(state, events.CancelRequested(FIRST, "ann", 5.0))
        assert order == [CancelAttempt("gpu01", NAME, "inc", "sid", 5.0, "ann")]


def test_a_hold_voids_a_claim_that_has_not_started() -> None:
    order = follow(facts.claimed(), events.HoldRequested(0))
    assert order == [VoidAttempt("gpu01", NAME, "inc", "sid", "held")]
    assert follow(facts.waiting(), events.HoldRequested(0)) == []
    assert follow(facts.failed(), events.HoldRequested(0)) == []


def test_who_adopts_asks_and_passes_a_cancel_on() -> None:
    adopted = events.AttemptAdopted(FIRST, "other")
    assert follow(facts.running(), adopted, OTHER) == [AskStatus("gpu01", NAME)]
    assert follow(facts.running(cancel=True), adopted, OTHER) == [
        CancelAttempt("gpu01", NAME, "inc", "sid", 1.0, "ann")
    ]


@pytest.mark.parametrize(
    "fact",
    [
        events.AttemptStarted(FIRST, 1, 1.0),
        events.ReleaseRequested(0),
        events.JobChanged(0, {"--lr": "2"}),
        events.JobRemoved(0),
        events.JobsAdded(facts.COLUMNS, ((1, "a", "b"),)),
        events.HostDrained("gpu01", "", "ann"),
        events.TableRendered("ab" * 32, {}, 1.0),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_of_other_facts_no_host_hears(fact: Fact) -> None:
    assert follow(facts.claimed(), fact) == []


def test_what_was_never_sent_to_a_host_calls_for_nothing() -> None:
    assert follow(facts.waiting(), events.AttemptRefused(FIRST, "me", "the runner raised", "log", 1.0)) == []


def test_nobody_gives_orders_about_an_attempt_that_another_looks_after() -> None:
    for fact in (facts.exit_of(FIRST), events.CancelRequested(FIRST, "ann", 5.0), events.HoldRequested(0)):
        assert follow(facts.claimed(), fact, OTHER) == []
    assert follow(facts.waiting(), facts.claim_of(FIRST), OTHER) == []


def test_an_end_and_the_next_claim_in_one_batch_are_two_attempts() -> None:
    """What is acknowledged may be forgotten by the host: it must be the attempt that ended, not the one that begins."""
    state = facts.running()
    lost, claim = events.AttemptLost(FIRST, "its host rebooted", 2.0), facts.claim_of(SECOND)
    state.apply(lost)
    state.apply(claim)
    assert actions.follow(lost, state, ME, BOTH) == [AckAttempt("gpu01", NAME)]
    assert actions.follow(claim, state, ME, BOTH) == [StartAttempt("gpu01", "0.2-9f86d081", "boot 1", "id of gpu01")]


def test_a_claim_that_was_taken_over_in_the_same_batch_is_not_started_by_who_took_it() -> None:
    """Its claimer may have: whoever takes it over asks the host, and has no spec to start it with."""
    state = facts.waiting()
    claim, adoption = facts.claim_of(FIRST), events.AttemptAdopted(FIRST, OTHER)
    state.apply(claim)
    state.apply(adoption)
    assert actions.follow(claim, state, OTHER, BOTH) == []
    assert actions.follow(adoption, state, OTHER, BOTH) == [AskStatus("gpu01", NAME)]


def test_a_cancel_of_an_attempt_that_has_ended_meanwhile_is_not_passed_on() -> None:
    state = facts.running()
    cancel = events.CancelRequested(FIRST, "ann", 5.0)
    state.apply(cancel)
    state.apply(facts.exit_of(FIRST, cancelled=True))
    assert actions.follow(cancel, state, ME, BOTH) == []


def test_a_host_that_is_reached_again_hears_what_the_state_calls_for() -> None:
    assert resumed(facts.claimed(), holds_spec=True) == [StartAttempt("gpu01", NAME, "inc", "sid")]
    assert resumed(facts.claimed(), holds_spec=False) == [AskStatus("gpu01", NAME)]
    assert resumed(facts.running(), holds_spec=True) == [AskStatus("gpu01", NAME)]
    cancelled = CancelAttempt("gpu01", NAME, "inc", "sid", 1.0, "ann")
    assert resumed(facts.claimed(cancel=True), holds_spec=True) == [cancelled]


def test_behind_what_was_called_back_nothing_is_started_on_a_host_that_is_reached_again() -> None:
    """It may have begun before its host heard of that, and have the slot."""
    state = tables.opened(("--n",), [(str(n),) for n in range(3)])
    names: list[str] = []
    for job in range(3):
        claim = replace(facts.claim_of(AttemptId(JobId(job), 1), "me"), after=names[-1] if names else "")
        state.apply(claim)
        names.append(claim.name)
    first, second, third = names
    (*_, last) = state.open.values()
    assert actions.resume(last, state, names) == [StartAttempt("gpu01", third, "boot 1", "id of gpu01", second)]
    void = VoidAttempt("gpu01", third, "boot 1", "id of gpu01", "one before it was called back")
    assert actions.resume(last, state, {first, third}) == [void]
    state.apply(events.AttemptStarted(AttemptId(JobId(0), 1), 4711, 1.0))
    assert actions.resume(last, state, {second, third}) == [actions.start(last)]
    state.apply(events.AttemptStarted(AttemptId(JobId(1), 1), 4711, 1.0))
    assert actions.resume(last, state, {third}) == [actions.start(last)]


def test_what_is_held_does_not_start_when_its_host_is_reached_again() -> None:
    """The order that followed from the hold may have been lost with the link."""
    void = VoidAttempt("gpu01", NAME, "inc", "sid", "held")
    for holds_spec in (True, False):
        state = facts.claimed()
        state.apply(events.HoldRequested(0))
        assert resumed(state, holds_spec=holds_spec) == [void]
        state.apply(events.ReleaseRequested(0))
        assert resumed(state, holds_spec=holds_spec) != [void]
    state = facts.claimed()
    state.apply(events.HoldRequested(0))
    state.apply(events.AttemptStarted(FIRST, 4711, 1.0))
    assert resumed(state, holds_spec=True) == [AskStatus("gpu01", NAME)]


def resumed(state: State, *, holds_spec: bool) -> list[actions.Action]:
    (attempt,) = state.open.values()
    return actions.resume(attempt, state, {attempt.name} if holds_spec else ())


def test_facts_about_a_job_that_is_not_there_call_for_nothing() -> None:
    state = tables.opened(facts.COLUMNS, [])
    assert actions.follow(events.CancelRequested(FIRST, "ann", 5.0), state, ME, BOTH) == []
