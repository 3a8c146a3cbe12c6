"""The rules of a table: which fact may meet a job in which phase, what follows, and that replay gives the same."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import facts, tables

from burnish.core import checkpoint, events
from burnish.core.events import Fact
from burnish.core.jobs import AttemptId, Job, JobId, Word
from burnish.core.phases import TRANSITIONS, Phase, phase
from burnish.core.state import MAX_LOST, IllegalFact, State
from burnish.core.trial import try_out
from burnish.core.verdict import verdict_of
from burnish.errors import InternalError

ZERO = JobId(0)
PAIRS = [(kind, before) for kind in TRANSITIONS for before in Phase]


def only(state: State) -> Job:
    return state.jobs[ZERO]


@pytest.mark.parametrize(("kind", "before"), PAIRS, ids=lambda value: getattr(value, "__name__", None) or value.value)
def test_every_fact_meets_every_phase_as_the_table_says(kind: type[Any], before: Phase) -> None:
    allowed = TRANSITIONS[kind].get(before, frozenset())
    reached = set()
    for make in facts.IN_PHASE[before]:
        for fact in facts.variants(kind, 0, len(only(make()).attempts)):
            state = make()
            assert phase(only(state)) is before
            state.take_touched()
            try:
                state.apply(fact)
            except IllegalFact:
                facts.unchanged(make(), fact)
            else:
                state.check()
                assert state.take_touched() == {ZERO}
                reached.add(phase(only(state)))
    assert reached == allowed


@pytest.mark.parametrize("kind", [kind for kind in TRANSITIONS if kind is not events.JobMarked])
def test_admits_says_what_apply_will_do(kind: type[Any]) -> None:
    for make in (make for ways in facts.IN_PHASE.values() for make in ways):
        for number in (0, 1):
            for fact in facts.variants(kind, 0, number):
                state = make()
                admitted = state.admits(fact)
                try:
                    state.apply(fact)
                except IllegalFact:
                    assert not admitted
                else:
                    assert admitted


@pytest.mark.parametrize(
    "fact", [events.ResetRequested(7), events.JobRemoved(0), events.HostDrained("gpu01", "", "ann")]
)
def test_admits_nothing_that_is_no_transition(fact: Fact) -> None:
    assert not facts.waiting().admits(fact)


@pytest.mark.parametrize("number", [0, 2])
def test_a_fact_about_another_attempt_is_refused(number: int) -> None:
    about = AttemptId(ZERO, number)
    for fact in (events.AttemptStarted(about, 1, 1.0), facts.exit_of(about), events.AttemptVoided(about, "")):
        facts.unchanged(facts.claimed(), fact)
        assert not facts.claimed().admits(fact)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_attempts_are_numbered_one_after_the_other(number: int) -> None:
    state = facts.claimed()
    state.apply(events.AttemptVoided(AttemptId(ZERO, 1), "its coordinator is gone"))
    facts.unchanged(state, facts.claim_of(AttemptId(ZERO, number)))
    facts.unchanged(state, events.AttemptRefused(AttemptId(ZERO, number), "me", "", "", 1.0))
    assert not state.admits(facts.claim_of(AttemptId(ZERO, number)))
    state.apply(facts.claim_of(AttemptId(ZERO, 2)))
    state.check()


@pytest.mark.parametrize(
    "fact",
    [
        events.TableOpened("t", (), 1.0),
        events.JobsAdded(facts.COLUMNS, ((1, "a", "b"), (0, "a", "b"))),
        events.JobsAdded(("--new", *facts.COLUMNS), ((1, "n", "a", "b"), (1, "n", "a", "b"))),
        events.JobsAdded(("--new",), ((1, "n"), (2, "n", "one too many"))),
        events.JobChanged(0, {"--lr": "1", "--none": "2"}),
        events.JobChanged(7, {"--lr": "1"}),
        events.JobRemoved(7),
        events.ResetRequested(7),
        facts.claim_of(AttemptId(JobId(7), 1)),
    ],
    ids=lambda fact: type(fact).__name__,
)
def test_what_cannot_be_is_refused_as_a_whole(fact: Fact) -> None:
    facts.unchanged(facts.waiting(), fact)


@pytest.mark.parametrize(("kind", "before"), PAIRS, ids=lambda value: getattr(value, "__name__", None) or value.value)
def test_trying_facts_out_says_what_apply_will_do_and_changes_nothing(kind: type[Any], before: Phase) -> None:
    for make in facts.IN_PHASE[before]:
        for fact in facts.variants(kind, 0, len(only(make()).attempts)):
            state, tried = make(), make()
            for then in ([fact], [fact, fact], [events.HostDrained("gpu01", "", "ann"), fact]):
                try:
                    for each in then:
                        state.apply(each)
                except IllegalFact as refused:
                    with pytest.raises(IllegalFact, match=re.escape(str(refused))):
                        try_out(tried, then)
                else:
                    try_out(tried, then)
                assert facts.contents(tried) == facts.contents(make())
                state = make()


def test_facts_about_the_whole_table_are_tried_out_too() -> None:
    state = facts.running()
    state.apply(events.JobsAdded(facts.COLUMNS, ((1, "a", "b"), (2, "a", "b"))))
    state.apply(events.JobRemoved(2))
    before = facts.contents(state)
    attempt = state.open[AttemptId(ZERO, 1)]
    try_out(
        state,
        [
            events.ColumnsChanged(("--seed", "--new")),
            events.JobsAdded(("--new",), ((2, "back"), (3, "n"))),
            events.JobChanged(3, {"--new": "m"}),
            events.HostForgotten(attempt.host, attempt.state_id, "ann"),
            events.ResetRequested(0),
            events.TableClosed("ann"),
        ],
    )
    for refused in (
        [events.JobsAdded(facts.COLUMNS, ((1, "a", "b"),))],
        [events.ColumnsChanged(("--seed",)), events.JobChanged(1, {"--lr": "1"})],
        [events.HostForgotten(attempt.host, attempt.state_id, "ann"), facts.exit_of(attempt.id)],
        [events.TableClosed("ann"), events.JobRemoved(1)],
    ):
        with pytest.raises(IllegalFact):
            try_out(state, refused)
    assert facts.contents(state) == before


def test_nothing_follows_the_closing_of_a_table() -> None:
    state = facts.waiting()
    state.apply(events.TableClosed("ann"))
    assert state.closed_by == "ann"
    facts.unchanged(state, events.HostDrained("gpu01", "", "ann"))


def lose(state: State, number: int) -> None:
    state.apply(facts.claim_of(AttemptId(ZERO, number)))
    state.apply(events.AttemptStarted(AttemptId(ZERO, number), 1, 1.0))
    state.apply(events.AttemptLost(AttemptId(ZERO, number), "its host rebooted", 2.0))


def test_what_is_preempted_is_started_again_however_often() -> None:
    state = facts.waiting()
    for number in range(1, 9):
        state.apply(facts.claim_of(AttemptId(ZERO, number)))
        state.apply(events.AttemptLost(AttemptId(ZERO, number), "preempted in Slurm", 2.0, excused=True))
        assert (only(state).word, only(state).reason) == (Word.NOT_RUNNING, "again: preempted in Slurm")
    assert only(state).lost == 0


def test_a_job_that_dies_without_a_verdict_is_started_again_at_most_twice() -> None:
    assert MAX_LOST == 2
    state = facts.waiting()
    for number in (1, 2):
        lose(state, number)
        assert (only(state).word, only(state).reason) == (Word.NOT_RUNNING, "again: its host rebooted")
    lose(state, 3)
    assert (only(state).word, only(state).reason) == (Word.ERROR, "LOST: its host rebooted, 3 times")
    state.apply(events.ResetRequested(0))
    assert only(state).lost == 0
    lose(state, 4)
    assert only(state).word is Word.NOT_RUNNING


def test_a_voided_claim_is_no_loss() -> None:
    state = facts.claimed()
    state.apply(events.AttemptVoided(AttemptId(ZERO, 1), "its coordinator is gone"))
    assert (only(state).word, only(state).reason, only(state).lost) == (Word.NOT_RUNNING, "", 0)
    assert not state.open


@pytest.mark.parametrize(
    ("make", "end", "word", "reason"),
    [
        (facts.claimed, events.AttemptVoided(AttemptId(ZERO, 1), "why"), Word.HOLD, "CANCELLED"),
        (
            facts.running,
            facts.exit_of(AttemptId(ZERO, 1), code=None, signal=15, cancelled=True),
            Word.ERROR,
            "CANCELLED",
        ),
        (facts.running, facts.exit_of(AttemptId(ZERO, 1)), Word.COMPLETE, "exit 0"),
        (facts.running, events.AttemptLost(AttemptId(ZERO, 1), "its host rebooted", 2.0), Word.ERROR, "CANCELLED"),
    ],
)
def test_a_cancelled_job_is_not_started_again(make: Any, end: Fact, word: Word, reason: str) -> None:
    state = make(cancel=True)
    assert only(state).reason == "cancelling"
    state.apply(end)
    assert (only(state).word, only(state).reason) == (word, reason)


def test_a_job_held_while_it_was_claimed_is_held_once_the_claim_is_void() -> None:
    state = facts.claimed(hold=True)
    assert only(state).word is Word.NOT_RUNNING
    state.apply(events.AttemptVoided(AttemptId(ZERO, 1), "held"))
    assert only(state).word is Word.HOLD
    released = facts.claimed(hold=True)
    released.apply(events.ReleaseRequested(0))
    released.apply(events.AttemptVoided(AttemptId(ZERO, 1), "held"))
    assert only(released).word is Word.NOT_RUNNING


def test_a_job_held_too_late_runs_and_keeps_its_verdict() -> None:
    state = facts.running(hold=True)
    state.apply(facts.exit_of(AttemptId(ZERO, 1)))
    assert only(state).word is Word.COMPLETE
    state.apply(events.ResetRequested(0))
    state.apply(facts.claim_of(AttemptId(ZERO, 2)))
    state.apply(events.AttemptVoided(AttemptId(ZERO, 2), ""))
    assert only(state).word is Word.NOT_RUNNING  # that hold was for the attempt before


@pytest.mark.parametrize(
    ("record", "word", "reason"),
    [
        ({"code": 0}, Word.COMPLETE, "exit 0"),
        ({"code": 3}, Word.ERROR, "exit 3"),
        (
            {"code": 127, "error": "it is a folder"},
            Word.ERROR,
            "exit 127 (BURNISH_RESULT was not taken: it is a folder)",
        ),
        ({"code": 0, "error": "it is no JSON"}, Word.COMPLETE, "exit 0 (BURNISH_RESULT was not taken: it is no JSON)"),
        ({"code": None, "signal": 11}, Word.ERROR, "signal 11"),
        ({"code": None, "signal": 9, "oom": True}, Word.ERROR, "OOM"),
        ({"code": None, "signal": 15, "time_limit": True}, Word.ERROR, "TIME_LIMIT"),
        ({"code": 0, "cancelled": True}, Word.ERROR, "CANCELLED"),
    ],
)
def test_the_verdict_is_the_exit_records(record: dict[str, Any], word: Word, reason: str) -> None:
    assert verdict_of(facts.exit_of(AttemptId(ZERO, 1), **record)) == (word, reason)  # type: ignore[arg-type]


def test_an_attempt_seen_only_at_its_end_has_run() -> None:
    state = facts.claimed()
    state.apply(facts.exit_of(AttemptId(ZERO, 1), started=7.0))
    attempt = only(state).attempts[0]
    assert attempt.started_at == 7.0
    assert attempt.verdict is not None and attempt.verdict.duration == 2.5


def test_a_removed_row_keeps_its_attempt_until_that_ends_and_may_come_back() -> None:
    state = facts.running()
    state.apply(events.JobRemoved(0))
    assert list(state.listed()) == []
    assert [attempt.id for attempt in state.open.values()] == [AttemptId(ZERO, 1)]
    state.apply(facts.exit_of(AttemptId(ZERO, 1)))
    state.check()
    state.apply(events.JobsAdded(("--seed", "--lr"), ((0, "2", "0.2"),)))
    assert only(state).cells == ("0.2", "2")
    assert [job.id for job in state.listed()] == [0]
    assert state.next_id == 1


def test_columns_come_go_and_move_with_their_cells() -> None:
    state = facts.complete()
    state.apply(events.JobChanged(0, {"--lr": "0.2"}))
    assert only(state).ran_with == ("0.1", "1")
    state.apply(events.ColumnsChanged(("--seed", "--new", "--lr")))
    assert state.values(only(state)) == {"--seed": "1", "--new": "", "--lr": "0.2"}
    assert only(state).ran_with == ("1", "", "0.1")
    state.apply(events.JobChanged(0, {"--lr": "0.1"}))
    assert only(state).ran_with is None
    state.apply(events.ColumnsChanged(("--new",)))
    assert only(state).cells == ("",)
    state.check()


def test_new_rows_may_bring_new_columns() -> None:
    state = facts.waiting()
    state.apply(events.JobsAdded(("--wd", "--seed"), ((4, "0", "5"),)))
    assert state.columns == ("--lr", "--seed", "--wd")
    assert only(state).cells == ("0.1", "1", "")
    assert state.jobs[JobId(4)].cells == ("", "5", "0")
    assert state.next_id == 5


def test_an_edit_of_a_job_that_never_ran_changes_no_history() -> None:
    state = facts.waiting()
    state.apply(events.JobChanged(0, {"--lr": "9"}))
    assert only(state).ran_with is None


def test_forgetting_a_host_ends_its_attempts_and_no_others() -> None:
    state = tables.opened(facts.COLUMNS, [("0.1", "1"), ("0.2", "2"), ("0.3", "3")])
    for job, host in enumerate(["gpu01", "gpu02", "gpu01"]):
        tables.start(state, job, host)
    state.take_touched()
    state.apply(events.HostForgotten("gpu01", "sid of another disk", "ann"))
    assert len(state.open) == 3
    state.apply(events.HostForgotten("gpu01", "sid", "ann"))
    assert state.take_touched() == {0, 2}
    assert [str(attempt) for attempt in state.open] == ["1.1"]
    assert state.jobs[ZERO].reason == "LOST: gpu01 was forgotten by ann"
    state.check()


def test_drained_hosts_and_rendered_texts_are_kept() -> None:
    state = facts.waiting()
    state.apply(events.HostDrained("gpu01", "a fan", "ann"))
    for number in range(250):
        state.apply(events.TableRendered(f"{number:064x}", {"0": number}, float(number)))
    state.apply(events.TableRendered(f"{100:064x}", {}, 300.0))
    assert state.drained == {"gpu01": "a fan"}
    assert len(state.rendered) == 200
    assert next(reversed(state.rendered)) == f"{100:064x}"
    state.apply(events.HostUndrained("gpu01", "ann"))
    assert state.drained == {}


def test_check_finds_a_state_that_cannot_be() -> None:
    def spoilt_word(state: State) -> None:
        only(state).word = Word.COMPLETE

    def spoilt_index(state: State) -> None:
        state.open.clear()

    def spoilt_cells(state: State) -> None:
        only(state).cells = ("1",)

    def spoilt_next(state: State) -> None:
        state.next_id = ZERO

    def spoilt_attempts(state: State) -> None:
        only(state).attempts.append(only(state).attempts[0])

    for spoil in (spoilt_word, spoilt_index, spoilt_cells, spoilt_next, spoilt_attempts):
        state = facts.running()
        state.check()
        spoil(state)
        with pytest.raises(InternalError):
            state.check()


HISTORIES = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@HISTORIES
@given(facts.histories(), st.data())
def test_any_history_replays_to_the_same_state(history: list[Fact], data: st.DataObject) -> None:
    live, replayed = State(), State()
    for fact in history:
        live.apply(fact)
    stop = data.draw(st.integers(1, len(history)), "checkpoint after")
    for number, fact in enumerate(history):
        if number == stop:
            replayed, told = checkpoint.load(checkpoint.dump(replayed, number))
            assert told == number
        replayed.apply(events.from_json(events.to_json(fact)))
    replayed.check()
    assert facts.contents(replayed) == facts.contents(live)


@HISTORIES
@given(facts.histories())
def test_no_history_has_two_attempts_of_a_job_alive(history: list[Fact]) -> None:
    state = State()
    alive: set[AttemptId] = set()
    for fact in history:
        state.apply(fact)
        alive |= {fact.attempt} if isinstance(fact, events.AttemptClaimed) else set()
        alive &= state.open.keys()
        assert len({attempt.job for attempt in alive}) == len(alive)
        assert alive == state.open.keys()


# -- trying again ----------------------------------------------------------------------------------------------------------


def failures(state: State, *codes: int, retries: int = 2) -> Job:
    for code in codes:
        tables.finish(state, tables.start(state, 0, host=f"gpu0{code}", retries=retries), code)
        state.check()
    return only(state)


def test_job_that_failed_waits_again_as_often_as_asked() -> None:
    job = failures(facts.waiting(), 1, 2)
    assert (job.word, job.reason, job.failed_on) == (Word.NOT_RUNNING, "again: exit 2", ("gpu01", "gpu02"))
    job = failures(facts.waiting(), 1, 2, 3)
    assert (job.word, job.reason) == (Word.ERROR, "exit 3")


def test_job_that_fails_and_then_succeeds_is_complete() -> None:
    job = failures(facts.waiting(), 1, 0)
    assert (job.word, job.reason) == (Word.COMPLETE, "exit 0")


def test_reset_gives_all_retries_back() -> None:
    state = facts.waiting()
    failures(state, 1, 2, 3)
    state.apply(events.ResetRequested(0))
    assert failures(state, 1).word is Word.NOT_RUNNING


def test_job_that_a_person_cancelled_is_not_tried_again() -> None:
    state = facts.running(retries=5)
    state.apply(events.CancelRequested(AttemptId(ZERO, 1), "ann", 1.0))
    tables.finish(state, AttemptId(ZERO, 1), code=1)  # it ended before the order came
    assert only(state).word is Word.ERROR


def test_host_that_died_costs_no_retry() -> None:
    state = facts.running(retries=1)
    state.apply(events.AttemptLost(AttemptId(ZERO, 1), "its host rebooted", 2.0))
    assert failures(state, 1, retries=1).word is Word.NOT_RUNNING
