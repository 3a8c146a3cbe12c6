"""Rows are what was typed, and what nobody changed stays byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.core.jobs import Job, JobId, Word
from burnish.core.render import render
from burnish.core.table import Table, parse
from burnish.errors import InputError

HEAD = "JOB_ID,STATE,--cmd,--lr\n"
OLD = Path(__file__).parents[2] / "data" / "0.1" / "burnish.db"
CELLS = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\r"), max_size=12) | st.sampled_from(
    [
        "",
        " ",
        '"',
        "a,b",
        " x ",
        "1e-4",
        "010",
        "=1+1",
        "-x",
        "@a",
        'say "hi"',
        "two\nlines",
        "a\r\nb",
        "\x85\u2028",
        "café",
        "<<<<<<< x",
    ]
)


def jobs_of(table: Table) -> dict[JobId, Job]:
    return {
        row.id: Job(row.id, row.cells, Word(row.word) if row.word in Word.__members__ else Word.NOT_RUNNING)
        for row in table.rows
        if row.usable and row.id is not None
    }


def table(text: str) -> Table:
    return parse(text.encode())


def test_cells_are_the_text_that_was_typed() -> None:
    [row] = table(HEAD + '7,Hold,"a ""b"", c\nd", 1e-4\n').rows
    assert (row.id, row.word, row.cells, row.line) == (7, "HOLD", ('a "b", c\nd', " 1e-4"), 2)


def test_table_of_the_first_burnish_is_read_as_it_is() -> None:
    old = parse(OLD.read_bytes())
    assert old.problems == ()
    assert old.columns == ("--env", "--seed", "--lr")
    assert [(row.id, row.word) for row in old.rows] == [
        (0, "COMPLETE"), (1, "ERROR"), (2, "RUNNING"), (3, "NOT_RUNNING"), (4, ""),
    ]  # fmt: skip
    assert old.rows[0].cells == ("env1", "1", "0.0001")


def test_job_id_and_state_may_stand_anywhere() -> None:
    read = table("--lr,STATE,PRIORITY,JOB_ID,--b\n1e-4,ERROR,5,3,x\n")
    assert read.columns == ("--lr", "PRIORITY", "--b")
    assert read.rows[0][2:5] == (3, "ERROR", ("1e-4", "5", "x"))
    jobs = jobs_of(read)
    jobs[JobId(3)].word = Word.COMPLETE
    jobs[JobId(4)] = Job(JobId(4), ("a", "", "c,d"))
    assert render(read, jobs, read.columns).data.decode().splitlines()[1:] == [
        "1e-4,COMPLETE,5,3,x",
        'a,NOT_RUNNING,,4,"c,d"',
    ]


def test_blank_lines_and_rows_of_commas_are_no_jobs_and_stay() -> None:
    text = "\n" + HEAD + "0,HOLD,a,1\n\n ,,,\n1,HOLD,b,2\n,,,\n\n"
    read = table(text)
    assert [(row.id, row.line) for row in read.rows] == [(0, 3), (1, 6)]
    jobs = jobs_of(read)
    jobs[JobId(2)] = Job(JobId(2), ("c", "3"))
    assert render(read, jobs, read.columns).data.decode() == text.replace(
        "1,HOLD,b,2\n", "1,HOLD,b,2\n2,NOT_RUNNING,c,3\n"
    )


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_byte_order_mark_and_line_ends_are_kept(bom: str, newline: str) -> None:
    text = bom + HEAD.replace("\n", newline) + f"0,HOLD,a,1{newline}"
    read = table(text)
    jobs = jobs_of(read) | {JobId(1): Job(JobId(1), ("b", "2"))}
    assert render(read, jobs, read.columns).data.decode() == text + f"1,NOT_RUNNING,b,2{newline}"


def test_only_changed_fields_are_written_anew() -> None:
    text = HEAD + '"0", not_running ,"quoted","1e-4"\n1,hold,"x, y",010\n2,HOLD,z,"1"'
    read = table(text)
    jobs = jobs_of(read)
    jobs[JobId(0)].word = Word.RUNNING
    jobs[JobId(2)].cells = ('he said "no"', "1")
    jobs[JobId(3)] = Job(JobId(3), (" a ", "b\nc"))
    assert render(read, jobs, read.columns).data.decode() == (
        HEAD
        + '"0",RUNNING,"quoted","1e-4"\n1,hold,"x, y",010\n2,HOLD,"he said ""no""","1"\n3,NOT_RUNNING," a ","b\nc"\n'
    )


def test_rows_without_id_get_it_where_they_stand() -> None:
    read = table(HEAD + ",,a,1\n0,HOLD,b,2\n,hold,c,3\n")
    jobs = {
        JobId(0): Job(JobId(0), ("b", "2"), Word.HOLD),
        JobId(1): Job(JobId(1), ("a", "1")),
        JobId(2): Job(JobId(2), ("c", "3"), Word.HOLD),
    }
    drawn = render(read, jobs, read.columns, {0: JobId(1), 2: JobId(2)}, changed=())
    assert drawn.data.decode() == HEAD + "1,NOT_RUNNING,a,1\n0,HOLD,b,2\n2,hold,c,3\n"
    assert drawn.index == {0: 1, 1: 0, 2: 2}


def test_only_jobs_that_changed_are_looked_at() -> None:
    read = table(HEAD + "0,HOLD,a,1\n1,HOLD,b,2\n")
    jobs = jobs_of(read)
    jobs[JobId(0)].word = jobs[JobId(1)].word = Word.ERROR
    assert "0,ERROR,a,1\n1,HOLD,b,2\n" in render(read, jobs, read.columns, changed={JobId(0)}).data.decode()


def test_rows_that_cannot_be_read_stay_as_they_are_and_are_not_written_twice() -> None:
    text = HEAD + "0,HOLD,a\n1,runing,b,2\n1E+05,HOLD,c,3\n"
    read = table(text)
    jobs = {JobId(n): Job(JobId(n), cells) for n, cells in ((0, ("a", "1")), (1, ("b", "2")), (100000, ("c", "3")))}
    assert render(read, jobs, read.columns).data.decode() == text


def test_row_of_a_removed_job_stays() -> None:
    read = table(HEAD + "0,HOLD,a,1\n")
    jobs = jobs_of(read)
    jobs[JobId(0)].removed = True
    jobs[JobId(0)].word = Word.NOT_RUNNING
    assert render(read, jobs, read.columns) == read


def test_columns_of_others_come_in_and_go() -> None:
    read = table('JOB_ID,STATE,a,b\n0,HOLD,"1",2\n1,HOLD,3\n')
    job = Job(JobId(0), ("9", "1"), Word.HOLD)
    drawn = render(read, {JobId(0): job}, ("PRIORITY", "a"))
    assert drawn.data.decode() == 'JOB_ID,STATE,PRIORITY,a\n0,HOLD,9,"1"\n1,HOLD,3\n'
    assert parse(drawn.data).columns == ("PRIORITY", "a")


@given(st.lists(st.tuples(CELLS, CELLS), max_size=6), st.lists(st.tuples(CELLS, CELLS), max_size=6))
def test_cells_survive_the_file_exactly(first: list[tuple[str, str]], then: list[tuple[str, str]]) -> None:
    jobs = {JobId(n): Job(JobId(n), cells) for n, cells in enumerate(first)}
    drawn = render(None, jobs, ("--a", "b,c"))
    for n, cells in enumerate(then):
        jobs[JobId(n)] = Job(JobId(n), cells, Word.COMPLETE)
    drawn = render(drawn, jobs, ("--a", "b,c"))
    again = parse(drawn.data)
    assert again == drawn
    assert {row.id: row.cells for row in again.rows} == {job.id: job.cells for job in jobs.values()}


USUAL = ["1,HOLD,a,b", "1,hold,a,", "2,,x,y", "2,COMPLETE,x,y", "3,,z,", ",,new,", "4,,w,w"]
UNUSUAL = [
    "",
    ",,,",
    "03,,z,",
    "3,NO,z,",
    "3,,z",
    '1,,"a,b",c',
    '2,,"two',
    'lines",y',
    '3,,"z,',
    "2,,\rx,y",
    "2,,x,y\r",
    "<<<<<<< mine",
]
LINES = st.sampled_from([*USUAL, *UNUSUAL, HEAD.strip()])


@given(
    before=st.lists(LINES, max_size=5), after=st.lists(LINES, max_size=5), place=st.integers(0, 4), ends=st.booleans()
)
def test_text_is_the_same_whether_or_not_one_like_it_is_at_hand(
    before: list[str], after: list[str], place: int, ends: bool
) -> None:
    shared = ["1,,a,b", "2,,x,y", "3,,z,"]
    texts = [HEAD + "\n".join([*shared[:place], *lines, *shared[place:]]) + "\n" * ends for lines in (before, after)]
    try:
        like = parse(texts[0].encode())
    except InputError:
        return
    assert outcome(texts[1], like) == outcome(texts[1], None)


@pytest.mark.parametrize("saved", ["1,,b,\n0,,a,\n", "0,,a,\n0,,b,\n"], ids=["moved", "copied"])
def test_a_row_with_the_id_of_another_is_read_as_if_no_text_like_it_were_at_hand(saved: str) -> None:
    like = parse((HEAD + "0,,a,\n1,,b,\n").encode())
    assert outcome(HEAD + saved, like) == outcome(HEAD + saved, None)


def outcome(text: str, like: Table | None) -> Table | str:
    try:
        return parse(text.encode(), like=like)
    except InputError as error:
        return str(error)


def test_rows_that_a_save_left_alone_are_not_read_again() -> None:
    rows = [f"{job},,v{job},\n" for job in range(5)]
    like = parse((HEAD + "".join(rows)).encode())
    saved = parse((HEAD + "".join(rows).replace("v3", "typed")).encode(), like=like)
    assert [new is old for new, old in zip(saved.rows, like.rows, strict=True)] == [True, True, True, False, True]
    assert saved.rows[3].cells == ("typed", "")
    assert saved.sha256 != like.sha256
