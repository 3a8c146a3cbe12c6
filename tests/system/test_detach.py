"""`burnish run --detach`: the run outlives its terminal, is seen, waited for and ended, and a mistake is said at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import wait_for
from support.editors import Terminal

BURNISH = [sys.executable, "-m", "burnish"]
JOB = ["--command", "sh -c 'until [ -e go ]; do sleep 0.05; done; exit {n}'"]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A table of two jobs that wait for the file `go`; the second fails. Runs that a test has left are ended."""
    (tmp_path / "burnish.db").write_text("JOB_ID,STATE,n\n0,,0\n1,,1\n")
    yield tmp_path
    (tmp_path / "go").touch()
    if (tmp_path / "burnish.db").exists():
        for pid in [run["pid"] for run in runs(tmp_path)]:
            if isinstance(pid, int):  # else it has just gone
                os.kill(pid, signal.SIGKILL)
        burnish(tmp_path, "cancel", "--all", "--grace", "1")


def burnish(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Ends when stdout and stderr are closed by all that hold them."""
    return subprocess.run([*BURNISH, *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


def runs(folder: Path) -> list[dict[str, str | int | None]]:
    found: list[dict[str, str | int | None]] = json.loads(burnish(folder, "status", "--json").stdout)["runs"]
    return found


def row(folder: Path, job: int) -> str:
    return (folder / "burnish.db").read_text().splitlines()[1 + job]


def test_a_run_outlives_the_terminal_it_was_started_on(folder: Path) -> None:
    shell = Terminal(folder / "tmux", ["env", "-C", str(folder), "PS1=> ", "bash", "--norc", "--noprofile"])
    try:
        shell.shows(">")
        shell.type(f'{sys.executable} -m burnish run --detach {JOB[0]} "{JOB[1]}"; echo code $?', "Enter")
        shell.shows("code 0")
        wait_for(lambda: row(folder, 0) == "0,RUNNING,0", lambda: row(folder, 0))
    finally:
        shell.end()
    (run,) = runs(folder)
    assert os.getsid(int(run["pid"] or 0)) == run["pid"], "it is in a session without a terminal"
    assert f"Run: pid {run['pid']} on " in burnish(folder, "status").stdout
    (folder / "go").touch()
    burnish(folder, "wait")
    assert [row(folder, job) for job in (0, 1)] == ["0,COMPLETE,0", "1,ERROR,1"]
    wait_for(lambda: not runs(folder))
    wait_for(lambda: "2 of 2 done, 1 ERROR" in Path(str(run["log"])).read_text())  # the last that it says


def test_a_run_that_is_ended_leaves_its_jobs_and_says_so_in_its_file(folder: Path) -> None:
    begun = burnish(folder, "run", "--detach", *JOB)
    (run,) = runs(folder)
    pid, log = int(run["pid"] or 0), Path(str(run["log"]))
    assert begun.returncode == 0 and f"as pid {pid}. What it says: {log}\n" in begun.stderr
    assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in range(3)] == ["/dev/null", str(log), str(log)]
    wait_for(lambda: row(folder, 0) == "0,RUNNING,0", lambda: row(folder, 0))
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not runs(folder))
    wait_for(log.read_text)
    assert log.read_text().startswith("Stopped by SIGTERM. Job 0 runs on. burnish run takes it back;")
    (folder / "go").touch()
    assert burnish(folder, "run", *JOB).returncode == 1
    assert row(folder, 0) == "0,COMPLETE,0"
    assert burnish(folder, "clean", "--yes").returncode == 0 and not log.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--python_file", "nope.py"], 2, "error: --python_file nope.py: no such file"),
        (["--command", "true", "--job_id", "9"], 2, "burnish.db has no job 9; it has jobs 0-1. Nothing was started."),
        (["--command", "true", "--where", "n=7"], 0, "Nothing to run: no job that was chosen is NOT_RUNNING"),
    ],
)
def test_what_cannot_begin_is_said_on_the_terminal(folder: Path, arguments: list[str], code: int, said: str) -> None:
    done = burnish(folder, "run", "--detach", *arguments)
    assert done.returncode == code and said in done.stderr and "goes on" not in done.stderr
    assert not runs(folder)
