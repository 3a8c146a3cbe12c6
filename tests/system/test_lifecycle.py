"""How a table begins and ends: taken over, made, added to, replaced and cleaned, with kill -9 and rivals in between."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from support import strace
from support.sweeps import Sweep

from burnish import cleaning, creation
from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import AttemptId, JobId, Word
from burnish.core.state import State
from burnish.core.sweep import Grid
from burnish.core.table import Table
from burnish.errors import StoreError, TableClosed, UsageError
from burnish.projection import Projection
from burnish.session import Session
from burnish.store.journal import Journal
from burnish.store.paths import Paths
from burnish.store.table_file import TableFile

OLD = "JOB_ID,STATE,--lr\n0,COMPLETE,1\n1,ERROR,2\n2,RUNNING,3\n,,4\n,,4\n"
CHANGES = ("linkat", "link", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat")


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return Paths.of(str(tmp_path / "table" / "burnish.db"), str(tmp_path / "table" / "burnish_log"))


def opened(paths: Paths) -> Session:
    return Session.open(paths, lambda sentence: None)


def grid(*cells: str) -> Grid:
    return Grid(("--lr",), tuple((cell,) for cell in cells), ())


def made(paths: Paths, *cells: str) -> None:
    paths.db.parent.mkdir(exist_ok=True)
    creation.create(paths, lambda sentence: None, grid(*cells), append=False, force=False)


def burnish(verb: Sequence[str], folder: Path) -> list[str]:
    """The command line of a verb about the table in `folder`."""
    where = ["--db_file", str(folder / "burnish.db"), "--log_dir", str(folder / "burnish_log")]
    return [sys.executable, "-m", "burnish", *verb, *where]


def killed_at_each(verb: Sequence[str], folder: Path, log: Path) -> dict[strace.Point, Path]:
    """Copies of the table's `folder`, in each of which `burnish VERB` was killed at another one of its changes to files."""
    whole = Path(shutil.copytree(folder, folder.with_name("traced")))
    found = {}
    for point in strace.changes(burnish(verb, whole), CHANGES, str(whole), log):
        found[point] = Path(shutil.copytree(folder, folder.with_name(f"{folder.name} {point}")))
        done = strace.harmed(burnish(verb, found[point]), point, "signal=KILL")
        assert done.returncode in (-9, 137), f"{point}: {done.stdout}{done.stderr}"
    return found


# -- taking over -----------------------------------------------------------------------------------------------------


def test_a_table_without_a_journal_keeps_its_results_and_holds_what_ran(paths: Paths) -> None:
    paths.db.parent.mkdir()
    paths.db.write_text(OLD)
    said: list[str] = []
    state = Session.open(paths, said.append).state
    assert {job.id: (str(job.word), job.reason) for job in state.listed()} == {
        0: ("COMPLETE", "from the file"),
        1: ("ERROR", "from the file"),
        2: ("HOLD", "found as RUNNING"),
        3: ("NOT_RUNNING", ""),
        4: ("NOT_RUNNING", ""),
    }
    assert len(said) == 1 and "1 job stands there as RUNNING (2), but no journal here knows of a start" in said[0]
    assert (
        paths.db.read_text()
        == "JOB_ID,STATE,--lr\n0,COMPLETE,1\n1,ERROR,2\n2,HOLD,3\n3,NOT_RUNNING,4\n4,NOT_RUNNING,4\n"
    )


def test_a_take_over_killed_anywhere_is_gone_on_with_and_makes_no_job_twice(paths: Paths, tmp_path: Path) -> None:
    paths.db.parent.mkdir()
    paths.db.write_text(OLD)
    os.utime(paths.db, (1, 1))
    whole = opened(Paths.of(str(shutil.copytree(paths.db.parent, tmp_path / "whole") / "burnish.db"), "logs"))
    killed = killed_at_each(["release", "--job_id", "0"], paths.db.parent, tmp_path / "log")  # there is none to release
    assert len(killed) > 8
    for point, folder in killed.items():
        session = opened(Paths.of(str(folder / "burnish.db"), "logs"))
        session.settle()
        assert [(job.id, job.word, job.cells) for job in session.state.listed()] == [
            (job.id, job.word, job.cells) for job in whole.state.listed()
        ], str(point)
        assert (folder / "burnish.db").read_text() == whole.paths.db.read_text(), str(point)


def test_who_is_slower_in_taking_over_opens_what_the_other_made(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.db.parent.mkdir()
    paths.db.write_text(OLD)
    exists = creation.Journal.exists
    rivals: list[Session] = []

    def too_early(root: Path) -> bool:
        found = exists(root)
        if not rivals:
            rivals.append(Session.bare(paths, lambda sentence: None))
            rivals[0]._take_over()
        return found

    monkeypatch.setattr(creation.Journal, "exists", too_early)
    slow = opened(paths)
    assert slow.state.table == rivals[0].state.table
    assert len(list(slow.state.listed())) == 5


# -- creating --------------------------------------------------------------------------------------------------------


def test_a_table_is_made_once(paths: Paths) -> None:
    made(paths, "1", "2")
    assert paths.db.read_text() == "JOB_ID,STATE,--lr\n0,NOT_RUNNING,1\n1,NOT_RUNNING,2\n"
    with pytest.raises(UsageError, match="exists already"):
        made(paths, "3")
    assert "3" not in paths.db.read_text()


def test_appending_is_decided_on_what_another_appended_meanwhile(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    made(paths, "1")
    slow = opened(paths)
    creation._append(opened(paths), grid("1", "2", "3"))
    assert creation._append(slow, grid("3", "4")) == ["1 new, 1 already present."]
    assert [job.cells for job in opened(paths).state.listed()] == [("1",), ("2",), ("3",), ("4",)]


def running(paths: Paths) -> AttemptId:
    attempt = AttemptId(JobId(0), 1)
    claim = events.AttemptClaimed(attempt, "9f86d081", "me", "h", "s", "i", {}, (0,), (), ("true",), "log", 1.0)
    opened(paths).journal.commit(lambda state: [claim, events.AttemptStarted(attempt, 1, 1.0)])
    return attempt


def test_a_table_with_running_jobs_is_not_replaced(paths: Paths) -> None:
    made(paths, "1")
    running(paths)
    text = paths.db.read_text()
    with pytest.raises(UsageError, match="Job 0 is running"):
        creation.create(paths, lambda sentence: None, grid("2"), append=False, force=True)
    assert paths.db.read_text() == text
    assert opened(paths).state.closed_by is None


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed by a clean that was killed"])
def test_a_table_is_replaced_and_the_old_one_kept(paths: Paths, closed: bool) -> None:
    made(paths, "1")
    if closed:
        opened(paths).journal.commit(lambda state: [events.TableClosed("ann")])
    creation.create(paths, lambda sentence: None, grid("2"), append=False, force=True)
    assert paths.db.read_text() == "JOB_ID,STATE,--lr\n0,NOT_RUNNING,2\n"
    assert Path(f"{paths.db}.bak").read_text() == "JOB_ID,STATE,--lr\n0,NOT_RUNNING,1\n"
    assert len(list(paths.root.parent.glob("burnish.db.*.bak"))) == 1
    assert [job.cells for job in opened(paths).state.listed()] == [("2",)]


# -- cleaning --------------------------------------------------------------------------------------------------------


def logged(paths: Paths) -> None:
    """A table of two jobs with a log."""
    made(paths, "1", "2")
    paths.make_log_dir()
    refused = events.AttemptRefused(AttemptId(JobId(0), 1), "me", "the runner raised", "20260101-000000_job_0", 1.0)
    session = opened(paths)
    session.journal.commit(lambda state: [refused])
    session.settle()
    paths.log("20260101-000000_job_0", "err").write_text("Traceback")
    (paths.log_dir.parent / "mine.txt").write_text("not burnish's")


def cleaned(paths: Paths, **options: bool) -> str:
    session = cleaning.opened(paths, lambda sentence: None)
    plan = cleaning.plan(session, keep_db=options.get("keep_db", False), older_than=None, unreachable=[])
    return cleaning.carry_out(session, plan)


def left(paths: Paths) -> list[str]:
    return sorted(str(path.relative_to(paths.db.parent)) for path in paths.db.parent.rglob("*"))


def test_clean_removes_what_is_burnishs_and_nothing_else(paths: Paths) -> None:
    logged(paths)
    assert cleaned(paths) == f"Removed 1 log file. {paths.shown} is gone."
    assert left(paths) == ["burnish_log", "burnish_log/mine.txt"]


def test_a_kept_table_can_be_opened_again(paths: Paths) -> None:
    logged(paths)
    cleaned(paths, keep_db=True)
    assert left(paths) == ["burnish.db", "burnish_log", "burnish_log/mine.txt"]
    assert [str(job.word) for job in opened(paths).state.listed()] == ["ERROR", "NOT_RUNNING"]


KILLED_BEFORE_IT_SHOWS = """
import os, signal
from burnish import projection
from burnish.__main__ import main

keep = projection.BaseTexts.keep
def ends(self, table, *rest, **more):
    if b"COMPLETE" in table.data:
        os.kill(os.getpid(), signal.SIGKILL)
    return keep(self, table, *rest, **more)
projection.BaseTexts.keep = ends
main()
"""


def test_a_kept_table_has_the_verdicts_of_a_run_that_was_killed_before_it_wrote_them(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 1, fates=["ok"])
    sweep.program = ("-c", KILLED_BEFORE_IT_SHOWS)
    assert sweep.finish() == -9
    assert ",COMPLETE," not in (tmp_path / "burnish.db").read_text()
    sweep.program = ("-m", "burnish")
    sweep.burnish("clean", "--keep_db", "--yes")
    assert not (tmp_path / ".burnish").exists()
    assert "0,COMPLETE,ok" in (tmp_path / "burnish.db").read_text()
    assert sweep.finish() == 0
    assert sweep.ledger(0) == ["1 start", "1 end"]


def test_a_verdict_that_comes_while_a_table_is_cleaned_is_in_what_is_kept(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged(paths)
    verdict = events.AttemptRefused(AttemptId(JobId(1), 1), "me", "the runner raised", "20260101-000000_job_1", 1.0)
    finish = Projection.finish

    def then_comes_a_verdict(projection: Projection) -> list[str]:
        said = finish(projection)
        monkeypatch.undo()
        opened(paths).journal.commit(lambda state: [verdict])
        return said

    session = cleaning.opened(paths, lambda sentence: None)
    plan = cleaning.plan(session, keep_db=True, older_than=None, unreachable=[])
    monkeypatch.setattr(Projection, "finish", then_comes_a_verdict)
    cleaning.carry_out(session, plan)
    assert paths.db.read_text().count(",ERROR,") == 2


@pytest.mark.parametrize("trouble", ["disk", "text"])
def test_a_table_that_is_to_be_kept_and_cannot_be_written_keeps_its_journal(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    made(paths, "1", "2")
    paths.make_log_dir()
    opened(paths).journal.commit(lambda state: [events.HoldRequested(0)])
    if trouble == "text":
        paths.db.write_text("no table\n")
    before = [name for name in left(paths) if "/bases/" not in name and "/commits/" not in name]

    def full(file: TableFile, table: Table, like: os.stat_result | None, mode: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as harmed:
        if trouble == "disk":
            harmed.setattr(TableFile, "_write", full)
        with pytest.raises(StoreError, match=r"disk is full.*Nothing was removed|cannot be read.*Nothing was removed"):
            cleaned(paths, keep_db=True)
        assert set(before) <= set(left(paths))
        assert Session.open(paths, lambda sentence: None).state.jobs[JobId(0)].word is Word.HOLD
        cleaned(paths)
    assert left(paths) == ["burnish_log"] or not left(paths)


def test_a_job_that_started_after_the_question_keeps_its_table(paths: Paths) -> None:
    logged(paths)
    session = cleaning.opened(paths, lambda sentence: None)
    plan = cleaning.plan(session, keep_db=False, older_than=None, unreachable=[])
    claim = events.AttemptClaimed(
        AttemptId(JobId(1), 1), "9f86d081", "me", "h", "s", "i", {}, (0,), (), ("true",), "log", 1.0
    )
    opened(paths).journal.commit(lambda state: [claim])
    before = left(paths)
    with pytest.raises(UsageError, match="Job 1 is running"):
        cleaning.carry_out(session, plan)
    assert left(paths) == before
    assert opened(paths).state.closed_by is None


def test_a_clean_killed_anywhere_is_finished_by_the_next(paths: Paths, tmp_path: Path) -> None:
    logged(paths)
    verb = ["clean", "--yes"]
    killed = killed_at_each(verb, paths.db.parent, tmp_path / "log")
    assert {"linkat", "rename", "unlink", "rmdir"} <= {point.syscall for point in killed}
    for point, folder in killed.items():
        again = strace.run(burnish(verb, folder))
        nothing_left = "There is no table" in again.stderr
        assert again.returncode == (2 if nothing_left else 0), f"{point}: {again.stdout}{again.stderr}"
        assert sorted(path.name for path in folder.rglob("*")) == ["burnish_log", "mine.txt"], str(point)


def test_after_a_clean_that_was_killed_nothing_but_clean_works(paths: Paths) -> None:
    logged(paths)
    opened(paths).journal.commit(lambda state: [events.TableClosed("ann")])
    text = paths.db.read_text()
    with pytest.raises(TableClosed) as caught:
        opened(paths)
    assert str(caught.value) == f"{paths.shown}: burnish clean was interrupted here. Nothing was done."
    assert caught.value.hint == "burnish clean finishes it"
    assert paths.db.read_text() == text
    cleaned(paths)
    assert left(paths) == ["burnish_log", "burnish_log/mine.txt"]


def test_what_clean_cannot_remove_is_named(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    logged(paths)
    log = paths.log("20260101-000000_job_0", "err")
    log.unlink()
    log.mkdir()
    with pytest.raises(StoreError, match=re.escape(str(log)) + ".*The rest is still there; burnish clean goes on."):
        cleaned(paths)
    log.rmdir()
    cleaned(paths)
    assert left(paths) == ["burnish_log", "burnish_log/mine.txt"]


def test_a_decision_is_never_made_on_a_closed_table(paths: Paths) -> None:
    made(paths, "1")
    first, second = opened(paths), opened(paths)
    first.journal.commit(lambda state: [events.TableClosed("ann")])

    def hold(state: State) -> list[Fact]:
        return [events.HoldRequested(0)]

    for session in (first, second):
        with pytest.raises(TableClosed, match="was cleaned"):
            session.journal.commit(hold)


# -- paths -----------------------------------------------------------------------------------------------------------


def test_a_table_has_one_journal_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "burnish.db").write_text(OLD)
    (tmp_path / "link.db").symlink_to("real/burnish.db")
    (tmp_path / "folder").symlink_to("real")
    roots = {
        Paths.of(str(tmp_path / name), "logs").root for name in ("real/burnish.db", "link.db", "folder/burnish.db")
    }
    assert roots == {tmp_path / "real" / ".burnish" / "burnish.db"}


@pytest.mark.parametrize("name", ["", ".", "..", "/", "x/.."])
def test_what_is_no_name_of_a_file_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="expected the name of a file"):
        Paths.of(name, "logs")


def test_a_symlink_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop.db").symlink_to("loop.db")
    with pytest.raises((UsageError, StoreError), match=r"loop\.db: "):
        opened(Paths.of(str(tmp_path / "loop.db"), "logs"))


def test_a_log_stem_is_never_given_twice(tmp_path: Path) -> None:
    paths = Paths.of(str(tmp_path / "burnish.db"), str(tmp_path / "logs"))
    paths.make_log_dir()
    first = paths.free_log_stem(12, 1.0, set())
    assert re.fullmatch(r"\d{8}-\d{6}_job_12", first)
    second = paths.free_log_stem(12, 1.0, {first})
    paths.log(second, "out").touch()
    third = paths.free_log_stem(12, 1.0, {first})
    assert len({first, second, third}) == 3


def test_burnishs_own_folders_are_closed_to_others(paths: Paths) -> None:
    made(paths, "1")
    own = [paths.root, *(path for path in paths.root.rglob("*") if path.is_dir())]
    assert len(own) > 4
    assert {path.stat().st_mode & 0o077 for path in [paths.root, paths.bases, paths.coordinators]} == {0}
    assert {path.stat().st_mode & 0o777 for path in paths.root.rglob("*.jsonl")} == {0o600}


def test_save_that_is_read_by_a_rival_of_who_made_the_journal_is_merged(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over NFS a machine may take a journal for missing that another one has made a while ago."""
    made(paths, "1", "2")
    paths.db.write_text(paths.db.read_text().replace("1,NOT_RUNNING,2", "1,NOT_RUNNING,22"))
    monkeypatch.setattr(Journal, "exists", lambda root: False)
    session = opened(paths)
    assert session.state.jobs[JobId(1)].cells == ("22",)
    session.settle()
    assert "1,NOT_RUNNING,22" in paths.db.read_text()
