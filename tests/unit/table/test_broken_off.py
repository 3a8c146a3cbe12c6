"""A save that lost its end on a full disk or in a loss of power, told from saves that only look so."""

from __future__ import annotations

import pytest
from support.desk import Desk

from burnish.core.events import HoldRequested, JobChanged, JobRemoved, JobsAdded

HEADER = "JOB_ID,STATE,--lr,--seed\n"


def refused(desk: Desk, torn: str) -> bool:
    """True if nothing is taken from that text and the table reads as before."""
    before = desk.text
    desk.save(torn)
    return not desk.facts and "breaks off in the middle of this row" in desk.notices[0] and desk.text == before


def test_a_save_with_edits_that_breaks_off_inside_any_row_changes_nothing() -> None:
    whole = (
        Desk(HEADER + "0,,a,11\n1,,b,22\n12,,c,33\n").text.replace(",a,11", ",edited,44").replace(",b,22", ",more,55")
    )
    for end in range(len(HEADER) + 1, len(whole) - 1):
        if whole[end] == "\n" or whole[end - 1] == "\n":
            continue  # a whole row: nobody can tell it from rows that were deleted
        assert refused(Desk(HEADER + "0,,a,11\n1,,b,22\n12,,c,33\n"), whole[:end]), whole[:end]


def test_a_text_that_a_power_loss_tore_is_known_though_the_loss_took_the_text_it_was_made_of() -> None:
    desk = Desk(HEADER + "1,,w1,note872189\n")
    desk.complete(1)
    del desk.bases[1:]
    assert refused(desk, HEADER + "1,COMPLETE,w1,note8721")


def test_a_row_is_held_against_the_journal_where_the_kept_text_is_older_than_its_cell() -> None:
    desk = Desk(HEADER + "1,,w1,\n")
    desk.edit("w1,", "w1,note872189")
    desk.complete(1)
    del desk.bases[1:]
    assert refused(desk, HEADER + "1,COMPLETE,w1,note8721")


def test_a_row_without_an_id_that_breaks_off_is_the_job_it_was_given() -> None:
    desk = Desk()
    buffer = desk.text + ",,d,45\n"
    desk.save(buffer)
    assert refused(desk, buffer[:-2])


def test_an_id_that_stands_last_and_breaks_off_is_nobodys() -> None:
    desk = Desk("STATE,--lr,JOB_ID\n,a,1\n,b,12\n")
    assert refused(desk, desk.text[:-2])


# -- taken ---------------------------------------------------------------------------------------------------------------


def test_rows_that_were_deleted_with_the_newline_before_them_are_gone() -> None:
    desk = Desk()
    desk.save(desk.text.partition("\n2,")[0])
    assert desk.facts == [JobRemoved(2)]
    desk = Desk()
    desk.save(desk.text.partition("\n2,")[0].replace("1,NOT_RUNNING,b", "1,HOLD,x"))
    assert desk.facts == [JobChanged(1, {"--lr": "x"}), HoldRequested(1), JobRemoved(2)]


@pytest.mark.parametrize("deleted", ["", "2,NOT_RUNNING,c,3\n"])
def test_a_new_row_without_a_newline_is_taken(deleted: str) -> None:
    desk = Desk()
    desk.save(desk.text.removesuffix(deleted) + ",,d,4")
    assert desk.facts[0] == JobsAdded(("--lr", "--seed"), ((3, "d", "4"),))
    assert desk.facts[1:] == ([JobRemoved(2)] if deleted else [])


def test_what_a_program_that_writes_no_last_newline_has_edited_is_taken() -> None:
    desk = Desk()
    desk.save(desk.text.replace("1,NOT_RUNNING,b", "1,NOT_RUNNING,x")[:-1])
    assert desk.facts == [JobChanged(1, {"--lr": "x"})]
    desk.save(desk.text.replace("c,3", "c,100"))
    assert desk.facts == [JobChanged(2, {"--seed": "100"})]
    desk.save(desk.text.replace("c,100", "c,10"))  # its base has none either
    assert desk.facts == [JobChanged(2, {"--seed": "10"})]


def test_a_last_row_that_was_short_before_holds_nothing_back() -> None:
    desk = Desk(HEADER + "0,,a,1\n1,,b")
    desk.edit("0,NOT_RUNNING,a", "0,NOT_RUNNING,x")
    assert desk.facts == [JobChanged(0, {"--lr": "x"})]


def test_a_new_row_that_is_not_finished_is_skipped_and_no_other_with_it() -> None:
    desk = Desk()
    desk.save(desk.text.replace("0,NOT_RUNNING,a", "0,NOT_RUNNING,x") + ",,d")
    assert desk.facts == [JobChanged(0, {"--lr": "x"})]
    assert desk.text.endswith(",,d")
