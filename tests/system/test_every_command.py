"""Every command on every kind of table: empty, one job, 100 000 jobs, somebody else's, and one that a run is changing.

Whatever the table: the exit code that is documented, a screen that a person can read, and never a traceback. What is typed on
small tables stands with its exact screens in tests/data/every. The large table is made once for all testers.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from support import screens, wait_for

from burnish.cli.commands import LISTED

EVERY = Path(__file__).parent.parent / "data" / "every"
MANY = 100_000
A_SCREEN = 70  # lines: `status` shows 60 jobs at most
A_PAGE = 20_000  # bytes on either stream
BROKEN = re.compile(r"Traceback|burnish broke")

JOB = """\
case $1 in
*9) echo "boom $1" >&2; exit 1 ;;
esac
echo '{"acc": 0.5}' > "$BURNISH_RESULT"
"""


@pytest.mark.parametrize("case", sorted(folder.name for folder in EVERY.iterdir()))
def test_small_tables_and_those_of_others(case: str) -> None:
    wrong = [
        f"expected:\n{expected}\n\ncame:\n{came}\n"
        for expected, came in zip(screens.read(EVERY / case), screens.play(EVERY / case), strict=True)
        if not screens.alike(expected, came) or screens.PACKAGE in str(came)
    ]
    assert not wrong, "\n".join(wrong)
    typed = " ".join(screen.command for screen in screens.read(EVERY / case))
    elsewhere = {"check", "run", "wait"}  # one that starts something, or waits for it: below
    assert [name for name in LISTED if f"burnish {name}" not in typed and name not in elsewhere] == []


# -- a hundred thousand jobs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Typed:
    """A command and what it comes to on the large table: a fragment of its screen. `lines`: of stdout, if more than a screen."""

    words: str
    shows: str
    code: int = 0
    lines: int = A_SCREEN
    editor: str = "true"

    def __str__(self) -> str:
        return self.words if self.editor == "true" else f"{self.words} with {self.editor}"


LOOKS = [
    Typed("status", "100,000 jobs: 2 ERROR, 94,980 NOT_RUNNING, 5,000 HOLD, 18 COMPLETE"),
    Typed("status --state HOLD --state ERROR", "100,000 jobs", lines=5_010),
    Typed("status --json --job_id 9", '"reason": "exit 1"'),
    Typed("status --json", '"counts": {"NOT_RUNNING": 94980', lines=1),
    Typed("status --all", "\n 99999  NOT_RUNNING", lines=MANY + 10),
    Typed("status --job_id 100000", "burnish.db has no job 100000; it has jobs 0-99999.", code=2),
    Typed("view 3 --meta", "command   sh job.sh 3"),
    Typed("view 9 --stderr", "boom 9"),
    Typed("view --errors", "1 job (9): boom 9"),
    Typed("explain 99999", "94,979 waiting jobs start before it."),
    Typed("explain 9", "Job 9 is ERROR (exit 1)."),
    Typed("results", "acc"),
    Typed("results --csv", "17,COMPLETE"),
    Typed("hosts hosts/lab.yaml", "1 host"),
    Typed("check hosts/lab.yaml", "100,000 jobs"),
    Typed("run --command 'echo {--seed}' --dry_run", "94,980 jobs would run"),
    Typed(
        "run --command true --job_id 99999999",
        "burnish.db has no job 99999999; it has jobs 0-99999. Nothing was started.",
        code=2,
    ),
    Typed("wait --job_id 0-8", "Nothing is running or waiting."),
    Typed("create --csv jobs.csv", "burnish.db exists already.", code=2),
    Typed("create --csv jobs.csv --dry_run", "... and 99,980 more"),
    Typed("forget desk", "No job of this table is open on desk.", code=2),
]
CHANGES = [
    Typed("run --command true --num_jobs 2 --num_workers 2", "2 of 2 done, 94978 wait, in "),
    Typed("hold --job_id all", "and 4990 more are on HOLD. To let them go on: burnish release --job_id IDS"),
    Typed("release --job_id all", "and 4988 more are released."),
    Typed("cancel --job_id 777", "Job 777 is on HOLD now instead of waiting."),
    Typed("cancel --all", "on HOLD now instead of waiting."),
    Typed("reset", "are NOT_RUNNING again."),
    Typed("reset --errors", "Jobs 9, 19 are NOT_RUNNING again."),
    Typed("drain localhost", "localhost takes no new jobs of this table."),
    Typed("undrain localhost", "localhost is not drained"),
    Typed("edit", "Nothing was changed."),
    Typed("edit", "job 99999 held", editor="sed -i '$s/NOT_RUNNING/HOLD/'"),
    Typed("edit", "jobs 50000-99999 removed", editor="sed -i '50002,$d'"),
    Typed("create --csv more.csv --append", "1 new, 0 already present."),
    Typed("create --csv jobs.csv --append", "0 new, 100,000 already present."),
    Typed("create --csv more.csv --force", "1 job in burnish.db."),
    Typed("clean --older_than 1d", "Removed 0 log files. The table is kept."),
    Typed("clean --keep_db", "Removed 40 log files. The table is kept."),
    Typed("clean", "burnish.db is gone."),
]


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder with a table of 100 000 jobs, of which some ended, some failed, and every tenth of a stretch is held.

    `large.copied` beside it is its like, in which nothing is ever tried: who copies that meets no file that just goes.
    """
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent  # testers side by side have one
    folder = shared / "large"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            making = shared / "large.making"
            shutil.rmtree(making, ignore_errors=True)
            make(making)
            shutil.rmtree(f"{folder}.copied", ignore_errors=True)
            shutil.copytree(making, f"{folder}.copied", ignore=shutil.ignore_patterns("home", "locks"))
            making.rename(folder)
    return folder


def make(folder: Path) -> None:
    for name in ("home", "hosts"):
        (folder / name).mkdir(parents=True)
    (folder / "job.sh").write_text(JOB)
    (folder / "hosts" / "lab.yaml").write_text("hosts: {desk: {connection: local, slots: 2, gpus: none}}\n")
    (folder / "jobs.csv").write_text("--seed\n" + "".join(f"{number}\n" for number in range(MANY)))
    (folder / "more.csv").write_text(f"--seed\n{MANY}\n")
    assert typed(folder, "create --csv jobs.csv").returncode == 0
    assert typed(folder, "run --command 'sh job.sh {--seed}' --num_jobs 20 --num_workers 4").returncode == 1
    table = folder / "burnish.db"
    lines = table.read_text().splitlines(keepends=True)
    for number in range(40_000, 90_000, 10):
        lines[number + 1] = lines[number + 1].replace("NOT_RUNNING", "HOLD")
    table.write_text("".join(lines))
    said = typed(folder, "status").stderr
    assert "5,000 jobs held" in said or len(said) < A_PAGE, said


def typed(folder: Path, words: str, editor: str = "true", timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """What a person typed in `folder`, in a shell."""
    environment = {
        **os.environ,
        "HOME": str(folder / "home"),
        "BURNISH_LOCK_DIR": str(folder / "locks"),
        "EDITOR": editor,
        "VISUAL": editor,
    }
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -m burnish {words}', sys.executable],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def tried(folder: Path, command: Typed) -> None:
    done = typed(folder, command.words, command.editor)
    screen = f"$ burnish {command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n[exit {done.returncode}]"
    assert done.returncode == command.code, screen
    assert not BROKEN.search(done.stderr), screen
    assert command.shows in done.stdout + done.stderr, screen
    assert done.stdout.count("\n") <= command.lines, screen
    assert len(done.stderr) <= A_PAGE and done.stderr.count("\n") <= A_SCREEN, screen
    assert command.lines != A_SCREEN or len(done.stdout) <= A_PAGE, screen


@pytest.mark.parametrize("command", LOOKS, ids=str)
def test_a_look_at_a_hundred_thousand_jobs(large: Path, command: Typed) -> None:
    tried(large, command)


@pytest.mark.parametrize("command", CHANGES, ids=str)
def test_a_change_among_a_hundred_thousand_jobs(large: Path, tmp_path: Path, command: Typed) -> None:
    tried(Path(shutil.copytree(f"{large}.copied", tmp_path / "copy")), command)


def test_every_command_is_tried_on_a_hundred_thousand_jobs() -> None:
    tried = {command.words.split()[0] for command in (*LOOKS, *CHANGES)}
    assert tried == set(LISTED)


# -- beside a run --------------------------------------------------------------------------------------------------------

# Jobs 0 and 1 keep the run going until they are let go.
GATED = """\
test "$1" -gt 1 || until test -e go; do sleep 0.05; done
sleep 0.05
echo "$1" done
"""
SOME = 400
BESIDE_A_RUN = [
    Typed("status", f"{SOME} jobs: "),
    Typed("status --json", '"state": "RUNNING"', lines=1),
    Typed("explain 0", "Attempt 0.1 runs on localhost"),
    Typed("view 0 --meta", "command   sh job.sh 0"),
    Typed("view --errors", "No job is in ERROR."),
    Typed("results", "JOB_ID", lines=SOME + 10),
    Typed("hold --job_id 300-399", "on HOLD"),
    Typed("edit", f"job {SOME} added", editor=f"sed -i '$a,,{SOME}'"),
    Typed("release --job_id 300-399", "released"),
    Typed("hold --job_id 0", "running and cannot be held"),
    Typed("cancel --job_id 0", "stopped after"),
    Typed("reset --job_id 0", "Job 0 is NOT_RUNNING again."),
    Typed("reset --errors", "No job was reset: none is in ERROR."),
    Typed("reset --job_id 5-9", ""),
    Typed("wait --job_id 5-9", ""),
    Typed("run --command 'sh job.sh {--seed}' --job_id 380-389", ""),
    Typed("run --command 'sh job.sh {--seed}' --dry_run", "would run"),
    Typed("hosts hosts/lab.yaml", "1 host"),
    Typed("check hosts/lab.yaml", "burnish.db  ok"),
    Typed("drain localhost", "localhost takes no new jobs of this table."),
    Typed("undrain localhost", "localhost takes jobs again."),
    Typed("forget gpu01", "No job of this table is open on gpu01; those that are, are on localhost.", code=2),
    Typed("create --csv more.csv --append", "1 new, 0 already present."),
    Typed("create --csv more.csv", "exists already", code=2),
    Typed("create --csv more.csv --force", "The table was not replaced.", code=2),
    Typed("clean --older_than 1d", "Removed 0 log files."),
    Typed("clean", "running. Nothing was removed.", code=2),
]


def test_a_table_that_a_run_is_changing(tmp_path: Path) -> None:
    for name in ("home", "hosts"):
        (tmp_path / name).mkdir()
    (tmp_path / "job.sh").write_text(GATED)
    (tmp_path / "hosts" / "lab.yaml").write_text("hosts: {desk: {connection: local, slots: 2, gpus: none}}\n")
    (tmp_path / "jobs.csv").write_text("--seed\n" + "".join(f"{number}\n" for number in range(SOME)))
    (tmp_path / "more.csv").write_text(f"--seed\n{MANY}\n")
    assert typed(tmp_path, "create --csv jobs.csv").returncode == 0
    command = "run --command 'sh job.sh {--seed}' --num_workers 3"
    with ThreadPoolExecutor(1) as beside:
        run = beside.submit(typed, tmp_path, command, timeout=600)
        try:
            wait_for(lambda: job(tmp_path, 0)["state"] == "RUNNING", lambda: typed(tmp_path, "status").stderr)
            for each in BESIDE_A_RUN:
                tried(tmp_path, each)
                assert not run.done(), f"{each}: {run.result()}"
        finally:
            (tmp_path / "go").touch()
        done = run.result()
    assert (done.returncode, BROKEN.search(done.stderr)) == (0, None), done.stderr
    counts = json.loads(typed(tmp_path, "status --json").stdout)["counts"]
    assert counts["COMPLETE"] == SOME + 2, counts
    assert (tmp_path / "burnish.db").read_text().count(",COMPLETE,") == SOME + 2
    assert {command.words.split()[0] for command in BESIDE_A_RUN} == set(LISTED)


def job(folder: Path, number: int) -> dict[str, Any]:
    """A job as `status --json` has it."""
    found: dict[str, Any] = json.loads(typed(folder, f"status --json --job_id {number}").stdout)["jobs"][0]
    return found
