"""Several runs at one table, and one that stands still between its claim and the start: each job starts once, or not at all."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import elsewhere, lying_locks
from support.leaving import leave
from support.lying_locks import LIES
from support.sweeps import Sweep, children
from support.waiting import wait_for

JOBS = 24
# Jobs that four runs share, and how long each takes, in s: BURNISH_TEST_RUNS=300,1 asks for so many of a second each.
ASKED = os.environ.get("BURNISH_TEST_RUNS", "100,0.1").split(",")
MANY, WORK = int(ASKED[0]), float(ASKED[1])
MACHINES = ("lab1", "lab1", "lab2", "lab3")  # of the four runs
SECOND = os.environ.get("BURNISH_TEST_SECOND_PYTHON", "")
# strace stops the loop's thread, and so the process, as it leaves this call: the run's first commit is its first claim.
STOPPED_AT_ITS_CLAIM = ["-e", "trace=linkat", "-e", "inject=linkat:signal=STOP:when=1"]


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    made = Sweep.of(tmp_path, JOBS, "0.5")
    yield made
    made.stop()


def test_runs_that_start_at_once_share_the_jobs(sweep: Sweep) -> None:
    runs = [sweep.start("--num_workers", "2") for _ in range(3)]
    codes = [run.wait(120) for run in runs]
    for run, code in zip(runs, codes, strict=True):
        idle = not any(
            f"-{run.pid}-" in claimer for claimer in claimers(sweep)
        )  # it came when the others had all there was
        assert code == 1 or (code == 0 and idle), [sweep.said(each) for each in runs]
    assert sweep.check() == {"1": JOBS}
    assert len(claimers(sweep)) > 1, "one of them did it all"


@pytest.mark.parametrize("lie", LIES)
def test_four_runs_on_three_machines_share_the_jobs_whatever_locks_are_worth(tmp_path: Path, lie: str) -> None:
    """They share the table's folder and a home, as over NFS, and not the folder of the hosts' locks. Every second one may be of
    another Python (`SECOND`), with other versions of what burnish is built on."""
    sweep = Sweep.of(tmp_path, MANY, str(WORK), fates=["ok"])
    runs = []
    try:
        for number, machine in enumerate(MACHINES):
            python = SECOND if SECOND and number % 2 else sys.executable
            liar = lying_locks.program(lie, seed=number, late=5 * WORK)
            words = [*elsewhere.on(machine, tmp_path), python, "-c", liar, *sweep.command, "--num_workers", "2"]
            locks = {"BURNISH_LOCK_DIR": str(tmp_path / f"locks-{machine}")}
            runs.append(leave(words, tmp_path, {**sweep.environment, **locks}, tmp_path / f"said{number}.txt"))
        ended = {run.wait(60 + 2 * MANY * WORK) for run in runs}
        assert ended in ({0}, {0, 1}), said(tmp_path)  # 1: it left, and the others' last jobs still ran
        assert sweep.check() == {"1": MANY}
        assert len(claimers(sweep)) > 2
        folders = (tmp_path / "home" / ".burnish").iterdir()
        assert {folder.name.partition("-")[0] for folder in folders} == set(MACHINES), "each is a host of its own"
        assert "Traceback" not in said(tmp_path)
        with (tmp_path / "burnish.db").open(encoding="utf-8", newline="") as table:
            header, *rows = csv.reader(table, strict=True)
        assert [row[:2] for row in rows] == [[str(job), "COMPLETE"] for job in range(MANY)]
        assert {len(row) for row in rows} == {len(header)}
    finally:
        for run in runs:
            run.kill()
            run.wait()
        sweep.stop()


def said(folder: Path) -> str:
    """What all of them said."""
    return "\n".join(file.read_text() for file in sorted(folder.glob("said*.txt")))


def claimers(sweep: Sweep) -> set[str]:
    """The runs that have claimed jobs."""
    commits = (sweep.folder / ".burnish").rglob("log/*/*.jsonl")
    by = [text for commit in commits if '"AttemptClaimed"' in (text := commit.read_text())]
    return {text.partition('"by": "')[2].partition('"')[0] for text in by}


def test_claim_of_a_run_that_stands_still_is_cancelled_and_never_starts(sweep: Sweep) -> None:
    sweep.burnish("hold", "--job_id", f"1-{JOBS - 1}")
    command = [
        "strace",
        "-qq",
        "-o",
        "/dev/null",
        *STOPPED_AT_ITS_CLAIM,
        sys.executable,
        "-m",
        "burnish",
        *sweep.command,
    ]
    tracer = subprocess.Popen(command, cwd=sweep.folder, env=sweep.environment, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: sweep.status()[0]["reason"] == "starting", sweep.status)
        (run,) = children(tracer.pid)
        assert "state:\tt" in Path(f"/proc/{run}/status").read_text().lower(), "it does not stand still"
        sweep.burnish("cancel", "--job_id", "0")
        assert sweep.status()[0]["reason"] == "CANCELLED"
        os.kill(run, signal.SIGCONT)
        assert tracer.wait(60) in (0, 1)
    finally:
        tracer.kill()
        tracer.wait()
    assert sweep.ledger(0) == [], "it started after its void"
