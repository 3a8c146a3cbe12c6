"""What people ask of jobs: which ids they may write, and what each verb does to a job in each phase."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import facts, tables

from burnish.core import actions, events, verbs
from burnish.core.events import Fact
from burnish.core.ids import name_ids, parse_ids, to_type, typed_ids
from burnish.core.jobs import AttemptId, JobId, Word
from burnish.core.phases import Phase, phase
from burnish.core.state import State
from burnish.core.verbs import Wish, chosen
from burnish.errors import Problem, UsageError

FIRST = AttemptId(JobId(0), 1)


@pytest.mark.parametrize(
    ("text", "ids"),
    [("3", {3}), ("3,5-8", {3, 5, 6, 7, 8}), (" 3 , 5 - 6 ", {3, 5, 6}), ("4-4", {4}), ("007", {7}), ("1,1", {1})],
)
def test_ids_are_read(text: str, ids: set[int]) -> None:
    assert parse_ids(text) == ids


@pytest.mark.parametrize("text", ["all", "ALL", " All "])
def test_all_is_no_restriction(text: str) -> None:
    assert parse_ids(text) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "--job_id is empty. Expected 3, or 3,5-8, or all."),
        (" ", "--job_id is empty. Expected 3, or 3,5-8, or all."),
        ("x", '--job_id x: "x" is not an id. Expected 3, or 3,5-8, or all.'),
        ("3,", "--job_id 3,: an id is missing beside a comma. Expected 3, or 3,5-8, or all."),
        ("-1", '--job_id -1: "-1" is not an id. Expected 3, or 3,5-8, or all.'),
        ("3-", '--job_id 3-: "3-" is not an id. Expected 3, or 3,5-8, or all.'),
        ("1-2-3", '--job_id 1-2-3: "1-2-3" is not an id. Expected 3, or 3,5-8, or all.'),
        ("1.5", '--job_id 1.5: "1.5" is not an id. Expected 3, or 3,5-8, or all.'),
        ("\u0663", '--job_id \u0663: "\u0663" is not an id. Expected 3, or 3,5-8, or all.'),
        ("\u00b2", '--job_id \u00b2: "\u00b2" is not an id. Expected 3, or 3,5-8, or all.'),
        ("3,all", '--job_id 3,all: "all" is not an id. Expected 3, or 3,5-8, or all.'),
        ("8-5", "--job_id 8-5: 8-5 runs backwards. Expected 3, or 3,5-8, or all."),
        ("0-99999999999", "--job_id 0-99999999999: 0-99999999999 is more jobs than a table holds."),
    ],
)
def test_anything_else_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_ids(text)
    assert str(caught.value) == sentence


def test_a_number_is_an_id_however_large() -> None:
    assert parse_ids("99999999999999999999") == {99999999999999999999}
    assert parse_ids("9" * 4000) is not None


def test_what_is_refused_says_where_it_stood() -> None:
    with pytest.raises(UsageError, match=r'^\$BURNISH_RUN_JOB_ID x: "x" is not an id'):
        parse_ids("x", "$BURNISH_RUN_JOB_ID")


def test_a_number_of_thousands_of_digits_is_refused_like_any_other() -> None:
    with pytest.raises(UsageError, match="is not an id"):
        parse_ids("9" * 5000)


@given(st.sets(st.integers(0, 60), min_size=1))
def test_named_ids_can_be_typed_back(ids: set[int]) -> None:
    named = name_ids(sorted(ids))
    if " more" not in named:
        assert parse_ids(named) == ids


def test_many_ids_are_cut_short() -> None:
    assert name_ids([3, 5, 6, 7, 8]) == "3, 5-8"
    assert name_ids(range(0, 40, 2)) == "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22 and 8 more"
    assert name_ids([]) == ""


def test_a_command_that_is_suggested_is_one_that_somebody_would_copy() -> None:
    assert to_type([3, 5, 6, 7, 8, 10]) == "3,5-8,10"
    assert parse_ids(to_type(range(0, 200, 2))) == set(range(0, 200, 2))
    assert to_type(range(0, 100_000, 2)) == "IDS"
    assert typed_ids(range(0, 100_000, 2)).count(",") == 49_999  # for Slurm, which has no terminal


def mixed() -> State:
    """Jobs 0-3: waiting, running, removed, removed and still running."""
    state = tables.opened(facts.COLUMNS, [("1", "1")] * 4)
    tables.start(state, 1)
    tables.start(state, 3)
    state.apply(events.JobRemoved(2))
    state.apply(events.JobRemoved(3))
    return state


def test_jobs_are_chosen_by_id_or_all_that_are_there() -> None:
    state = mixed()
    assert [job.id for job in chosen(state, None, "lab.db")] == [0, 1, 3]
    assert [job.id for job in chosen(state, frozenset({JobId(3), JobId(0)}), "lab.db")] == [0, 3]


def test_unknown_ids_are_all_named_and_nothing_is_done() -> None:
    with pytest.raises(UsageError) as caught:
        chosen(mixed(), frozenset(JobId(number) for number in (0, 2, 7, 8)), "lab.db", nothing="Nothing was changed.")
    assert str(caught.value) == "lab.db has no jobs 2, 7-8; it has jobs 0-1, 3. Nothing was changed."


def test_a_job_whose_row_cannot_be_read_is_told_with_the_reason() -> None:
    skipped = {JobId(7): Problem("lab.db:9", '"DONE" is not a STATE. This row is skipped; 2 others go on.')}
    with pytest.raises(UsageError) as caught:
        chosen(mixed(), frozenset({JobId(7)}), "lab.db", skipped)
    assert str(caught.value) == ('Job 7 is not known yet: its row, lab.db:9, cannot be read: "DONE" is not a STATE.')
    with pytest.raises(
        UsageError, match=r"(?s)Job 7 is not known yet.*\nlab\.db has no job 8; it has jobs 0-1, 3\. Nothing was done\."
    ):
        chosen(mixed(), frozenset({JobId(7), JobId(8)}), "lab.db", skipped, "Nothing was done.")


def made(verb: Callable[[State], Wish], state: State) -> tuple[list[Fact], list[int], list[int], list[str]]:
    """What a verb calls for; its facts are let in and leave a state that holds."""
    wish = verb(state)
    for fact in wish.facts:
        state.apply(fact)
    state.check()
    return wish.facts, [*wish.done], [*wish.alive], wish.ignored


def all_of(state: State) -> list[events.Any]:
    return list(state.jobs.values())


def in_phase(at: Phase) -> State:
    return facts.IN_PHASE[at][0]()


@pytest.mark.parametrize("at", Phase)
def test_reset(at: Phase) -> None:
    state = in_phase(at)
    _, done, alive, _ = made(lambda state: verbs.reset(state, all_of(state)), state)
    if at in (Phase.CLAIMED, Phase.RUNNING):
        assert (done, alive) == ([], [0])
    else:
        assert (done, alive) == ([] if at is Phase.WAITING else [0], [])
        assert phase(state.jobs[JobId(0)]) is Phase.WAITING


def test_reset_of_errors_only() -> None:
    for at in Phase:
        _, done, alive, _ = made(lambda s: verbs.reset(s, all_of(s), errors_only=True), in_phase(at))
        assert (done, alive) == ([0] if at is Phase.ERROR else [], [])


@pytest.mark.parametrize("at", Phase)
def test_hold(at: Phase) -> None:
    state = in_phase(at)
    _, done, alive, ignored = made(lambda state: verbs.hold(state, all_of(state)), state)
    assert done == ([0] if at in (Phase.WAITING, Phase.CLAIMED, Phase.ERROR) else [])
    assert alive == ([0] if at is Phase.RUNNING else [])
    told = {Phase.COMPLETE: "Job 0 is COMPLETE; there is nothing to hold.", Phase.HELD: "Job 0 is on HOLD already."}
    assert ignored == [told[at]] if at in told else not ignored
    if at in (Phase.WAITING, Phase.ERROR, Phase.HELD):
        assert state.jobs[JobId(0)].word is Word.HOLD


@pytest.mark.parametrize("at", Phase)
def test_release(at: Phase) -> None:
    state = in_phase(at)
    word = state.jobs[JobId(0)].word
    _, done, _, ignored = made(lambda state: verbs.release(state, all_of(state)), state)
    assert (done, ignored) == (([0], []) if at is Phase.HELD else ([], [f"Job 0 is {word}, not HOLD."]))


def test_release_takes_back_the_hold_of_a_claimed_job() -> None:
    state = facts.claimed(hold=True)
    _, done, _, _ = made(lambda state: verbs.release(state, all_of(state)), state)
    assert done == [0]
    assert not state.jobs[JobId(0)].hold_next


@pytest.mark.parametrize("at", Phase)
def test_cancel(at: Phase) -> None:
    state = in_phase(at)
    word = state.jobs[JobId(0)].word
    committed, done, alive, ignored = made(lambda state: verbs.cancel(state, all_of(state), "ann", 5.0), state)
    if at in (Phase.CLAIMED, Phase.RUNNING):
        assert committed == [events.CancelRequested(FIRST, "ann", 5.0)]
        assert (done, alive, ignored) == ([], [0], [])
    elif at is Phase.WAITING:
        assert (done, alive, ignored) == ([0], [], [])
        assert (state.jobs[JobId(0)].word, state.jobs[JobId(0)].reason) == (Word.HOLD, "CANCELLED")
    else:
        assert (committed, done, alive) == ([], [], [])
        assert ignored == [f"Job 0 is {word}; there is nothing to cancel."]


def test_cancel_asked_twice_is_told_once_and_waits_for_the_same_attempt() -> None:
    state = facts.running(cancel=True)
    for grace in (None, 1.0, 5.0):
        wish = verbs.cancel(state, all_of(state), "bob", grace)
        assert (wish.facts, wish.attempts) == ([], [FIRST])


def test_cancel_asked_again_with_a_shorter_grace_is_told_with_that_and_stays_whose_it_was() -> None:
    state = facts.running(cancel=True)
    (attempt,) = state.jobs[JobId(0)].attempts
    first, shorter = attempt.cancelled_by, attempt.grace / 2
    committed, _, alive, _ = made(lambda state: verbs.cancel(state, all_of(state), "bob", shorter), state)
    state.apply(events.CancelRequested(FIRST, "cy", 20.0))  # on the state of before
    assert (committed, alive) == ([events.CancelRequested(FIRST, "bob", shorter)], [0])
    (order,) = actions.follow(committed[0], state, attempt.by, ())
    assert isinstance(order, actions.CancelAttempt)
    assert (order.grace, order.by) == (shorter, first)


def test_cancel_of_all_reaches_a_job_whose_row_was_removed() -> None:
    state = mixed()
    wish = verbs.cancel(state, chosen(state, None, "lab.db"), "ann", 5.0)
    assert [str(attempt) for attempt in wish.attempts] == ["1.1", "3.1"]
