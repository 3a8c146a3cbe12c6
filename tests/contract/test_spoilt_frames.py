"""Frames that come byte by byte, that stall in their midst, or that come twice: each job runs once, and its log is whole.

Between the sshd and the agent of the one host stands `support/between.py`, in place of Python; burnish is as it always is.
"""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import between
from tests.support.gated import Gated
from tests.support.hosts import Bench
from tests.support.waiting import wait_for

JOBS = 4


class Between:
    """A table whose host `gpu1` has `between.py` for its Python, under the name that says what it does."""

    def __init__(self, bench: Bench) -> None:
        self.table = Gated.of(bench, JOBS)
        bench.add("gpu1")

    def start(self, name: str, patient: bool = False) -> subprocess.Popen[str]:
        """Start a run that is spoilt so."""
        self._script = self.table.folder / name
        shutil.copy(Path(between.__file__), self._script)
        self._script.chmod(0o755)
        settings = f"ssh_config: {self.table.bench.config}, gpus: none, slots: 2, workdir: {self.table.folder}"
        inventory = self.table.folder / "lab.yaml"
        inventory.write_text(f"defaults: {{{settings}}}\nhosts:\n  - gpu1: {{python: {self._script}}}\n")
        command = ("run", "--hosts", "lab.yaml", "--command", "python3 job.py")
        run = self.table.start(*command, patient=patient)
        self.table.wait_running(2)
        return run

    def finish(self, run: subprocess.Popen[str]) -> Counter[str]:
        """Let all jobs end, each of which has run once; what was done between them and burnish."""
        self.table.open(*range(JOBS))
        assert run.wait(60) in (0, 1), self.table.said()
        assert "does not answer" not in self.table.said()
        assert [len(self.table.ran(job)) for job in range(JOBS)] == [1] * JOBS
        assert {job["attempt"] for job in self.table.status().values()} == {f"{job}.1" for job in range(JOBS)}
        return Counter(Path(f"{self._script}.did").read_text().splitlines())

    def judge(self, *jobs: int) -> None:
        """These ended by themselves, and their logs are whole."""
        for job in jobs:
            assert self.table.status()[job]["reason"] == "exit 0"
            assert self.table.burnish("view", str(job)).stdout == f"job {job} on gpu1\nthe end of {job}\n"
            (warnings,) = self.table.folder.glob(f"burnish_log/*/*_job_{job}.err")
            assert warnings.read_text() == f"warning of {job}\n"


@pytest.fixture
def spoilt(bench: Bench) -> Iterator[Between]:
    made = Between(bench)
    yield made
    made.table.stop()


def test_frames_that_come_byte_by_byte_are_read(spoilt: Between) -> None:
    did = spoilt.finish(spoilt.start("pieces"))
    assert {"hello", "welcome", "list", "start", "status", "pull", "log", "ack"} <= did.keys()
    spoilt.judge(*range(JOBS))


def test_stalls_in_the_midst_of_frames_break_no_link_off(spoilt: Between) -> None:
    did = spoilt.finish(spoilt.start("stalls"))
    assert did == dict.fromkeys(("begun", *between.STALLED), 1), "or it was connected once more"
    spoilt.judge(*range(JOBS))


def test_frames_that_come_twice_do_what_they_say_once(spoilt: Between) -> None:
    """Among them the starts of jobs that are claimed ahead, and a cancel."""
    run = spoilt.start("doubles", patient=True)
    spoilt.table.burnish("cancel", "--job_id", "1")
    wait_for(lambda: spoilt.table.status()[1]["reason"] == "CANCELLED", spoilt.table.said)
    did = spoilt.finish(run)
    assert {"list", "start", "status", "cancel", "pull", "ack"} <= did.keys()
    assert spoilt.table.status()[1]["state"] == "ERROR"
    spoilt.judge(0, 2, 3)
