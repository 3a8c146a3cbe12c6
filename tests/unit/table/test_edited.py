"""What is held back of an edit, and what is told of one that was taken."""

from __future__ import annotations

from support.desk import Desk

from burnish.core.bases import Base
from burnish.core.edited import faults, told
from burnish.core.events import HoldRequested
from burnish.core.jobs import JobId
from burnish.core.merge import merge
from burnish.core.table import parse

TEXT = "JOB_ID,STATE,--lr\n0,NOT_RUNNING,a\n1,NOT_RUNNING,b\n2,NOT_RUNNING\n"


def wrong_with(edited: str) -> list[str]:
    return [str(problem) for problem in faults(parse(TEXT.encode()), parse(edited.encode()))]


def test_a_row_that_was_bad_before_holds_nothing_back() -> None:
    assert wrong_with(TEXT.replace("a", "c")) == []


def test_each_new_fault_is_named_without_saying_that_it_was_taken() -> None:
    said = wrong_with(TEXT.replace("0,NOT_RUNNING", "0,HELD").replace("1,", "one,"))
    assert [sentence.split(": ")[0] for sentence in said] == ["burnish.db:2", "burnish.db:3"]
    assert "Did you mean HOLD? Expected one of" in said[0] and not any("skipped" in sentence for sentence in said)


def test_a_text_that_breaks_off_is_held_back() -> None:
    whole = "JOB_ID,STATE,--lr\n0,NOT_RUNNING,a\n1,NOT_RUNNING,0.001\n"
    [problem] = faults(parse(whole.encode()), parse(whole[:-3].encode()))
    assert str(problem) == "burnish.db:3: the text breaks off in the middle of this row."


def test_what_an_edit_came_to_is_told_in_one_line() -> None:
    desk = Desk("JOB_ID,STATE,--lr,--seed\n" + "".join(f"{job},,a,1\n" for job in range(8)))
    desk.complete(5)
    desk.commit(HoldRequested(JobId(6)))
    desk.start(7)
    before = desk.state.columns
    text = desk.text
    for old, new in (
        ("0,NOT_RUNNING,a,1\n", "0,NOT_RUNNING,b,1\n"),
        ("1,NOT_RUNNING,a,1\n", "1,NOT_RUNNING,c,2\n"),
        ("2,NOT_RUNNING,a,1\n", ""),
        ("3,NOT_RUNNING", "3,HOLD"),
        ("4,NOT_RUNNING", "4,COMPLETE"),
        ("5,COMPLETE", "5,RESET"),
        ("6,HOLD", "6,NOT_RUNNING"),
        ("7,RUNNING,a,1\n", "7,CANCEL,a,1\n,,d,1\n"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    state = desk.state
    merged = merge(Base.of(desk.standing, 0.0), parse(text.encode()), state.jobs, state.columns, state.next_id)
    assert told(merged.facts, before) == (
        "job 8 added; jobs 0-1 changed (--lr, --seed); job 2 removed; job 5 to run again; job 6 released; job 3 held; "
        "job 7 to be cancelled; job 4 COMPLETE by hand"
    )


def test_columns_that_came_and_went_are_told() -> None:
    desk = Desk("JOB_ID,STATE,--lr\n0,,a\n")
    before = desk.state.columns
    merged = desk.save("JOB_ID,STATE,--seed\n0,NOT_RUNNING,1\n")
    assert told(merged.facts, before) == "column --seed added; column --lr removed; job 0 changed (--seed)"
