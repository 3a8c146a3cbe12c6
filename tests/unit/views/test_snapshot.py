"""A snapshot says what is true of each job, and nothing of an attempt that is no longer the reason."""

from __future__ import annotations

import pytest
from support.tables import BEGAN, claim, finish, opened, start

from burnish.core import events
from burnish.core.jobs import CoordinatorId, HostName, Job, JobId, Word
from burnish.core.requirements import Requirements, requirements
from burnish.core.state import State
from burnish.views.snapshot import take

COLUMNS = ("--lr", "PRIORITY")


def test_waiting_job_has_nothing_but_its_cells() -> None:
    row = take(opened(COLUMNS, [("1e-4", "")]), BEGAN).rows[0]
    assert (row.word, row.reason, row.cells, row.attempt, row.host) == (Word.NOT_RUNNING, "", ("1e-4", ""), None, "")


def test_counts_hold_every_word() -> None:
    state = opened(COLUMNS, [("1", ""), ("2", ""), ("3", "")])
    finish(state, start(state, 0))
    start(state, 1)
    counts = take(state, BEGAN).counts
    assert counts == {Word.NOT_RUNNING: 1, Word.HOLD: 0, Word.RUNNING: 1, Word.COMPLETE: 1, Word.ERROR: 0}


def test_removed_row_is_not_shown() -> None:
    state = opened(COLUMNS, [("1", ""), ("2", "")])
    state.apply(events.JobRemoved(0))
    assert [row.id for row in take(state, BEGAN).rows] == [1]


def test_running_job_runs_until_now() -> None:
    state = opened(COLUMNS, [("1", "")])
    start(state, 0, "gpu07", ("0", "1"), at=BEGAN)
    row = take(state, BEGAN + 90).rows[0]
    assert (row.word, row.host, row.gpus, str(row.attempt), row.run_time) == (
        Word.RUNNING,
        "gpu07",
        ("0", "1"),
        "0.1",
        90,
    )


def test_job_that_no_run_looks_after_is_not_said_to_have_run_until_now() -> None:
    state = opened(COLUMNS, [("1", "")])
    start(state, 0)
    for runs, run_time in (None, 60.0), ([CoordinatorId("me")], 60.0), ([], None):
        assert take(state, BEGAN + 60, runs=runs).rows[0].run_time == run_time


def test_clock_behind_the_hosts_gives_no_negative_time() -> None:
    state = opened(COLUMNS, [("1", "")])
    start(state, 0, at=BEGAN + 500)
    assert take(state, BEGAN).rows[0].run_time == 0


def test_ended_job_keeps_its_measured_time() -> None:
    state = opened(COLUMNS, [("1", "")])
    finish(state, start(state, 0), code=1, ended=BEGAN + 60, result={"acc": 0.5})
    row = take(state, BEGAN + 10_000).rows[0]
    assert (row.word, row.reason, row.run_time, row.max_rss, row.result) == (
        Word.ERROR,
        "exit 1",
        60,
        2048,
        {"acc": 0.5},
    )


def test_claimed_job_says_that_it_is_starting() -> None:
    state = opened(COLUMNS, [("1", "")])
    claim(state, 0, "gpu03")
    row = take(state, BEGAN).rows[0]
    assert (row.word, row.reason, row.host, row.run_time) == (Word.NOT_RUNNING, "starting", "gpu03", None)


def test_host_that_is_not_seen_changes_a_reason_and_never_a_state() -> None:
    state = opened(COLUMNS, [("1", ""), ("2", "")])
    start(state, 0, "gpu03")
    start(state, 1, "gpu04")
    rows = take(state, BEGAN, {HostName("gpu03"): "unreachable since 10:41"}).rows
    assert [(row.word, row.reason) for row in rows] == [
        (Word.RUNNING, "unreachable since 10:41"),
        (Word.RUNNING, ""),
    ]


def test_reset_job_shows_no_host_time_or_result_of_its_last_attempt() -> None:
    state = opened(COLUMNS, [("1", "")])
    finish(state, start(state, 0), result={"acc": 1})
    state.apply(events.ResetRequested(0))
    row = take(state, BEGAN).rows[0]
    assert (row.host, row.run_time, row.result, row.attempts) == ("", None, None, 1)


def test_state_set_by_hand_is_not_explained_by_the_last_attempt() -> None:
    state = opened(COLUMNS, [("1", "")])
    finish(state, start(state, 0), code=1)
    state.apply(events.JobMarked(0, "ERROR", "by hand"))
    row = take(state, BEGAN).rows[0]
    assert (row.reason, row.host, row.run_time) == ("by hand", "", None)


def test_state_set_by_hand_is_not_explained_by_a_claim_that_came_back() -> None:
    state = opened(COLUMNS, [("1", "")])
    state.apply(events.AttemptVoided(claim(state, 0, "gpu02"), "its slot takes no more jobs"))
    state.apply(events.JobMarked(0, "ERROR", "by hand"))
    row = take(state, BEGAN).rows[0]
    assert (row.reason, row.host) == ("by hand", "")


def test_job_that_could_not_start_is_explained() -> None:
    state = opened(COLUMNS, [("1", "")])
    attempt = claim(state, 0, "gpu02")
    state.apply(events.AttemptVoided(attempt, "python3 is not on the PATH", refused=True))
    row = take(state, BEGAN).rows[0]
    assert (row.word, row.reason, row.host) == (Word.ERROR, "not started: python3 is not on the PATH", "gpu02")


def test_argument_edited_after_the_run_says_what_it_ran_with() -> None:
    state = opened(COLUMNS, [("0.1", "")])
    finish(state, start(state, 0))
    state.apply(events.JobChanged(0, {"--lr": "0.2", "PRIORITY": "7"}))
    assert take(state, BEGAN).rows[0].reason == "exit 0; ran with --lr 0.1"


def test_arguments_are_told_from_control_columns() -> None:
    snapshot = take(opened(("PRIORITY", "--lr", "AFTER"), [("1", "2", "3")]), BEGAN)
    assert (snapshot.arguments, snapshot.controls) == ((1,), (0, 2))


def test_job_that_waits_for_itself_says_so_and_round_what() -> None:
    cells = ("", "2", "3", "1", "1", "5", "0,4", "77", "0")
    state = opened(("AFTER",), [(cell,) for cell in cells])
    assert [row.reason for row in take(state, BEGAN).rows] == [
        "",
        "waits for itself by AFTER: 1, 2, 3, 1",
        "waits for itself by AFTER: 2, 3, 1, 2",
        "waits for itself by AFTER: 3, 1, 2, 3",
        "after job 1, which waits for itself",
        "waits for itself by AFTER: 5, 5",
        "after job 0, which is NOT_RUNNING",
        "after job 77, which the table does not have",
        "after job 0, which is NOT_RUNNING",
    ]


def test_circles_are_looked_for_once_however_many_jobs_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    state = opened(("AFTER",), [(str(number - 1),) if number else ("",) for number in range(200)])
    read: list[JobId] = []

    def reading(job: Job, within: State) -> Requirements:
        read.append(job.id)
        return requirements(job, within)

    monkeypatch.setattr("burnish.core.requirements.requirements", reading)
    assert len(take(state, BEGAN).rows) == 200
    assert len(read) <= 200


def test_a_long_circle_is_cut() -> None:
    state = opened(("AFTER",), [(str((number + 1) % 30),) for number in range(30)])
    said = take(state, BEGAN).rows[29].reason
    assert said == f"waits for itself by AFTER: 29, {', '.join(map(str, range(19)))}, …, 29"
