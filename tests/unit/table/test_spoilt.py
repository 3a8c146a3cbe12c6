"""A row that lost its JOB_ID to a spreadsheet: what is said of it is what becomes of its job."""

from __future__ import annotations

import pytest
from support.desk import Desk

from burnish.core.events import CancelRequested, HoldRequested
from burnish.core.jobs import JobId
from burnish.core.spoilt import passed_over, spoilt, told
from burnish.core.table import parse


def said(desk: Desk) -> list[str]:
    return told(desk.standing, desk.state.jobs, desk.state.columns)


def skipped(desk: Desk) -> set[int]:
    return set(passed_over(desk.standing, desk.state.jobs, desk.state.columns))


def spoil(desk: Desk, job: int) -> None:
    desk.edit(f"\n{job},", f"\n{job}.0,")
    assert desk.facts == []


def fates() -> dict[str, Desk]:
    running, complete, failed, held = Desk(), Desk(), Desk(), Desk()
    running.start(1)
    complete.complete(1)
    failed.complete(1, code=1)
    held.commit(HoldRequested(JobId(1)))
    return {
        "is not started until the row is mended": Desk(),
        "runs on": running,
        "stays COMPLETE": complete,
        "stays ERROR": failed,
        "stays on HOLD": held,
    }


@pytest.mark.parametrize("fate", fates())
def test_spoilt_id_says_what_becomes_of_its_job(fate: str) -> None:
    desk = fates()[fate]
    spoil(desk, 1)
    [sentence] = said(desk)
    assert sentence.startswith('burnish.db:3: "1.0" in JOB_ID is not an id')
    assert sentence.endswith(f"This row is skipped; 2 others go on. It reads like job 1, which {fate}.")
    assert skipped(desk) == {1}
    assert "\n1," not in desk.text  # it gets no second row


def test_job_that_ends_under_a_spoilt_id_keeps_its_result_when_that_is_mended() -> None:
    desk = Desk()
    spoil(desk, 1)
    desk.start(1)
    assert said(desk)[0].endswith("which runs on.")
    desk.finish(1)
    desk.edit("\n1.0,", "\n1,")
    assert (desk.facts, desk.row(1), skipped(desk)) == ([], "1,COMPLETE,b,2", set())


def test_running_job_whose_row_cannot_be_read_otherwise_is_said_to_run_on() -> None:
    desk = Desk()
    desk.start(1)
    desk.edit("1,RUNNING,b,2", "1,RUNNING,b,2,3")
    assert said(desk)[0].endswith("This row is skipped; 2 others go on. Job 1 runs on.")
    desk.commit(CancelRequested(desk.open_attempt(1).id, "me", 10.0))
    desk.finish(1)
    assert said(desk)[0].endswith("This row is skipped; 2 others go on.")


def test_rows_alike_are_taken_in_order() -> None:
    desk = Desk("JOB_ID,STATE,--lr\n0,,same\n1,,same\n2,,same\n")
    desk.edit("\n1,", "\n1.0,")
    desk.edit("\n2,", "\n2.0,")
    assert skipped(desk) == {1, 2}
    assert [sentence.partition("like ")[2][:5] for sentence in said(desk)] == ["job 1", "job 2"]


def test_columns_that_were_moved_in_the_same_save_hide_no_job() -> None:
    desk = Desk()
    moved = parse(b"JOB_ID,STATE,--seed,--lr\n0,NOT_RUNNING,1,a\n1.0,NOT_RUNNING,2,b\n2,NOT_RUNNING,3,c\n")
    assert [*spoilt(moved, desk.state.jobs, desk.state.columns)] == [1]


def test_row_that_was_edited_beyond_recognition_stands_for_no_job() -> None:
    desk = Desk()
    desk.edit("\n1,NOT_RUNNING,b", "\n1.0,NOT_RUNNING,changed")
    assert skipped(desk) == set()
    assert desk.row(1) == "1,NOT_RUNNING,b,2"  # and so it has a row of its own
    assert said(desk)[0].endswith("This row is skipped; 2 others go on.")
