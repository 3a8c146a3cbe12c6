"""Several runs at one table, and one that stands still between its claim and the start: each job starts once, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.leaving import leave
from support.sweeps import Sweep, children
from support.waiting import wait_for

JOBS = 24
# strace stops the loop's thread, and so the process, as it leaves this call: the run's first commit is its first claim.
STOPPED_AT_ITS_CLAIM = ["-e", "trace=linkat", "-e", "inject=linkat:signal=STOP:when=1"]


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    made = Sweep.of(tmp_path, JOBS, "0.5")
    yield made
    made.stop()


def test_runs_that_start_at_once_share_the_jobs(sweep: Sweep) -> None:
    runs = [sweep.start("--num_workers", "2") for _ in range(3)]
    assert {run.wait(120) for run in runs} == {1}, [sweep.said(run) for run in runs]
    assert sweep.check() == {"1": JOBS}
    commits = (sweep.folder / ".burnish").rglob("log/*/*.jsonl")
    by = [text for commit in commits if '"AttemptClaimed"' in (text := commit.read_text())]
    claimers = {text.partition('"by": "')[2].partition('"')[0] for text in by}
    assert len(claimers) > 1, "one of them did it all"


@pytest.mark.parametrize("lie", ["retval=0", "delay_enter=300000", "error=ENOLCK"], ids=["granted", "late", "none"])
def test_four_runs_share_the_jobs_whatever_the_locks_are_worth(sweep: Sweep, lie: str) -> None:
    """Locks that everybody is granted, that come late, or that there are none of: of the runs alone, not of their agents."""
    lying = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", f"inject=flock:{lie}"]
    run = [*lying, sys.executable, "-m", "burnish", *sweep.command, "--num_workers", "2"]
    said = [sweep.folder / f"said{number}.txt" for number in range(4)]
    runs = [leave(run, sweep.folder, sweep.environment, file) for file in said]
    try:
        assert {one.wait(120) for one in runs} == {1}, [file.read_text() for file in said]
    finally:
        for one in runs:
            one.kill()
            one.wait()
    assert sweep.check() == {"1": JOBS}
    assert not any("Traceback" in file.read_text() for file in said)


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
