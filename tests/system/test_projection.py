"""Edits during a run, with two processes that keep one table: every edit is taken in once, no result is undone."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from support.kept_table import SAVES, TEXT, KeptTable, kept_table, renaming, truncating
from support.waiting import wait_for

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import JobId
from burnish.errors import StoreError
from burnish.session import Session
from burnish.store.journal import Decide
from burnish.store.paths import Paths

Save = Callable[[Path, str], None]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[KeptTable]:
    with kept_table(tmp_path) as kept:
        yield kept


every_save = pytest.mark.parametrize("save", SAVES, ids=lambda save: save.__name__)


@every_save
def test_an_edit_is_taken_in_by_all_and_committed_once(table: KeptTable, save: Save) -> None:
    before = table.at_rest()[0]["commits"]
    save(table.path, TEXT.replace("3,NOT_RUNNING,0.3", "3,HOLD,1e-4").replace("5,NOT_RUNNING", "5,RESET"))
    table.until(lambda reports: all(r["jobs"]["3"] == ["HOLD", "1e-4", "as typed"] for r in reports))
    after = table.at_rest()
    assert table.row(3) == "3,HOLD,1e-4,as typed"
    assert table.row(5) == "5,NOT_RUNNING,0.5,as typed"
    assert [r["skipped"] for r in after] == [[], []]
    assert after[0]["commits"] <= before + 3  # the save, and the text that answers it, which two may have begun


@every_save
def test_no_text_is_named_while_a_save_is_in_its_way(table: KeptTable, save: Save) -> None:
    table.at_rest()
    ran = table.ask(0, "run 0")
    save(table.path, table.text.replace("3,NOT_RUNNING", "3,HOLD"))
    assert table.ask(0, "render")["commits"] == ran["commits"]
    table.until_text("0,COMPLETE,0.0,as typed\n", "3,HOLD,0.3,as typed\n")


def test_results_show_in_the_table_and_untouched_rows_stay_byte_for_byte(tmp_path: Path) -> None:
    odd = TEXT.replace("2,NOT_RUNNING,0.2,as typed\n", '2 , "not_running",  0.2,"as ""typed"""\r\n')
    with kept_table(tmp_path, text=odd) as table:
        table.ask(0, "run 0")
        table.ask(1, "turn")
        table.ask(1, "run 4")
        table.until_text("0,COMPLETE,0.0,as typed\n", "4,COMPLETE,0.4,as typed\n")
        assert table.path.read_bytes().decode() == odd.replace("0,NOT_RUNNING", "0,COMPLETE").replace(
            "4,NOT_RUNNING", "4,COMPLETE"
        )


@every_save
def test_a_stale_buffer_undoes_no_result_and_its_edit_survives(table: KeptTable, save: Save) -> None:
    buffer = table.text
    for job in range(3):
        table.turn()
        table.ask(job % 2, f"run {job}")
        table.until_text(f"{job},COMPLETE")
    save(table.path, buffer.replace("1,NOT_RUNNING,0.1,as typed", "1,NOT_RUNNING,0.1,edited late"))
    table.until_text("1,COMPLETE,0.1,edited late")
    table.at_rest()
    assert [table.row(job) for job in range(3)] == [
        "0,COMPLETE,0.0,as typed",
        "1,COMPLETE,0.1,edited late",
        "2,COMPLETE,0.2,as typed",
    ]


@every_save
def test_a_row_without_an_id_becomes_one_job_however_often_its_buffer_is_saved(table: KeptTable, save: Save) -> None:
    buffer = TEXT + ",,7,new\n"
    save(table.path, buffer)
    table.until_text("6,NOT_RUNNING,7,new")
    table.ask(0, "turn")
    table.ask(0, "run 6")
    table.until_text("6,COMPLETE,7,new")
    save(table.path, buffer)
    table.until_text("6,COMPLETE,7,new")
    assert list(table.at_rest()[0]["jobs"]) == [str(job) for job in range(7)]


def test_a_save_into_the_file_that_was_just_replaced_is_taken_in(table: KeptTable) -> None:
    with table.path.open("r+") as editor:
        table.ask(0, "run 0")
        table.until_text("0,COMPLETE")
        editor.truncate(0)
        editor.write(TEXT.replace("2,NOT_RUNNING,0.2,as typed", "2,NOT_RUNNING,0.2,into nowhere"))
    table.until_text("0,COMPLETE,0.0,as typed", "2,NOT_RUNNING,0.2,into nowhere")


def test_a_save_under_a_name_that_a_power_loss_left_undoes_no_later_save(tmp_path: Path) -> None:
    """A loss of power, or `kill -9` between link and rename, may leave the table a second name, as if it had been displaced."""
    with kept_table(tmp_path, processes=1) as before:
        before.at_rest()
    os.link(before.path, tmp_path / ".burnish" / "burnish.db" / f"displaced-{0:016x}")
    first = TEXT.replace("1,NOT_RUNNING,0.1,as typed", "1,NOT_RUNNING,0.1,in place") + ",,7,new\n"
    truncating(before.path, first)
    renaming(before.path, first.replace("1,in place", "1,by rename").replace("2,as typed", "2,by rename"))
    after = KeptTable(before.path, 1)
    try:
        after.at_rest()
        wanted = ["0.1,by rename", "0.2,by rename", "7,new"]
        assert [after.row(job).split(",", 2)[2] for job in (1, 2, 6)] == wanted, (after.text, after.said)
        assert len(after.text.splitlines()) == 8
    finally:
        after.end()


def test_an_edit_that_was_merged_and_not_yet_shown_when_its_run_died_is_not_taken_back(tmp_path: Path) -> None:
    """The edit went into the file that had just been replaced; the table itself still shows the text before it."""
    path = tmp_path / "burnish.db"
    path.write_text(TEXT)
    dead = Session.open(Paths.of(str(path), str(tmp_path / "logs")), lambda notice: None)
    with path.open("r+") as editor:
        dead.journal.commit(lambda state: [events.HoldRequested(0)])
        dead.settle()
        editor.truncate(0)
        editor.write(TEXT.replace("2,NOT_RUNNING,0.2,as typed", "2,NOT_RUNNING,0.2,into nowhere"))

    def merged() -> bool:
        dead.projection.look()
        return "into nowhere" in dead.state.jobs[JobId(2)].cells

    wait_for(merged, lambda: dead.state.jobs[JobId(2)])
    assert "into nowhere" not in path.read_text()  # and here it dies
    next_run = KeptTable(path, 1)
    try:
        next_run.at_rest()
        assert next_run.row(2) == "2,NOT_RUNNING,0.2,into nowhere", next_run.said
    finally:
        next_run.end()


@every_save
def test_a_save_is_on_disk_before_the_journal_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Save
) -> None:
    """Else a loss of power could leave the text before it, and the next run would take that for the save taken back."""
    path = tmp_path / "burnish.db"
    path.write_text(TEXT)
    run = Session.open(Paths.of(str(path), str(tmp_path / "logs")), lambda notice: None)
    save(path, TEXT.replace("2,NOT_RUNNING,0.2,as typed", "2,NOT_RUNNING,0.2,edited"))
    synced = _synced(monkeypatch)
    run.sync()
    assert "edited" in run.state.jobs[JobId(2)].cells
    assert synced[:2] == [str(path), str(tmp_path)] and any("/log/" in name for name in synced[2:]), synced


@every_save
def test_a_save_is_on_disk_before_a_journal_is_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Save
) -> None:
    """Else a loss of power could leave the text before it in the file that burnish has just replaced: a save, to the next run."""
    path = tmp_path / "burnish.db"
    path.write_text(TEXT)
    save(path, TEXT.replace("2,NOT_RUNNING,0.2,as typed", "2,NOT_RUNNING,0.2,edited"))
    synced = _synced(monkeypatch)
    run = Session.open(Paths.of(str(path), str(tmp_path / "logs")), lambda notice: None)
    assert "edited" in run.state.jobs[JobId(2)].cells
    assert str(path) in synced, synced
    place = synced.index(str(path))
    assert synced[place + 1] == str(tmp_path), synced
    assert ["/log/" in name for name in synced].index(True) > place, synced


def _synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is synced from now on, in order."""
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return synced


def test_a_save_that_the_disk_kept_from_being_merged_is_merged_once_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "burnish.db"
    path.write_text(TEXT)
    run = Session.open(Paths.of(str(path), str(tmp_path / "logs")), lambda notice: None)
    renaming(path, TEXT.replace("2,NOT_RUNNING,0.2,as typed", "2,NOT_RUNNING,0.2,edited"))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as harmed:
        harmed.setattr(os, "fsync", full)
        wait_for(
            lambda: any("the disk is full" in said for said in run.projection.look()), lambda: run.projection.look()
        )
    assert "edited" not in run.state.jobs[JobId(2)].cells

    def merged() -> bool:
        run.projection.look()
        return "edited" in run.state.jobs[JobId(2)].cells

    wait_for(merged, lambda: run.state.jobs[JobId(2)])


@pytest.mark.parametrize("moment", ["the disk was full", "between look and commit"])
def test_a_save_that_others_have_merged_and_gone_on_from_does_not_take_back_what_came_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """A run has read a save and is then stopped for a while, or cannot commit; meanwhile another run keeps the table."""
    path = tmp_path / "burnish.db"
    path.write_text(TEXT)
    paths = Paths.of(str(path), str(tmp_path / "logs"))
    late, other = (Session.open(paths, lambda notice: None) for _ in range(2))
    first = TEXT.replace("2,NOT_RUNNING,0.2,as typed", "2,NOT_RUNNING,0.2,first")
    commit = late.journal.commit

    def full(decide: object) -> NoReturn:
        raise StoreError("the disk is full")

    def stopped(decide: Decide) -> list[Fact]:
        monkeypatch.undo()
        go_on()
        late.journal.catch_up()
        return commit(decide)

    def go_on() -> None:
        other.sync()
        renaming(path, first.replace("4,NOT_RUNNING,0.4,as typed", "4,NOT_RUNNING,0.4,second"))
        other.sync()
        other.journal.commit(lambda state: [events.HoldRequested(0)])
        other.settle()
        assert cells(other) == ["first", "second"]

    def cells(run: Session) -> list[str]:
        return [run.state.jobs[JobId(job)].cells[-1] for job in (2, 4)]

    renaming(path, first)
    monkeypatch.setattr(late.journal, "commit", full if moment == "the disk was full" else stopped)
    late.sync()
    if moment == "the disk was full":
        monkeypatch.undo()
        go_on()
        late.projection.look()  # which does not wait until what stands there now stands still
    late.sync()
    assert cells(late) == ["first", "second"]
    assert late.journal.number == other.journal.number  # and it was never otherwise: a job might have started


def test_a_save_into_a_replaced_file_that_others_have_merged_does_not_take_back_what_came_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run cannot commit what it found in the file that it had replaced; a run that starts finds it as well."""
    path = tmp_path / "burnish.db"
    path.write_text(TEXT)
    paths = Paths.of(str(path), str(tmp_path / "logs"))
    late = Session.open(paths, lambda notice: None)
    first = TEXT.replace("2,NOT_RUNNING,0.2,as typed", "2,NOT_RUNNING,0.2,first")
    with path.open("r+") as editor:
        late.journal.commit(lambda state: [events.HoldRequested(0)])
        late.settle()
        editor.truncate(0)
        editor.write(first)

    def full(decide: object) -> NoReturn:
        raise StoreError("the disk is full")

    with monkeypatch.context() as harmed:
        harmed.setattr(late.journal, "commit", full)
        wait_for(lambda: "the disk is full" in late.projection.look(), late.projection.look)
    other = Session.open(paths, lambda notice: None)
    other.sync()
    other.settle()
    renaming(path, path.read_text().replace("4,NOT_RUNNING,0.4,as typed", "4,NOT_RUNNING,0.4,second"))
    other.sync()
    late.sync()
    assert [late.state.jobs[JobId(job)].cells[-1] for job in (2, 4)] == ["first", "second"]
    assert late.journal.number == other.journal.number


# -- a table that is gone or cannot be read --------------------------------------------------------------------------


def test_a_table_that_was_deleted_is_written_again(table: KeptTable) -> None:
    table.ask(0, "run 0")
    table.until_text("0,COMPLETE")
    table.path.unlink()
    table.turn()
    table.ask(0, "run 1")
    table.until_text("0,COMPLETE", "1,COMPLETE")
    assert table.text == TEXT.replace("0,NOT_RUNNING", "0,COMPLETE").replace("1,NOT_RUNNING", "1,COMPLETE")
    sentence = f"{table.path}: the file is gone. It is written again from the journal."
    assert sentence in [*table.said[0], *table.said[1]]
    assert all(r["readable"] for r in table.at_rest())


def test_a_table_that_was_deleted_stands_there_at_the_end_of_a_run(tmp_path: Path) -> None:
    with kept_table(tmp_path, processes=1) as table:
        table.path.unlink()
        table.ask(0, "run 1")
        table.ask(0, "finish")
        assert "1,COMPLETE" in table.text


BROKEN = TEXT.replace("0.2,as typed", '0.2,"as typed')


@pytest.mark.parametrize("save", SAVES[:2], ids=lambda save: save.__name__)
def test_a_table_that_cannot_be_read_stops_new_starts_and_is_left_alone(table: KeptTable, save: Save) -> None:
    for job in range(2):  # it is said again when it happens again
        said = [len(said) for said in table.said]
        save(table.path, BROKEN)
        table.until(lambda reports: not any(r["readable"] for r in reports))
        table.ask(0, "turn")
        table.ask(0, f"run {job}")
        commits = table.turn()[0]["commits"]
        for _ in range(5):
            table.turn()
        assert table.ask(0, "finish")["commits"] == commits
        assert table.text == BROKEN
        for keeper, before in enumerate(said):
            new = table.said[keeper][before:]
            assert len(new) == 1
            assert new[0].startswith(f"{table.path}:4")
            assert new[0].endswith("Nothing new is started until this is fixed; running jobs go on.")
        save(table.path, TEXT)
        table.until_text(f"{job},COMPLETE")
        assert all(r["readable"] for r in table.at_rest())
        assert all(f"{table.path} can be read again." in said[-2:] for said in table.said)


def test_a_row_that_cannot_be_read_is_skipped_until_it_is_mended(table: KeptTable) -> None:
    table.path.write_text(TEXT.replace("3,NOT_RUNNING,0.3,as typed", "3,NOT_RUNNING,0.3,as,typed"))
    table.until(lambda reports: all(r["skipped"] == [3] for r in reports))
    for said in table.said:
        assert said[-1].startswith(f"{table.path}:5: ") and said[-1].endswith("This row is skipped; 5 others go on.")
    table.ask(0, "run 0")
    table.until_text("0,COMPLETE")
    assert "3,NOT_RUNNING,0.3,as,typed" in table.text
    table.path.write_text(table.text.replace("as,typed", "mended"))
    reports = table.until(lambda reports: all(r["skipped"] == [] for r in reports))
    assert [r["jobs"]["3"] for r in reports] == [["NOT_RUNNING", "0.3", "mended"]] * 2
    assert table.row(0) == "0,COMPLETE,0.0,as typed"


def test_a_job_whose_id_was_spoilt_is_passed_over_until_it_is_mended(table: KeptTable) -> None:
    table.path.write_text(TEXT.replace("\n3,", "\n3.0,"))
    table.until(lambda reports: all(r["skipped"] == [3] for r in reports))
    for said in table.said:
        assert said[-1].endswith("5 others go on. It reads like job 3, which is not started until the row is mended.")
    table.ask(0, "run 0")
    table.until_text("0,COMPLETE")
    assert [r["skipped"] for r in table.at_rest()] == [[3], [3]]
    table.path.write_text(table.text.replace("\n3.0,", "\n3,"))
    table.until(lambda reports: all(r["skipped"] == [] for r in reports))
    assert table.text == TEXT.replace("0,NOT_RUNNING", "0,COMPLETE")


def test_a_save_that_breaks_off_takes_nothing_away_and_the_table_is_written_again(table: KeptTable) -> None:
    odd = TEXT.replace("0,NOT_RUNNING", "0,hold")  # the person's spelling stays
    table.path.write_text(odd)
    table.until(lambda reports: all(r["jobs"]["0"][0] == "HOLD" for r in reports))
    standing = table.at_rest() and table.text
    for whole in (standing, standing.replace("1,NOT_RUNNING,0.1", "1,HOLD,edited")):
        table.path.write_text(whole[:-40])
        table.until(lambda _: table.text == standing)
    assert len(table.at_rest()[0]["jobs"]) == 6
    assert any("breaks off in the middle of this row" in sentence for said in table.said for sentence in said)


def test_edits_survive_even_where_the_kept_texts_were_removed(table: KeptTable) -> None:
    table.ask(0, "run 0")
    table.until_text("0,COMPLETE")
    for path in (table.path.parent / ".burnish" / "burnish.db" / "bases").iterdir():
        path.unlink()
    table.path.write_text(TEXT.replace("1,NOT_RUNNING,0.1", "1,HOLD,edited"))
    table.until_text("0,COMPLETE,0.0,as typed", "1,HOLD,edited,as typed")


# -- the end -----------------------------------------------------------------------------------------------------------


def test_the_end_of_a_run_takes_in_what_was_just_saved_and_shows_the_results(table: KeptTable) -> None:
    table.ask(0, "run 0")
    table.path.write_text(TEXT.replace("2,NOT_RUNNING,0.2", "2,HOLD,0.2"))
    table.ask(0, "finish")
    assert (table.row(0), table.row(2)) == ("0,COMPLETE,0.0,as typed", "2,HOLD,0.2,as typed")


def test_what_the_disk_refuses_is_said_and_the_run_goes_on(tmp_path: Path) -> None:
    with kept_table(tmp_path, processes=1) as table:
        bases = tmp_path / ".burnish" / "burnish.db" / "bases"
        os.rename(bases, tmp_path / "bases")
        table.ask(0, "run 0")
        table.until(lambda _: table.said[0])
        (sentence,) = table.said[0]
        assert "burnish's own files: there is no such file or folder. The table stays as it was." in sentence
        assert table.text == TEXT
        os.rename(tmp_path / "bases", bases)
        table.ask(0, "finish")
        assert table.row(0) == "0,COMPLETE,0.0,as typed"


def test_burnishs_own_folder_is_not_made_anew_for_its_lock(table: KeptTable) -> None:
    table.ask(0, "run 0")
    shutil.rmtree(table.path.parent / ".burnish")
    assert table.ask(0, "render")["refused"].endswith("Nothing more is written.")
    assert os.listdir(table.path.parent) == ["burnish.db"]


def test_a_table_that_was_cleaned_is_not_made_anew(table: KeptTable) -> None:
    table.ask(0, "run 0")
    shutil.rmtree(table.path.parent / ".burnish")
    table.path.unlink()
    for _ in range(3):
        assert table.ask(0, "turn")["refused"].endswith("Nothing more is written.")
        assert table.ask(1, "finish")["refused"].endswith("Nothing more is written.")
    assert list(table.path.parent.iterdir()) == []
