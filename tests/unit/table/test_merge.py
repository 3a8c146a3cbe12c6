"""What a person changed becomes facts, what they did not touch becomes nothing."""

from __future__ import annotations

import pytest
from support.desk import Desk

from burnish.core.bases import Base
from burnish.core.events import (
    CancelRequested,
    ColumnsChanged,
    HoldRequested,
    JobChanged,
    JobMarked,
    JobRemoved,
    JobsAdded,
    ReleaseRequested,
    ResetRequested,
)
from burnish.core.jobs import AttemptId, JobId, Word
from burnish.core.merge import merge, merged_columns, respells
from burnish.core.table import WORDS, parse
from burnish.core.typed_over import TYPED_OVER

# The table of the manual: typed over a job that is, in turn, NOT_RUNNING, HOLD, RUNNING, COMPLETE, ERROR.
MANUAL = {
    "NOT_RUNNING": ["", "ReleaseRequested", "named", "ResetRequested", "ResetRequested"],
    "HOLD": ["HoldRequested", "", "named", "named", "HoldRequested"],
    "RUNNING": ["named", "named", "", "named", "named"],
    "COMPLETE": ["JobMarked", "JobMarked", "named", "", "JobMarked"],
    "ERROR": ["JobMarked", "JobMarked", "named", "named", ""],
    "RESET": ["", "ReleaseRequested", "named", "ResetRequested", "ResetRequested"],
    "CANCEL": ["HoldRequested", "", "CancelRequested", "named", "named"],
}


def desk_with(word: Word) -> Desk:
    """Job 1 is in that state, and everybody has seen it for a while: the others ended later."""
    desk = Desk()
    if word is Word.HOLD:
        desk.edit("1,NOT_RUNNING", "1,HOLD")
    elif word is Word.RUNNING:
        desk.start(1)
    elif word is not Word.NOT_RUNNING:
        desk.complete(1, code=int(word is Word.ERROR))
    desk.complete(0)
    return desk


def test_every_word_has_an_answer_in_every_state() -> None:
    assert set(TYPED_OVER) == set(WORDS) == set(MANUAL)
    assert all(set(answers) == set(Word) for answers in TYPED_OVER.values())


@pytest.mark.parametrize("now", list(Word), ids=str)
@pytest.mark.parametrize("typed", WORDS)
def test_words_typed_over_states_do_what_the_manual_says(typed: str, now: Word) -> None:
    desk = desk_with(now)
    desk.edit(f"\n1,{now}", f"\n1,{typed.lower()}")
    expected = MANUAL[typed][list(Word).index(now)]
    if expected in ("", "named"):
        assert desk.facts == []
        assert len(desk.notices) == (expected == "named")
    else:
        assert [type(fact).__name__ for fact in desk.facts] == [expected]
        assert desk.notices == []
    assert desk.row(1).split(",")[1].upper() == desk.word(1)


def test_sentences_name_the_line_and_say_how_to_insist() -> None:
    desk = desk_with(Word.RUNNING)
    desk.edit("1,RUNNING", "1,RESET")
    assert desk.notices == [
        "burnish.db:3: says RESET; job 1 is RUNNING. Left as it is. To stop it and run it again: burnish reset --kill --job_id 1."
    ]
    desk.edit("1,RUNNING", "1,HOLD")
    assert desk.notices == [
        "burnish.db:3: says HOLD; job 1 is RUNNING. Left as it is. To stop it: burnish cancel --job_id 1."
    ]


def test_cancel_names_the_attempt_and_is_asked_once() -> None:
    desk = desk_with(Word.RUNNING)
    desk.edit("1,RUNNING", "1,CANCEL")
    assert desk.facts == [CancelRequested(AttemptId(JobId(1), 1), "table", 10.0)]
    desk.edit("1,RUNNING", "1,CANCEL")
    assert desk.facts == []


def test_waiting_job_is_cancelled_into_hold() -> None:
    desk = Desk()
    desk.edit("1,NOT_RUNNING", "1,CANCEL")
    assert desk.facts == [HoldRequested(1, "CANCELLED")]


def test_nothing_changed_is_nothing() -> None:
    desk = Desk()
    assert desk.save(desk.text).facts == []
    assert desk.save(desk.text.replace("\n", "\r\n")).facts == []
    assert desk.save("\ufeff" + desk.text).facts == []
    lines = desk.text.splitlines(keepends=True)
    assert desk.save("".join([lines[0], *reversed(lines[1:])])).facts == []


def test_edited_cells_reach_the_job() -> None:
    desk = Desk()
    desk.edit("1,NOT_RUNNING,b,2", '1,NOT_RUNNING,"b, c",02')
    assert desk.facts == [JobChanged(1, {"--lr": "b, c", "--seed": "02"})]


def test_edit_that_somebody_made_already_is_nothing() -> None:
    desk = Desk()
    old = desk.text
    desk.save(old.replace("a,1", "x,1").replace("b,2", "new,2").replace("c,3", "y,3"))
    desk.edit("b,2", "new,2", old)
    assert desk.facts == []
    assert [desk.row(job) for job in range(3)] == ["0,NOT_RUNNING,x,1", "1,NOT_RUNNING,new,2", "2,NOT_RUNNING,y,3"]


def test_cell_beside_an_edit_in_an_old_buffer_is_as_it_is_now() -> None:
    desk = Desk()
    old = desk.text
    desk.edit("1,NOT_RUNNING,b", "1,NOT_RUNNING,new")
    desk.complete(0)
    desk.edit("1,NOT_RUNNING,b,2", "1,NOT_RUNNING,b,02", old)
    assert desk.row(1) == "1,NOT_RUNNING,new,02"


def test_edit_of_a_running_job_is_for_its_next_attempt() -> None:
    desk = desk_with(Word.RUNNING)
    desk.edit("1,RUNNING,b", "1,RUNNING,new")
    assert desk.facts == [JobChanged(1, {"--lr": "new"})]
    assert desk.notices == [
        "burnish.db:3: --lr now reads new; job 1 goes on with b. The new text is for its next attempt."
    ]


def test_edit_of_a_complete_job_keeps_its_result() -> None:
    desk = desk_with(Word.COMPLETE)
    desk.edit("1,COMPLETE,b", "1,COMPLETE,new")
    assert desk.facts == [JobChanged(1, {"--lr": "new"})]
    assert desk.word(1) == "COMPLETE"
    assert desk.notices == [
        "burnish.db:3: --lr now reads new; job 1 is COMPLETE with b and stays so. To run it again: write RESET."
    ]


@pytest.mark.parametrize(
    ("word", "goes_on", "end"),
    [
        (Word.RUNNING, "goes on {}", "The new text is for its next attempt."),
        (Word.COMPLETE, "is COMPLETE {} and stays so", "To run it again: write RESET."),
    ],
)
def test_edit_from_or_to_an_empty_cell_names_no_text_where_there_is_none(word: Word, goes_on: str, end: str) -> None:
    desk = desk_with(word)
    desk.edit(f"1,{word},b", f"1,{word},")
    assert desk.notices == [f"burnish.db:3: --lr is empty now; job 1 {goes_on.format('with b')}. {end}"]
    desk.edit(f"1,{word},", f"1,{word},new")
    assert desk.notices == [f"burnish.db:3: --lr now reads new; job 1 {goes_on.format('without it')}. {end}"]


@pytest.mark.parametrize("typed", ["RESET", "NOT_RUNNING"])
def test_edit_of_a_row_that_is_to_run_again_is_not_said_to_change_nothing(typed: str) -> None:
    for word in (Word.COMPLETE, Word.ERROR):
        desk = desk_with(word)
        desk.edit(f"1,{word},b", f"1,{typed},new")
        assert desk.facts == [JobChanged(1, {"--lr": "new"}), ResetRequested(1)]
        assert desk.notices == []


def test_edit_beside_a_word_that_is_not_obeyed_is_named_too() -> None:
    desk = desk_with(Word.COMPLETE)
    desk.edit("1,COMPLETE,b", "1,HOLD,new")
    assert desk.word(1) == "COMPLETE"
    assert [notice for notice in desk.notices if "and stays so" in notice]
    desk = desk_with(Word.ERROR)
    desk.edit("1,ERROR,b", "1,HOLD,new")
    assert (desk.word(1), desk.notices) == ("HOLD", [])


def test_spreadsheet_that_respells_many_cells_is_named_once() -> None:
    rows = "".join(f"{n},,1e-4,TRUE\n" for n in range(20))
    desk = Desk("JOB_ID,STATE,--lr,--amp\n" + rows.replace("TRUE", "true"))
    desk.complete(*range(5))
    desk.save(desk.text.replace("1e-4", "0.0001").replace("true", "TRUE"))
    assert len(desk.facts) == 20
    [notice] = desk.notices
    assert notice.startswith(
        "burnish.db: 40 cells are spelt anew (--lr: 1e-4 became 0.0001); this looks like a spreadsheet's work."
    )


@pytest.mark.parametrize(("old", "new"), [("1e-4", "0.0001"), ("010", "10"), ("true", "TRUE"), ("1.10", "1.1")])
def test_respelling_is_the_same_value_in_other_letters(old: str, new: str) -> None:
    assert respells(old, new)
    assert not respells(old, old)
    assert not respells(old, new + "7")
    assert not respells("", new)


def test_new_rows_become_jobs_with_the_next_ids() -> None:
    desk = Desk()
    desk.save(desk.text + ",,d,4\n7,HOLD,e,5\n,,f,6\n")
    assert desk.facts == [
        JobsAdded(("--lr", "--seed"), ((8, "d", "4"), (7, "e", "5"), (9, "f", "6"))),
        HoldRequested(7),
    ]
    assert desk.text.endswith("8,NOT_RUNNING,d,4\n7,HOLD,e,5\n9,NOT_RUNNING,f,6\n")


def test_new_row_that_claims_a_result_is_by_hand_and_named() -> None:
    desk = Desk()
    desk.save(desk.text + ",COMPLETE,d,4\n,RUNNING,e,5\n")
    assert JobMarked(3, "COMPLETE", "by hand") in desk.facts
    assert [notice.partition(":")[2][:2] for notice in desk.notices] == ["5:", "6:"]
    assert desk.word(4) == "NOT_RUNNING"


def test_row_without_id_saved_again_makes_no_second_job() -> None:
    desk = Desk()
    buffer = desk.text + ",,d,4\n,,d,4\n"
    desk.save(buffer)
    desk.complete(3)
    for text in (buffer, buffer.replace("0,NOT_RUNNING,a", "0,NOT_RUNNING,z"), buffer + ",,new,5\n"):
        desk.save(text)
    assert len(desk.state.jobs) == 6
    assert desk.word(3) == "COMPLETE"
    assert desk.row(0) == "0,NOT_RUNNING,z,1"


def test_row_without_id_edited_in_the_same_buffer_is_the_same_job() -> None:
    desk = Desk()
    buffer = desk.text + ",,d,4\n"
    desk.save(buffer)
    desk.save(buffer.replace("d,4", "e,4"))
    assert desk.facts == [JobChanged(3, {"--lr": "e"})]


def test_ids_that_were_stripped_are_found_by_cells() -> None:
    desk = Desk("JOB_ID,STATE,--lr,--seed\n" + "".join(f"{n},,{'ab'[n % 2]},{n // 2 % 2}\n" for n in range(8)))
    desk.complete(3)
    head, *rows = desk.text.splitlines(keepends=True)
    merged = desk.save(head + "".join("," + row.partition(",")[2] for row in rows))
    assert merged.facts == []
    assert merged.ids == {n: n for n in range(8)}


def test_what_is_being_started_gets_its_verdict_from_its_own_exit() -> None:
    desk = Desk()
    desk.claim(1)
    desk.edit("1,NOT_RUNNING", "1,COMPLETE")
    assert desk.facts == []
    assert desk.notices == ["burnish.db:3: says COMPLETE; job 1 is NOT_RUNNING. Left as it is: it is being started."]


def test_ids_that_were_stripped_in_an_old_buffer_undo_no_result() -> None:
    desk = Desk()
    head, *rows = desk.text.splitlines(keepends=True)
    desk.complete(1)
    desk.save(head + "".join("," + row.partition(",")[2] for row in rows))
    assert desk.facts == []
    assert desk.notices == [
        "burnish.db:3: says NOT_RUNNING; job 1 is COMPLETE (exit 0). Kept COMPLETE. To run it again: burnish reset --job_id 1, "
        "or write RESET."
    ]


def test_deleted_rows_are_removed_and_a_running_one_goes_on() -> None:
    desk = desk_with(Word.RUNNING)
    desk.save("".join(desk.text.splitlines(keepends=True)[:2]))
    assert desk.facts == [JobRemoved(1), JobRemoved(2)]
    assert desk.notices == [
        "burnish.db: the row of job 1 is gone; the job runs on. To stop it: burnish cancel --job_id 1."
    ]
    assert desk.word(1) == "RUNNING"


def test_deleted_row_that_comes_back_is_the_old_job() -> None:
    desk = desk_with(Word.COMPLETE)
    full = desk.text
    desk.edit("1,COMPLETE,b,2\n", "")
    assert desk.state.jobs[JobId(1)].removed
    desk.save(full)
    assert not desk.state.jobs[JobId(1)].removed
    assert desk.word(1) == "COMPLETE"
    assert desk.notices == ["burnish.db:3: job 1 is back; it is COMPLETE (exit 0)."]


def test_old_buffer_does_not_bring_a_removed_job_back() -> None:
    desk = Desk()
    old = desk.text
    desk.edit("1,NOT_RUNNING,b,2\n", "")
    desk.edit("2,NOT_RUNNING,c", "2,NOT_RUNNING,new", old)
    assert desk.facts == [JobChanged(2, {"--lr": "new"})]
    assert desk.notices == [
        "burnish.db:3: job 1 was removed, and stays so. To run it: give the row a JOB_ID that was never used."
    ]
    desk.edit("\n1,NOT_RUNNING,b", "\n7,,b")
    assert isinstance(desk.facts[0], JobsAdded)
    assert desk.row(7) == "7,NOT_RUNNING,b,2"


@pytest.mark.parametrize(
    "header", ["JOB_ID,STATE,--lr,--seed\n", "JOB_ID,STATE,--lr\n", "JOB_ID,STATE,--l", "", "\n,,\n"]
)
def test_table_without_rows_removes_nothing(header: str) -> None:
    desk = Desk()
    text = desk.text
    desk.save(header)
    assert desk.facts == []
    said = "has no rows" if header.strip("\n,") else "is empty"
    assert f"{said}, but 3 jobs are known. Nothing was removed; the table is written again" in desk.notices[0]
    assert desk.text == text


def test_save_cut_short_by_a_full_disk_changes_nothing() -> None:
    desk = Desk()
    text = desk.text
    for end in range(text.index("0,NOT"), len(text) - 1):
        if "\n" in text[end - 1 : end + 1]:
            continue  # whole rows: nobody can tell it from rows that were deleted
        desk.save(text[:end])
        assert desk.facts == []
        assert "breaks off in the middle of this row" in desk.notices[0]
        assert desk.text == text


def test_spoilt_id_is_no_deletion() -> None:
    desk = Desk()
    desk.edit("\n1,", "\n1.0,")
    assert desk.facts == []
    desk = Desk()
    desk.edit("\n1,NOT_RUNNING,b", "\n1.0,NOT_RUNNING,changed")
    assert desk.facts == []
    [notice] = desk.notices
    assert notice.startswith(
        "burnish.db: 1 row is gone (JOB_ID 1), but as long as there are rows without a readable JOB_ID"
    )


def test_bad_row_is_no_deletion_and_its_neighbours_are_merged() -> None:
    desk = Desk()
    desk.save(desk.text.replace("1,NOT_RUNNING,b,2", "1,NOT_RUNNING,b,2,3").replace("2,NOT_RUNNING", "2,HOLD"))
    assert desk.facts == [HoldRequested(2)]
    desk.edit("1,NOT_RUNNING,b,2,3", '1,NOT_RUNNING,b,"2,3"')
    assert desk.facts == [JobChanged(1, {"--seed": "2,3"})]


def test_copied_row_with_its_id_is_skipped_until_mended() -> None:
    desk = Desk()
    desk.save(desk.text + "1,NOT_RUNNING,d,4\n")
    assert desk.facts == []
    desk.edit("1,NOT_RUNNING,d,4", ",,d,4")
    assert desk.facts == [JobsAdded(("--lr", "--seed"), ((3, "d", "4"),))]


def test_columns_are_added_filled_renamed_moved_and_removed() -> None:
    desk = Desk()
    desk.save("JOB_ID,STATE,PRIORITY,--lr,--seed\n0,,5,a,1\n1,,,b,2\n2,,,c,3\n")
    assert desk.facts == [ColumnsChanged(("PRIORITY", "--lr", "--seed")), JobChanged(0, {"PRIORITY": "5"})]
    desk.save("JOB_ID,STATE,--seed,--rate\n0,,1,a\n1,,2,b\n2,,3,c\n,,4,d\n")
    assert desk.state.columns == ("--seed", "--rate")
    assert [job.cells for job in desk.state.jobs.values()] == [("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")]


def test_columns_of_two_people_meet() -> None:
    assert merged_columns(("a", "b"), ("a", "b"), ("b", "c")) == ("b", "c")
    assert merged_columns(("a", "b"), ("b", "x"), ("a", "b", "y")) == ("b", "x", "y")
    assert merged_columns(("a", "b"), ("x", "b", "a"), ("a",)) == ("x", "a")


def test_many_sentences_of_one_kind_are_folded() -> None:
    desk = Desk("JOB_ID,STATE,--lr\n" + "".join(f"{n},,x{n}\n" for n in range(100)))
    desk.start(*range(100))
    desk.save(desk.text.replace("RUNNING", "HOLD"))
    assert len(desk.notices) == 4
    assert desk.notices[-1] == "burnish.db: the same for 97 more: jobs 3-99."


def test_table_without_a_journal_keeps_results_and_holds_what_ran() -> None:
    desk = Desk("JOB_ID,STATE,x\n0,COMPLETE,a\n1,ERROR,b\n2,RUNNING,c\n3,,d\n,reset,e\n5,HOLD,f\n")
    reasons = [(str(job.word), job.reason) for job in desk.state.jobs.values()]
    assert reasons == [
        ("COMPLETE", "from the file"), ("ERROR", "from the file"), ("HOLD", "found as RUNNING"),
        ("NOT_RUNNING", ""), ("NOT_RUNNING", ""), ("HOLD", ""),
    ]  # fmt: skip
    assert desk.row(6) == "6,NOT_RUNNING,e"


def test_release_and_reset_are_told_apart() -> None:
    desk = desk_with(Word.HOLD)
    desk.edit("1,HOLD", "1,RESET")
    assert desk.facts == [ReleaseRequested(1)]
    desk = desk_with(Word.ERROR)
    desk.edit("1,ERROR", "1,RESET")
    assert desk.facts == [ResetRequested(1)]


def test_a_new_row_gets_no_id_that_a_kept_text_gave_to_another() -> None:
    """Over NFS a kept text may be there before the commit that made its jobs: the ids in it are given away all the same."""
    base = Base.of(parse(b"JOB_ID,STATE,x\n,,a\n"), 0.0, {0: JobId(5)})
    merged = merge(base, parse(b"JOB_ID,STATE,x\n,,new\n,,a\n"), {}, ("x",), 5)
    assert [fact.rows for fact in merged.facts if isinstance(fact, JobsAdded)] == [((6, "new"), (5, "a"))]
