"""burnish, an agent, a batch script that are started by a program that ignores SIGCHLD, as some do that want no zombies.

It outlives an execve, and then the kernel does not tell who waits how a child has ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.remote.agent.records import read_record, write_once
from tests.support import beginnings
from tests.support.agent_client import make_spec, new_attempt
from tests.support.bad_disks import Refusing, Target
from tests.support.one_host import PYTHON, OneHost, one_host, python_under, supervisor_pid
from tests.support.sweeps import ENDS, Sweep
from tests.support.waiting import wait_for

IGNORING = ("env", "--ignore-signal=CHLD")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    with one_host(tmp_path) as made:
        yield made


@pytest.mark.parametrize("pad", ["", "x" * (70 << 10)], ids=["of a crew", "alone"])
def test_end_of_a_job_is_told_where_its_agent_was_to_ignore_it(host: OneHost, pad: str) -> None:
    """With `pad`, by a supervisor for one attempt."""
    link = host.connect(python_under(host, " ".join(IGNORING)))
    attempt = link.start("/bin/sh", "-c", "sleep 0.2; exit 7", env={"PAD": pad})
    assert link.wait_status(attempt, "ended")["final"]["exit"]["code"] == 7


def test_job_begins_without_what_its_agent_was_to_ignore(host: OneHost) -> None:
    link = host.connect(python_under(host, " ".join(IGNORING)))
    told = link.pull(link.run("/bin/sh", "-c", beginnings.TELL)["attempt"]).decode()
    beginnings.assert_as_from_a_shell(told, beginnings.umask())


def test_end_of_a_job_of_a_batch_script_that_was_to_ignore_it(host: OneHost) -> None:
    host.connect()  # it brings the agent's text
    (source,) = host.home.glob("agent-*.py")
    folder = host.folder_of(new_attempt())
    folder.mkdir(mode=0o700)
    write_once(str(folder / "spec.json"), make_spec("/bin/sh", "-c", "sleep 0.2; exit 7"))
    assert subprocess.run([*IGNORING, PYTHON, "-I", str(source), "supervise", str(folder)], timeout=60).returncode == 0
    assert (read_record(str(folder / "final.json")) or {})["exit"]["code"] == 7


RUNNER = """
import subprocess, sys
def runner(runner_args, job_dict):
    assert subprocess.run(["sh", "-c", "exit 3"]).returncode == 3, "how a program of the runner's ended is not known"
    return [sys.executable, "job.py", job_dict["fate"], job_dict["work"]]
"""


def test_run_that_was_to_ignore_it_knows_how_all_ended_that_it_started(tmp_path: Path) -> None:
    """A run that leaves its terminal is a child of who started it, jobs are their supervisors', and a function has its own."""
    sweep = Sweep.of(tmp_path, jobs=4, fates=("ok", "fail", "kill"))
    (tmp_path / "example.py").write_text(RUNNER)
    run = [*IGNORING, sys.executable, *sweep.program, "run", "--detach", "--func", "example.runner"]

    def code() -> int:
        return subprocess.run(run, cwd=tmp_path, env=sweep.environment, capture_output=True, timeout=60).returncode

    assert code() == 0
    sweep.burnish("wait", check=False)
    jobs = json.loads(sweep.burnish("status", "--json").stdout)["jobs"]
    assert [job["reason"] for job in jobs] == [ENDS[fate] for fate in ("ok", "fail", "kill", "ok")]
    (tmp_path / "example.py").write_text("no Python")
    assert code() == 2


@pytest.mark.parametrize("cancelled", [False, True])
def test_end_that_the_kernel_does_not_tell_is_lost_and_said_so(host: OneHost, cancelled: bool) -> None:
    """Nobody can know it any more. It is no exit, and no supervisor dies of it."""
    link = host.connect()
    attempt = link.start("/bin/sh", "-c", "read line <$FIFO", env={"FIFO": fifo(host.folder / "fifo")})
    supervisor = supervisor_pid(link.wait_status(attempt, "running"))
    wait_for(lambda: b") S " in Path(f"/proc/{supervisor}/stat").read_bytes())  # it has said so, and looked once more
    untold = Refusing("ECHILD", (), "wait4")
    untold.begin(Target(host.folder, (supervisor,), follow=False))
    try:
        if cancelled:
            ended = link.cancel(attempt)
        else:
            (host.folder / "fifo").write_text("go on\n")
            ended = link.wait_status(attempt, "ended")
    finally:
        untold.end()
    lost = ended["final"]["lost"]
    assert lost["why"] == "the kernel did not say how it ended"
    assert lost.get("cancelled") == ("alice" if cancelled else None)
    again = link.start("/bin/sh", "-c", "sleep 0.1; exit 7")
    running = link.wait_status(again, "running")
    assert supervisor_pid(running) == supervisor
    assert link.wait_status(again, "ended")["final"]["exit"]["code"] == 7


def fifo(path: Path) -> str:
    os.mkfifo(path)
    return str(path)
