"""Commands whose table the disk refuses to write: what they ask for is done, and they say what is done and what is not."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sweeps import Sweep, wait_until_gone
from tests.support.waiting import wait_for

NO_ROOM = """
import errno, os
from burnish.store.table_file import TableFile
from burnish.__main__ import main

def refused(self, table, like, mode):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
TableFile._write = refused
main()
"""
HOLDS = "What is said above holds all the same; the table will say so when it can be written."


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    made = Sweep.of(tmp_path, 3, "600", fates=["ok"])
    yield made
    made.stop()


def orphan(sweep: Sweep, *options: str) -> dict[str, int]:
    """The process of a job whose run was killed after it had written that the job runs."""
    run = sweep.start("--num_workers", "1", "--job_id", "0", *options)
    table = sweep.folder / "burnish.db"
    wait_for(lambda: "0,RUNNING" in table.read_text() and sweep.ledger(0), lambda: sweep.said(run))
    run.send_signal(signal.SIGKILL)
    run.wait()
    (record,) = sweep.starts()
    process: dict[str, int] = record["go"]["supervisor"]
    return process


def test_a_job_is_cancelled_though_the_table_cannot_be_written(sweep: Sweep) -> None:
    supervisor = orphan(sweep)
    before = (sweep.folder / "burnish.db").read_text()
    sweep.program = ("-c", NO_ROOM)
    done = sweep.burnish("cancel", "--job_id", "0,1", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 2 and "disk is full" in said and HOLDS in said, said
    assert "Job 0 is stopped after" in said and "Job 1 is on HOLD now instead of waiting" in said, said
    wait_until_gone(supervisor["pid"])
    assert (sweep.folder / "burnish.db").read_text() == before
    sweep.program = ("-m", "burnish")
    assert [job["reason"] for job in sweep.status().values()][:2] == ["CANCELLED", "CANCELLED"]
    assert "0,ERROR,ok,600\n1,HOLD" in (sweep.folder / "burnish.db").read_text(), said


def test_a_cancel_whose_end_cannot_be_written_is_no_success(sweep: Sweep) -> None:
    """Nothing was to be written before that."""
    supervisor = orphan(sweep)
    sweep.program = ("-c", NO_ROOM)
    done = sweep.burnish("cancel", "--job_id", "0", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 2 and "Job 0 is stopped after" in said and HOLDS in said, said
    wait_until_gone(supervisor["pid"])


def test_a_job_is_cancelled_and_reset_though_the_table_cannot_be_written(sweep: Sweep) -> None:
    supervisor = orphan(sweep)
    sweep.program = ("-c", NO_ROOM)
    done = sweep.burnish("reset", "--kill", "--job_id", "0", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 2 and HOLDS in said and "Job 0 is NOT_RUNNING again." in said, said
    wait_until_gone(supervisor["pid"])


@pytest.mark.parametrize("verb", ["hold", "release", "reset"])
def test_a_command_about_waiting_jobs_is_carried_out_and_says_that_the_table_does_not_say_so(
    sweep: Sweep, verb: str
) -> None:
    sweep.burnish("hold", "--job_id", "0")
    sweep.program = ("-c", NO_ROOM)
    done = sweep.burnish(verb, "--job_id", "1" if verb == "hold" else "0", check=False)
    said = done.stdout + done.stderr
    answer = {"hold": "Job 1 is on HOLD.", "release": "Job 0 is released.", "reset": "Job 0 is NOT_RUNNING again."}
    assert done.returncode == 2 and answer[verb] in said and HOLDS in said, said
    sweep.program = ("-m", "burnish")
    sweep.burnish("status")
    words = [line.split(",")[1] for line in (sweep.folder / "burnish.db").read_text().splitlines()[1:]]
    assert words == [*{"hold": ("HOLD", "HOLD")}.get(verb, ("NOT_RUNNING", "NOT_RUNNING")), "NOT_RUNNING"]
