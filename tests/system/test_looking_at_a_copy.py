"""A table in a folder of its own, without journal and logs: whoever looks at it is told what there is, and nothing is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import wait_for
from support.leaving import leave

TABLE = "JOB_ID,STATE,n\n0,COMPLETE,a\n1,ERROR,b\n2,RUNNING,c\n3,NOT_RUNNING,d\n,,e\n"
INVENTORY = "hosts: {localhost: {connection: local, slots: 1, gpus: none, state_dir: %s}}\n"
ALONE = "burnish.db is here without its journal, as a copy is: this is what the file alone says"
LOOKS = [
    ("status", 0, "5 jobs: 1 RUNNING, 1 ERROR, 2 NOT_RUNNING, 1 COMPLETE"),
    ("status --json", 0, '"RUNNING": 1'),
    ("status --hosts lab.yaml", 0, "localhost  up"),
    ("view 0", 2, "Job 0 is COMPLETE, and which log is its, only the journal says."),
    ("view --job_id 2 --follow", 2, "hint: burnish view 2 in the folder where the table is run"),
    ("view 1 --meta", 2, "Job 1 is ERROR"),
    ("view 3", 2, "Job 3 was not started under this table: it is NOT_RUNNING."),
    ("view --errors", 0, "1 job (1): ERROR already"),
    ("explain 2", 0, "no journal here knows of its start"),
    ("explain 4", 0, "1 waiting job starts before it."),
    ("results", 0, "a"),
    ("results --csv", 0, "0,COMPLETE,a"),
    ("hosts", 2, "has no journal here that names those it has used"),
    ("hosts lab.yaml", 0, "1 host"),
    ("hosts lab.yaml --list", 0, "connection: local"),
    ("check", 0, "5 jobs"),
    ("check lab.yaml", 0, "this machine"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "copy"
    made.mkdir()
    (made / "burnish.db").write_text(TABLE)
    (made / "lab.yaml").write_text(INVENTORY % (tmp_path / "state"))
    (tmp_path / "home").mkdir()
    return made


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(folder.parent / "home"), "BURNISH_LOCK_DIR": str(folder.parent / "locks")}


def words(arguments: str) -> list[str]:
    return [sys.executable, "-m", "burnish", *arguments.split()]


def burnish(folder: Path, arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        words(arguments),
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}"
    return done.stdout


def entries(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All that is in a folder, and it: mode, time of the last change, bytes."""
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }


@pytest.mark.parametrize(("command", "code", "shown"), LOOKS, ids=[command for command, _, _ in LOOKS])
def test_who_looks_at_a_copy_writes_nothing(folder: Path, command: str, code: int, shown: str) -> None:
    before = entries(folder)
    came = burnish(folder, command, code)
    assert shown in came
    assert came.startswith(ALONE) or "--list" in command
    assert entries(folder) == before


def test_log_that_is_here_is_named(folder: Path) -> None:
    logs = folder / "burnish_log" / "burnish"
    logs.mkdir(parents=True)
    for name in ("20260101-090000_job_0.log", "20260102-090000_job_0.log", "20260103-090000_job_10.log"):
        (logs / name).touch()
    newest = "burnish_log/burnish/20260102-090000_job_0.log"
    assert f"hint: less {newest} is the newest that is here\n" in burnish(folder, "view 0", 2)


def test_table_that_nobody_has_run_is_shown_without_a_word(folder: Path) -> None:
    (folder / "burnish.db").write_text("JOB_ID,STATE,n\n,,a\n,HOLD,b\n")
    before = entries(folder)
    assert burnish(folder, "status").startswith("2 jobs: 1 NOT_RUNNING, 1 HOLD\n")
    assert entries(folder) == before


def test_copy_that_is_watched_shows_edits_and_then_the_run_that_takes_it_over(folder: Path) -> None:
    said = folder.parent / "said"
    watching = leave(words("status --watch"), folder, environment(folder), said)
    try:
        wait_for(lambda: "1 RUNNING, 1 ERROR, 2 NOT_RUNNING, 1 COMPLETE" in said.read_text(), said.read_text)
        (folder / "burnish.db").write_text(TABLE.replace("2,RUNNING", "2,COMPLETE"))
        wait_for(lambda: "1 ERROR, 2 NOT_RUNNING, 2 COMPLETE" in said.read_text(), said.read_text)
        (folder / "burnish.db").write_text("JOB_ID;ST")  # it will be mended
        wait_for(lambda: "burnish.db:1: " in said.read_text(), said.read_text)
        (folder / "burnish.db").write_text(TABLE.replace("2,RUNNING", "2,HOLD"))
        wait_for(lambda: "1 HOLD, 1 COMPLETE" in said.read_text(), said.read_text)
        burnish(folder, "run --command true", 0)
        wait_for(lambda: "1 ERROR, 1 HOLD, 3 COMPLETE" in said.read_text(), said.read_text)
        assert "localhost" in said.read_text(), "the journal says where they ran"
    finally:
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 130
