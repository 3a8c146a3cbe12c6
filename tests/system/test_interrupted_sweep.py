"""A sweep of 200 jobs with mixed fates, interrupted by kill -9 of everything that is burnish, ends with right states and logs."""

from __future__ import annotations

import os
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.records import paths
from tests.support.sweeps import Sweep, children, kill_if_alive, wait_until_gone
from tests.support.waiting import wait_for

JOBS = 200
INTERRUPTIONS = 5


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    sweep = Sweep.of(tmp_path, JOBS)
    yield sweep
    sweep.stop()


def started(sweep: Sweep) -> int:
    return len(list((sweep.folder / "ledger").iterdir()))


def interrupt(sweep: Sweep, after: int, *, supervisors: bool) -> int:
    """Start a run, let it start `after` more jobs, and SIGKILL it, its agent and, if asked, supervisors; how many of these."""
    goal = min(started(sweep) + after, JOBS)
    run = sweep.start("--num_workers", "6")
    wait_for(lambda: started(sweep) >= goal or run.poll() is not None, lambda: started(sweep), deadline=120)
    agents = children(run.pid)
    run.kill()
    run.wait()
    killed = 0
    if supervisors:
        killed = sum(kill_if_alive(record["go"]["supervisor"]) for record in sweep.starts())
    for agent in agents:
        wait_until_gone(agent)
    return killed


def test_killed_coordinators_and_agents_cost_no_second_start(sweep: Sweep) -> None:
    seed = random.Random(4)
    for _ in range(INTERRUPTIONS):
        interrupt(sweep, seed.randint(5, 40), supervisors=False)
    assert sweep.finish("--num_workers", "6") == 1
    assert sweep.check() == {"1": JOBS}


def test_killed_supervisors_cost_their_jobs_another_attempt_each(sweep: Sweep) -> None:
    seed = random.Random(5)
    killed = sum(interrupt(sweep, seed.randint(5, 40), supervisors=True) for _ in range(INTERRUPTIONS))
    assert killed, "no supervisor was alive when it was to be killed: this proved nothing"
    assert sweep.finish("--num_workers", "6") == 1
    needed = sweep.check(attempts=3)
    assert sum(needed.values()) == JOBS
    assert needed["1"] >= JOBS - killed


def test_a_run_with_nothing_to_start_takes_back_what_a_killed_one_left(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 4, "1.5")
    try:
        run = sweep.start("--num_workers", "4")
        wait_for(lambda: started(sweep) == 4, lambda: started(sweep))
        run.kill()
        run.wait()
        assert sweep.finish("--num_workers", "4") == 1
        assert sweep.check() == {"1": 4}
    finally:
        sweep.stop()


def test_who_looks_after_running_jobs_is_said_by_all_who_are_asked(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 2, "100")
    try:
        run = sweep.start("--num_workers", "2")
        wait_for(lambda: started(sweep) == 2 and sweep.status()[1]["state"] == "RUNNING", sweep.status)
        beside = sweep.burnish(*sweep.command, check=False)
        assert beside.returncode == 1, "a run ended with 0 although jobs it took up are not COMPLETE"
        assert f"Jobs 0-1 run on, and another burnish run looks after them (pid {run.pid} on" in beside.stderr
        assert "No burnish run" not in sweep.burnish("status").stdout
        assert f"run       pid {run.pid} on" in sweep.burnish("view", "1", "--meta").stdout
        run.kill()
        run.wait()
        assert "No burnish run looks after jobs 0-1: they run on, or have ended" in sweep.burnish("status").stdout
        assert "gone; the next burnish run takes the job back" in sweep.burnish("view", "1", "--meta").stdout
        assert "may have ended since" in sweep.burnish("explain", "1").stdout
        waiting = sweep.start_command("wait")
        wait_for(lambda: "No burnish run" not in sweep.burnish("status").stdout)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(60) == 130
        said = sweep.said(waiting)
        assert (
            "Stopped by SIGINT. Jobs 0-1 run on. burnish run takes them back; burnish cancel --all stops them." in said
        )
    finally:
        sweep.burnish("cancel", "--all", check=False)
        sweep.stop()


def test_a_cancel_that_is_interrupted_is_carried_out_all_the_same(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 1, "100")
    try:
        job = tmp_path / "job.py"
        job.write_text(
            job.read_text().replace("import fcntl", "import signal; signal.signal(15, signal.SIG_IGN)\nimport fcntl")
        )
        run = sweep.start()
        wait_for(lambda: started(sweep) == 1 and sweep.log(sweep.status()[0]), sweep.status)
        run.kill()
        run.wait()
        cancel = sweep.start_command("cancel", "--job_id", "0", "--grace", "100")
        wait_for(lambda: sweep.status()[0]["reason"] == "cancelling" or cancel.poll() is not None, sweep.status)
        cancel.send_signal(signal.SIGINT)
        # If the signal comes within an `exec`, `python -m` ends by it, whatever becomes of it; and making a dataclass, as cancel
        # does while it imports what it needs, takes some. To a shell both are 130, and `burnish` is no `python -m`.
        assert cancel.wait(60) in (130, -signal.SIGINT)
        said = sweep.said(cancel)
        assert said == (
            "Interrupted. Job 0 is to be cancelled all the same: the next burnish run or burnish cancel sees to it.\n"
        )
        assert "Job 0 is stopped after" in sweep.burnish("cancel", "--all", "--grace", "1").stderr
        assert sweep.status()[0]["reason"] == "CANCELLED"
    finally:
        sweep.stop()


def test_a_job_that_ended_by_itself_is_not_said_to_be_stopped(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 1)
    os.mkfifo(tmp_path / "go")
    try:
        run = sweep.start_command("run", "--command", f"sh -c 'read line < {tmp_path}/go'")
        wait_for(lambda: sweep.status()[0]["state"] == "RUNNING", sweep.status)
        run.kill()
        run.wait()
        (tmp_path / "go").write_text("\n")
        wait_for(lambda: paths(tmp_path, "final.json"))
        said = sweep.burnish("cancel", "--all").stderr
        assert "stopped" not in said and "Job 0 had ended before that: COMPLETE (exit 0)." in said
    finally:
        sweep.stop()


def test_a_job_that_kills_its_supervisor_each_time_is_given_up(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 3)
    try:
        poison = "[ $BURNISH_JOB_ID = 1 ] && kill -9 $PPID $$; true"
        done = sweep.burnish("run", "--command", f"sh -c '{poison}'", check=False)
        assert done.returncode == 1, done.stderr
        assert {job: (status["state"], status["attempt"]) for job, status in sweep.status().items()} == {
            0: ("COMPLETE", "0.1"), 1: ("ERROR", "1.3"), 2: ("COMPLETE", "2.1"),
        }  # fmt: skip
        assert sweep.status()[1]["reason"].startswith("LOST: killed with its supervisor")
    finally:
        sweep.stop()


def test_job_whose_supervisor_was_killed_is_said_to_be_without_one(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 1, "100")
    try:
        run = sweep.start()
        wait_for(lambda: started(sweep) == 1 and sweep.starts(), lambda: sweep.said(run))
        os.kill(sweep.starts()[0]["go"]["supervisor"]["pid"], signal.SIGKILL)
        sentence = (
            "localhost: the supervisor of job 0 was killed, and nobody will know how the job ends. It counts as running"
        )
        wait_for(lambda: sentence in sweep.said(run), lambda: sweep.said(run))
        assert sweep.status()[0]["state"] == "RUNNING"
        assert "Job 0 is stopped after" in sweep.burnish("cancel", "--job_id", "0").stderr
        assert sweep.said(run).count("supervisor of job 0") == 1
        assert re.search(r"^ended +[-\d]+ [:\d]+$", sweep.burnish("view", "0", "--meta").stdout, re.MULTILINE)
    finally:
        sweep.burnish("cancel", "--all", check=False)
        sweep.stop()
