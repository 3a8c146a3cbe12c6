"""A disk that refuses commits from some moment on is asked now and then, whatever the run was about to do at that moment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sweeps import Sweep, children
from tests.support.waiting import wait_for


def processor_time(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("commit", range(4, 10))
def test_run_whose_commits_are_refused_sleeps(tmp_path: Path, commit: int) -> None:
    """One of these commits says that a job runs; the next turn is to follow at once, to claim its successor."""
    sweep = Sweep.of(tmp_path, 12, work="0.3")
    refusing = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=linkat"]
    refusing += ["-e", f"inject=linkat:error=ENOSPC:when={commit}+"]
    with (tmp_path / "said").open("w") as said:
        command = [*refusing, sys.executable, "-m", "burnish", *sweep.command, "--num_workers", "1"]
        tracer = subprocess.Popen(command, cwd=tmp_path, env=sweep.environment, stdout=said, stderr=said)
    try:
        wait_for(lambda: "trying again" in (tmp_path / "said").read_text(), lambda: (tmp_path / "said").read_text())
        (run,) = children(tracer.pid)
        before = processor_time(run)
        subprocess.run(["sleep", "1"], check=True)  # the clock
        assert processor_time(run) - before < 0.15
        os.kill(run, 9)
        tracer.wait()
    finally:
        tracer.kill()
        tracer.wait()
        sweep.burnish("cancel", "--all", check=False)
        sweep.stop()
