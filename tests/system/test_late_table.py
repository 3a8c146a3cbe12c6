"""A text that is named and does not come to stand there: the one before it is nobody's save, and undoes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from burnish.core.events import Fact
from burnish.core.jobs import JobId, Word
from burnish.core.table import Table
from burnish.errors import StoreError
from burnish.session import Session
from burnish.store.journal import Decide
from burnish.store.paths import Paths
from burnish.store.table_file import TableFile
from burnish.store.version import Seen
from tests.support.kept_table import TEXT, renaming
from tests.support.sweeps import Sweep

ENDS_BEFORE_THE_SWAP = """
import os, signal
from burnish.store import exchange, table_file
from burnish.__main__ import main

if {links}:  # as where no kernel can exchange two names
    table_file.exchange = lambda new, path: False
    rename = os.rename
    def ends(source, *rest, **more):
        if not os.path.basename(source).startswith("displaced-"):
            return rename(source, *rest, **more)
        os.kill(os.getpid(), signal.SIGKILL)
    os.rename = ends
else:
    table_file.exchange = lambda new, path: os.kill(os.getpid(), signal.SIGKILL)
main()
"""
FULL = 4 << 20  # bytes


@pytest.mark.parametrize("links", [False, True], ids=["exchange", "link and rename"])
@pytest.mark.parametrize("verb", ["hold", "cancel"])
def test_a_hold_whose_command_was_killed_before_the_table_stood_there_stands(
    tmp_path: Path, verb: str, links: bool
) -> None:
    sweep = Sweep.of(tmp_path, 2, fates=["ok"])
    before = (tmp_path / "burnish.db").read_text()
    sweep.program = ("-c", ENDS_BEFORE_THE_SWAP.format(links=links))
    assert sweep.burnish(verb, "--job_id", "1", check=False).returncode == -signal.SIGKILL
    assert (tmp_path / "burnish.db").read_text() == before
    sweep.program = ("-m", "burnish")
    said = sweep.burnish("status")
    assert "eleased" not in said.stdout + said.stderr
    assert (tmp_path / "burnish.db").read_text() == before.replace("1,NOT_RUNNING", "1,HOLD")
    assert sweep.finish() == 0
    assert (tmp_path / "burnish.db").read_text() == before.replace("0,NOT_RUNNING", "0,COMPLETE").replace(
        "1,NOT_RUNNING", "1,HOLD"
    )


def test_a_release_whose_command_was_killed_before_the_table_stood_there_stands(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 2, fates=["ok"])
    sweep.burnish("hold", "--job_id", "1")
    sweep.program = ("-c", ENDS_BEFORE_THE_SWAP.format(links=False))
    assert sweep.burnish("release", "--job_id", "1", check=False).returncode == -signal.SIGKILL
    sweep.program = ("-m", "burnish")
    assert sweep.finish() == 0
    assert (tmp_path / "burnish.db").read_text().count("COMPLETE") == 2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={FULL}", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_hold_stands_though_the_disk_has_no_room_for_the_table(disk: Path) -> None:
    """There is room for what is kept of a text, which is compressed, and not for the text."""
    lines = [f"ok,{number:0100}" for number in range(10_000)]
    (disk / "jobs.csv").write_text("\n".join(["fate,work", *lines]) + "\n")
    burnish(disk, "create", "--csv", "jobs.csv")
    (disk / "jobs.csv").unlink()
    leave_free(disk, (disk / "burnish.db").stat().st_size // 2)
    assert "disk is full" in burnish(disk, "hold", "--job_id", "1", code=2)
    for verb in ("status", "hold"):
        code, options = (0, ()) if verb == "status" else (2, ("--job_id", "2"))
        said = burnish(disk, verb, *options, code=code)
        assert "disk is full" in said and "eleased" not in said
    (disk / "ballast").unlink()
    burnish(disk, "status")
    words = [line.split(",")[1] for line in (disk / "burnish.db").read_text().splitlines()[1:5]]
    assert words == ["NOT_RUNNING", "HOLD", "HOLD", "NOT_RUNNING"]


def leave_free(folder: Path, size: int) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    with (folder / "ballast").open("r+b") as file:
        file.truncate((folder / "ballast").stat().st_size - size)


def burnish(folder: Path, *arguments: str, code: int = 0) -> str:
    environment = {**os.environ, "HOME": str(folder)}
    command = [sys.executable, "-m", "burnish", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


# -- what is a save all the same -------------------------------------------------------------------------------------


def moved_back(path: Path) -> None:
    os.rename(path.with_suffix(".saved"), path)


def linked_back(path: Path) -> None:
    os.unlink(path)
    os.link(path.with_suffix(".saved"), path)
    for displaced in (path.parent / ".burnish" / path.name).glob("displaced-*"):
        displaced.unlink()  # as burnish does after a while


def written_back(path: Path) -> None:
    saved = path.with_suffix(".saved")
    path.write_text(saved.read_text())
    os.utime(path, ns=(saved.stat().st_atime_ns, saved.stat().st_mtime_ns))


@pytest.mark.parametrize("back", [moved_back, linked_back, written_back], ids=lambda back: back.__name__)
def test_the_text_before_is_a_save_where_somebody_put_it_back(tmp_path: Path, back: Callable[[Path], None]) -> None:
    """The very inode of before, too: a hard link to it was kept. And with the time it had."""
    path = tmp_path / "burnish.db"
    path.write_text(TEXT)
    paths = Paths.of(str(path), str(tmp_path / "logs"))
    Session.open(paths, lambda notice: None)
    os.link(path, path.with_suffix(".saved"))
    Session.open(paths, lambda notice: None).hold(frozenset([JobId(1)]))
    assert "1,HOLD" in path.read_text()
    back(path)
    assert Session.open(paths, lambda notice: None).state.jobs[JobId(1)].word is Word.NOT_RUNNING


def test_a_text_that_others_merged_and_are_about_to_replace_is_merged_no_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run has read a save, and stops; another merges it, holds a job by command, and waits for its disk."""
    path = tmp_path / "burnish.db"
    path.write_text(TEXT)
    paths = Paths.of(str(path), str(tmp_path / "logs"))
    late, other = (Session.open(paths, lambda notice: None) for _ in range(2))
    commit = late.journal.commit

    def stopped(decide: Decide) -> list[Fact]:
        monkeypatch.setattr(late.journal, "commit", commit)
        other.sync()
        with monkeypatch.context() as slow:
            slow.setattr(TableFile, "replace", refused)
            with pytest.raises(StoreError, match="the disk is slow"):
                other.hold(frozenset([JobId(1)]))
        return commit(decide)

    def refused(file: TableFile, table: Table, expected: Seen) -> NoReturn:
        raise StoreError("the disk is slow")

    renaming(path, TEXT.replace("2,NOT_RUNNING,0.2,as typed", "2,NOT_RUNNING,0.2,edited"))
    monkeypatch.setattr(late.journal, "commit", stopped)
    late.sync()
    late.sync()
    late.settle()
    assert late.state.jobs[JobId(1)].word is Word.HOLD
    assert "1,HOLD,0.1,as typed\n2,NOT_RUNNING,0.2,edited" in path.read_text()
