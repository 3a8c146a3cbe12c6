"""Which text a person had before their eyes: an old buffer undoes nothing, a wish is obeyed, doubt keeps results."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from support.desk import Desk

from burnish.core.bases import Base, choose, kept
from burnish.core.events import HoldRequested, JobChanged, JobsAdded, ReleaseRequested, ResetRequested
from burnish.core.jobs import JobId
from burnish.core.table import parse


def long_desk(jobs: int = 30) -> Desk:
    return Desk("JOB_ID,STATE,x\n" + "".join(f"{n},,v{n}\n" for n in range(jobs)))


def test_old_buffer_undoes_no_result() -> None:
    desk = long_desk()
    old = desk.text
    for job in range(20):
        desk.complete(job)
    desk.edit("25,NOT_RUNNING,v25", "25,NOT_RUNNING,new", old)
    assert desk.facts == [JobChanged(25, {"x": "new"})]
    assert desk.word(3) == "COMPLETE"
    assert desk.row(3) == "3,COMPLETE,v3"
    assert desk.notices[0] == (
        "burnish.db:2: says NOT_RUNNING; job 0 is COMPLETE (exit 0). Kept COMPLETE. "
        "To run it again: burnish reset --job_id 0, or write RESET."
    )
    assert len(desk.notices) == 4


def test_old_buffer_undoes_no_edit() -> None:
    desk = long_desk()
    old = desk.text
    desk.edit("3,NOT_RUNNING,v3", "3,NOT_RUNNING,mine")
    desk.edit("4,NOT_RUNNING,v4", "4,HOLD,yours")
    desk.complete(5)
    desk.edit("6,NOT_RUNNING,v6", "6,NOT_RUNNING,late", old)
    assert desk.facts == [JobChanged(6, {"x": "late"})]
    assert (desk.row(3), desk.row(4)) == ("3,NOT_RUNNING,mine", "4,HOLD,yours")


def test_old_buffer_saved_unchanged_undoes_no_result() -> None:
    desk = long_desk()
    old = desk.text
    desk.complete(1)
    desk.complete(2, code=1)
    desk.save(old)
    assert desk.facts == []
    assert (desk.word(1), desk.word(2)) == ("COMPLETE", "ERROR")
    assert len(desk.notices) == 2


def test_not_running_over_a_result_reruns_when_it_can_be_no_old_buffer() -> None:
    desk = long_desk()
    desk.complete(1)
    desk.complete(2)
    desk.edit("1,COMPLETE", "1,NOT_RUNNING")
    assert desk.facts == [ResetRequested(1)]
    assert desk.notices == []


def test_not_running_over_the_last_result_is_in_doubt() -> None:
    desk = long_desk()
    desk.commit(HoldRequested(9))
    before = desk.text
    desk.start(1)
    desk.finish(1)
    assert desk.save(before).facts == []
    assert "Kept COMPLETE" in desk.notices[0]
    assert desk.word(1) == "COMPLETE"


def test_row_edited_in_an_old_buffer_does_not_run_again() -> None:
    """The old text and the newest are as near: the row that differs is the one that was edited."""
    desk = long_desk()
    old = desk.text
    desk.complete(1)
    desk.edit("\n1,NOT_RUNNING,v1\n", "\n1,NOT_RUNNING,new\n", old)
    assert desk.facts == [JobChanged(1, {"x": "new"})]
    assert "Kept COMPLETE" in " ".join(desk.notices)


def test_buffer_of_a_text_no_longer_kept_undoes_no_result() -> None:
    desk = long_desk()
    texts = [desk.text]
    for job in range(20):
        desk.start(job)
        desk.finish(job)
        texts.append(desk.text)
    desk.bases = [base for number, base in enumerate(desk.bases) if number in (0, 1, 13, 25) or number > 30]
    for age, old in enumerate(texts[:16]):
        desk.edit("29,NOT_RUNNING,v29", f"29,NOT_RUNNING,e{age}", old)
        assert [desk.word(job) for job in range(20)] == ["COMPLETE"] * 20
        assert not any(isinstance(fact, ResetRequested) for fact in desk.facts)
        assert desk.row(29) == f"29,NOT_RUNNING,e{age}"


def test_wish_is_obeyed_though_older_texts_are_no_longer_kept() -> None:
    desk = long_desk()
    for job in range(10):
        desk.complete(job)
    desk.bases = [base for number, base in enumerate(desk.bases) if number % 5 == 0 or number > 12]
    desk.edit("\n3,COMPLETE", "\n3,NOT_RUNNING")
    assert desk.facts == [ResetRequested(3)]


def test_edit_taken_back_is_taken_back() -> None:
    desk = long_desk()
    before = desk.text
    desk.edit("3,NOT_RUNNING,v3", "3,HOLD,other")
    desk.save(before)
    assert desk.facts == [JobChanged(3, {"x": "v3"}), ReleaseRequested(3)]
    assert desk.text == before


def test_edit_taken_back_in_a_buffer_that_results_overtook() -> None:
    desk = long_desk()
    before = desk.text
    desk.edit("3,NOT_RUNNING,v3", "3,NOT_RUNNING,other")
    desk.complete(8)
    desk.save(before)
    assert desk.facts == [JobChanged(3, {"x": "v3"})]
    assert desk.word(8) == "COMPLETE"


def test_row_added_and_deleted_again_is_gone() -> None:
    desk = long_desk()
    before = desk.text
    desk.save(before + ",,new\n")
    desk.edit("30,NOT_RUNNING,new\n", "")
    assert desk.state.jobs[desk.bases[0].table.rows[0].id].removed is False  # type: ignore[index]
    assert [job.id for job in desk.state.jobs.values() if job.removed] == [30]
    assert desk.text == before


def test_reset_in_a_text_saved_again_does_not_run_twice() -> None:
    desk = long_desk()
    desk.complete(1, code=1)
    desk.complete(2)
    buffer = desk.text.replace("\n1,ERROR", "\n1,RESET")
    desk.save(buffer)
    assert desk.facts == [ResetRequested(1)]
    desk.complete(1, code=1)
    desk.save(buffer)
    assert desk.facts == []
    assert desk.notices == [
        "burnish.db:3: says RESET; job 1 is ERROR (exit 1). Kept ERROR. To run it again: burnish reset --job_id 1."
    ]


def obeyed_and_overtaken(word: str) -> tuple[Desk, str]:
    """Job 1 was asked something by a save, which was done; then somebody edited job 7, and job 1 went on. And that first save."""
    desk = long_desk()
    if word == "RESET":
        desk.complete(1, code=1)
    elif word == "CANCEL":
        desk.start(1)
    stood = desk.row(1)
    buffer = desk.text.replace(f"\n{stood}\n", f"\n1,{word},v1\n")
    desk.save(buffer)
    if word == "CANCEL":
        desk.finish(1, code=1)
        desk.commit(ResetRequested(JobId(1)))
    elif word == "HOLD":
        desk.commit(ReleaseRequested(JobId(1)))
    desk.edit("7,NOT_RUNNING,v7", "7,NOT_RUNNING,other")
    desk.start(1)
    if word != "CANCEL":
        desk.finish(1, code=1)
    return desk, buffer


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("RESET", "job 1 is ERROR (exit 1). Kept ERROR. To run it again: burnish reset --job_id 1."),
        ("CANCEL", "job 1 is RUNNING. Kept RUNNING. To stop it: burnish cancel --job_id 1."),
        ("HOLD", "job 1 is ERROR (exit 1). Kept ERROR. To keep it out: burnish hold --job_id 1."),
    ],
)
def test_wish_in_a_text_saved_again_is_not_done_twice_though_somebody_edited_since(word: str, answer: str) -> None:
    desk, buffer = obeyed_and_overtaken(word)
    desk.save(buffer)
    assert desk.facts == [JobChanged(7, {"x": "v7"})]  # it may be that edit, taken back
    assert desk.notices == [f"burnish.db:3: says {word}; {answer}"]


def test_wish_in_a_text_saved_again_is_in_doubt_though_what_came_of_it_is_not_written_yet() -> None:
    asked, done, edited = (
        parse(f"JOB_ID,STATE,x\n0,{word},a\n1,,{x}\n".encode()) for word, x in [("RESET", "b"), ("", "b"), ("", "c")]
    )
    bases = [Base.of(asked, 0.0, saved=True), Base.of(done, 1.0, follows=asked.sha256)]
    bases.append(Base.of(edited, 2.0, follows=done.sha256, saved=True))
    choice = choose(bases, asked)
    assert (choice.base.sha256, choice.ambiguous) == (edited.sha256, {0})


def test_two_people_at_one_row_take_nothing_of_each_other_back() -> None:
    desk = Desk()
    old = desk.text
    desk.edit("1,NOT_RUNNING,b,2", "1,NOT_RUNNING,mine,2")
    desk.edit("1,NOT_RUNNING,b,2", "1,NOT_RUNNING,b,yours", old)
    assert desk.facts == [JobChanged(1, {"--seed": "yours"})]
    assert desk.row(1) == "1,NOT_RUNNING,mine,yours"


def test_text_without_the_row_is_not_the_nearest_of_two() -> None:
    desk = Desk("JOB_ID,STATE,--lr,--seed\n0,,a,1\n")
    desk.commit(JobsAdded(("--lr", "--seed"), ((JobId(1), "b", "2"),)))
    old = desk.text
    desk.edit("1,NOT_RUNNING,b,2", "1,NOT_RUNNING,mine,2")
    desk.edit("0,NOT_RUNNING,a", "0,NOT_RUNNING,other")
    desk.edit("1,NOT_RUNNING,b,2", "1,NOT_RUNNING,b,yours", old)
    assert desk.row(1) == "1,NOT_RUNNING,mine,yours"


def test_text_with_other_columns_is_not_the_nearest_of_two() -> None:
    renamed, other = (parse(f"JOB_ID,STATE,{text}\n".encode()) for text in ("lr\n0,,a\n1,,b", "x\n0,,a\n1,,c"))
    bases = [Base.of(renamed, 0.0), Base.of(other, 1.0, follows=renamed.sha256)]
    assert choose(bases, parse(b"JOB_ID,STATE,lr\n0,,a\n1,,c\n")).base.sha256 == renamed.sha256


def test_result_typed_by_hand_from_an_old_buffer_is_no_wish() -> None:
    desk = long_desk()
    desk.complete(1, code=1)
    desk.complete(2)
    old = desk.text
    desk.commit(ResetRequested(1))
    desk.edit("7,NOT_RUNNING,v7", "7,NOT_RUNNING,new", old)
    assert desk.facts == [JobChanged(7, {"x": "new"})]
    assert desk.word(1) == "NOT_RUNNING"


def test_nearest_text_is_the_base_and_the_newest_on_a_tie() -> None:
    texts = ["JOB_ID,STATE,x\n" + "".join(f"{n},{'HOLD' if n < k else ''},a\n" for n in range(9)) for k in range(6)]
    bases = [Base.of(parse(text.encode()), float(at)) for at, text in enumerate(texts)]
    for base, text in zip(bases, texts, strict=True):
        assert choose(bases, parse((text + "9,,b\n").encode())).base.sha256 == base.sha256
    stranger = parse(b"JOB_ID,STATE,y\n50,,q\n")
    assert choose(bases, stranger).base.sha256 == bases[-1].sha256


def test_rows_that_are_in_memory_are_not_read_again_for_a_save() -> None:
    desk = long_desk()
    newest = desk.bases[-1]
    assert choose(desk.bases, parse(desk.text.replace("v7", "new").encode())).base.table is newest.table


def test_texts_are_kept_by_age() -> None:
    hour, day = 3600, 86400
    now = 10.0 * day
    times = [now - 2 * day + n * 30.0 for n in range(2 * day // 30 + 1)]
    keep = sorted(kept(times, now))
    ages = [now - times[number] for number in keep]
    assert len([age for age in ages if age < 20 * 30]) == 20
    assert len([age for age in ages if age < hour]) == pytest.approx(60 + 10, abs=2)
    assert len([age for age in ages if age > hour]) == pytest.approx(23, abs=1)
    assert max(ages) < day
    assert kept([], now) == set()
    assert kept([now - 5 * day], now) == {0}


def base(lines: list[str], *, read: bool) -> Base:
    """A text of these rows, in memory or still to be read."""
    table = parse(("JOB_ID,STATE,x\n" + "".join(f"{line}\n" for line in lines)).encode())
    made = Base.of(table, 0.0)
    if read:
        made.forget()
    return made


@pytest.mark.parametrize("read", [False, True])
def test_what_differs_is_the_same_in_memory_and_read_and_over_texts_no_longer_kept(read: bool) -> None:
    draw = Random(7)
    for _ in range(50):
        rows = [f"{job},,{job % 3}" for job in range(8)]
        texts = [rows]
        for _ in range(3):
            rows = [f"{row.partition(',')[0]},,{draw.randrange(3)}" if draw.random() < 0.4 else row for row in rows]
            texts.append([*rows, f"{len(rows)},,0"] if draw.random() < 0.3 else rows)
        first, *between, last = (base(text, read=read) for text in texts)
        for one, other in pairwise([first, *between, last]):
            one.step_from(other)
        for passed in between:
            first.step_over(passed)
        remembered = first.step_from(last)
        assert remembered == base(texts[0], read=True).step_from(last)
        assert remembered == (frozenset(texts[-1]) - frozenset(texts[0]), frozenset(texts[0]) - frozenset(texts[-1]))


HELD = "Held. (An older text of the table may have been saved. To let it go on: burnish release --job_id 0.)"
RELEASED = "Released. (An older text of the table may have been saved. To keep it out: burnish hold --job_id 0.)"


@pytest.mark.parametrize("word", ["HOLD", "CANCEL"])
def test_what_is_typed_again_in_a_text_of_before_is_done_and_named(word: str) -> None:
    """To the byte what was saved before: it may be an editor that still holds that. Nothing is lost by doing it."""
    desk = Desk("JOB_ID,STATE,x\n0,,a\n")
    for _ in range(2):
        desk.edit("NOT_RUNNING", word)
        assert desk.word(0) == "HOLD"
        held, said = desk.text, desk.notices
        desk.commit(ReleaseRequested(JobId(0)))
    assert said == [f"burnish.db:2: says {word}; job 0 was NOT_RUNNING. {HELD}"]
    desk.complete(0)
    desk.save(held)
    assert desk.word(0) == "COMPLETE"


def test_word_typed_over_what_a_command_did_is_done_and_named() -> None:
    for edit in (
        "0,NOT_RUNNING,a",
        "0,NOT_RUNNING,b",
    ):  # as it stood before that, to the byte, or with an edit beside it
        desk = Desk("JOB_ID,STATE,x\n0,,a\n")
        desk.commit(HoldRequested(JobId(0)))
        desk.edit("0,HOLD,a", edit)
        assert desk.row(0) == edit
        assert desk.notices == [f"burnish.db:2: says NOT_RUNNING; job 0 was HOLD. {RELEASED}"]


def test_old_buffer_saved_unchanged_removes_no_rows_that_a_command_added() -> None:
    desk = long_desk()
    old = desk.text
    desk.commit(JobsAdded(("x",), ((JobId(30), "new"),)))
    desk.commit(HoldRequested(JobId(3)))
    desk.save(old)
    assert desk.facts == []
    assert (desk.row(30), desk.word(3)) == ("30,NOT_RUNNING,new", "HOLD")


def test_held_job_stays_so_in_an_old_buffer_that_others_went_on_from() -> None:
    desk = long_desk()
    old = desk.text
    desk.commit(HoldRequested(JobId(3)))
    desk.edit("7,NOT_RUNNING,v7", "7,NOT_RUNNING,new", old)
    assert (desk.word(3), desk.facts) == ("HOLD", [JobChanged(7, {"x": "new"})])
    old = desk.text
    desk.commit(ReleaseRequested(JobId(3)))
    desk.complete(8)
    desk.save(old)
    assert (desk.word(3), desk.word(8)) == ("NOT_RUNNING", "COMPLETE")
    assert "job 3 is NOT_RUNNING. Kept NOT_RUNNING. To keep it out: burnish hold --job_id 3." in desk.notices[0]


@pytest.mark.parametrize("word", ["COMPLETE", "ERROR"])
def test_refused_word_leaves_no_doubt_behind(word: str) -> None:
    """The text that stands there again after it stood there before: nothing was forgotten between the two."""
    desk = long_desk(8)
    desk.start(0)
    desk.edit("5,NOT_RUNNING", "5,RUNNING")
    assert "only burnish writes RUNNING" in desk.notices[0]
    desk.edit("5,NOT_RUNNING", f"5,{word}")
    assert (desk.word(5), desk.notices) == (word, [])


def test_text_forgotten_before_one_that_stands_there_again_leaves_doubt() -> None:
    """A buffer of the forgotten text would read like this save, and rerun what has ended."""
    first, forgotten, ended = (
        parse(f"JOB_ID,STATE,x\n0,{job},{x}\n1,,a\n2,,{y}\n".encode())
        for job, x, y in (("", "a", "a"), ("NOT_RUNNING", "b", "b"), ("COMPLETE", "b", "b"))
    )
    refused = parse(ended.data.replace(b"1,,a", b"1,RUNNING,a"))
    followed = frozenset([forgotten.sha256])
    bases = [Base.of(first, 0.0), Base.of(refused, 3.0, follows=ended.sha256, saved=True)]
    bases.append(Base.of(ended, 4.0, follows=refused.sha256, followed=followed))
    assert choose(bases, forgotten).ambiguous == {0}
    bases[-1].followed = frozenset([first.sha256])
    assert choose(bases, forgotten).ambiguous == frozenset()


def test_cancel_typed_again_in_a_text_of_before_says_how_to_insist() -> None:
    desk = Desk("JOB_ID,STATE,x\n0,,a\n")
    desk.start(0)
    desk.edit("RUNNING", "CANCEL")
    desk.finish(0, code=1)
    desk.commit(ResetRequested(JobId(0)))
    desk.start(0)
    desk.edit("RUNNING", "CANCEL")
    assert desk.facts == []
    assert desk.notices == [
        "burnish.db:2: says CANCEL; job 0 is RUNNING. Kept RUNNING. To stop it: burnish cancel --job_id 0."
    ]


def test_old_buffer_undoes_no_result_that_stood_in_a_save_without_ids() -> None:
    desk = Desk("JOB_ID,STATE,x\n0,,a\n1,,b\n")
    old = desk.text + ",,new\n"
    desk.save(old)
    desk.complete(0)
    desk.save(desk.text.replace("\n", "\r\n"))
    head, *rows = desk.text.splitlines(keepends=True)
    desk.save(head + "".join("," + row.partition(",")[2] for row in rows))
    desk.save(old)
    assert desk.word(0) == "COMPLETE"
    assert desk.text.count("\n") == 4
