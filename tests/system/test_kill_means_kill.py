"""A cancel ends everything that the job started, and nothing else; with its supervisor dead, all that left a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent_client import alive, kill
from tests.support.one_host import OneHost, job_pid, one_host, supervisor_pid
from tests.support.waiting import wait_for

GRACE = 0.5  # s
SLACK = 2.0  # s

# Each notes the pids of all its processes in the folder $PIDS, as names of files, and touches $PIDS.ready.
PROGRAMS = {
    "plain": "note; ready; sleep 1000",
    "deaf": "trap '' TERM; note; ready; while :; do sleep 0.05; done",
    "pipe": "(note; sleep 1000) | (note; ready; sleep 1000)",
    "crowd": "for i in $(seq 200); do (note; exec sleep 1000) & done; note; ready; wait",
    "stopped": "note; ready; kill -STOP $$",
    "zombie parent": "note; (note; sleep 0.01) & ready; exec sleep 1000",
    "pool": "exec $PYTHON $PIDS.pool",
    "daemon without its environment": "(setsid env -i PIDS=$PIDS /bin/bash -c '$daemon' &); note; ready; sleep 1000",
    "daemon without the lock": "(setsid /bin/bash -c 'exec 100>&-; $daemon' &); note; ready; sleep 1000",
}
# Only a living supervisor, being the subreaper, can find these.
TRACELESS = {
    "escaped child": "setsid env -i PIDS=$PIDS /bin/bash -c 'exec 100>&-; $daemon' & note; ready; sleep 1000",
    "escaped daemon": "(setsid env -i PIDS=$PIDS /bin/bash -c 'exec 100>&-; $daemon' &); note; ready; sleep 1000",
}
HEAD = """
note() { touch "$PIDS/$(exec sh -c 'echo $PPID')"; }
ready() { touch "$PIDS.ready"; }
"""
ALL_NOTED = "until [ $(ls $PIDS | wc -l) = 2 ]; do sleep 0.01; done"
DAEMON = 'touch "$PIDS/$$"; exec >/dev/null 2>&1 0</dev/null; exec sleep 1000'
POOL = """
import multiprocessing, os, time
def work(_):
    open(os.path.join(os.environ["PIDS"], str(os.getpid())), "w").close()
    time.sleep(1000)
if __name__ == "__main__":
    open(os.path.join(os.environ["PIDS"], str(os.getpid())), "w").close()
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map_async(work, range(3), chunksize=1)
        while len(os.listdir(os.environ["PIDS"])) < 4:
            time.sleep(0.01)
        open(os.environ["PIDS"] + ".ready", "w").close()
        time.sleep(1000)
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    with one_host(tmp_path) as host:
        yield host


@pytest.fixture
def bystanders() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of the same user that have nothing to do with the job: the same program, in this session and in their own."""
    processes = [subprocess.Popen(["sleep", "1000"], start_new_session=own) for own in (False, True)]
    yield processes
    for process in processes:
        process.kill()
        process.wait()


class Victim:
    """A job that runs one of the programs."""

    def __init__(self, host: OneHost, program: str) -> None:
        self.host = host
        self.pids_folder = host.folder / "pids"
        self.pids_folder.mkdir()
        (host.folder / "pids.pool").write_text(POOL)
        env = {"PIDS": str(self.pids_folder), "PYTHON": sys.executable}
        script = HEAD + program.replace("$daemon", DAEMON)
        self.link = host.connect()
        self.attempt = self.link.start("/bin/sh", "-c", script, env=env)
        self.running = self.link.wait_status(self.attempt, "running")
        wait_for((host.folder / "pids.ready").exists)
        expected = {"crowd": 201, "pipe": 2, "pool": 4}.get(
            next((n for n, p in PROGRAMS.items() if p == program), ""), 1
        )
        expected += "setsid" in program
        wait_for(lambda: len(self.pids()) >= expected, self.pids)

    def pids(self) -> set[int]:
        return {int(name) for name in os.listdir(self.pids_folder)} | {job_pid(self.running)}

    def living(self) -> set[int]:
        return {pid for pid in self.pids() if alive(pid)}


@pytest.mark.parametrize("program", [*PROGRAMS, *TRACELESS])
@pytest.mark.parametrize("agent_killed", [False, True], ids=["agent alive", "agent killed"])
def test_cancel_ends_the_whole_tree(
    host: OneHost, bystanders: list[subprocess.Popen[bytes]], program: str, agent_killed: bool
) -> None:
    victim = Victim(host, {**PROGRAMS, **TRACELESS}[program])
    link = victim.link
    if agent_killed:
        kill(link.pid)
        wait_for(lambda: not alive(link.pid))
        link = host.connect()
    asked = time.monotonic()
    ended = link.cancel(victim.attempt, GRACE, deadline=GRACE + SLACK + 10)
    assert time.monotonic() - asked < GRACE + SLACK
    assert ended["final"]["exit"]["cancelled"] == "alice"
    assert victim.living() == set()
    assert [process.poll() for process in bystanders] == [None, None]
    wait_for(lambda: host.processes() == [], host.processes)  # a supervisor goes once it has said all


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("locks_wiped", [False, True], ids=["locks there", "locks wiped"])
def test_cancel_works_when_the_supervisor_is_dead(
    host: OneHost, bystanders: list[subprocess.Popen[bytes]], program: str, locks_wiped: bool
) -> None:
    victim = Victim(host, PROGRAMS[program])
    if locks_wiped:
        for file in host.locks.iterdir():
            file.unlink()
    kill(supervisor_pid(victim.running))
    asked = time.monotonic()
    link = host.connect()
    ended = link.cancel(victim.attempt, GRACE, deadline=GRACE + SLACK + 10)
    assert time.monotonic() - asked < GRACE + SLACK
    assert ended["final"]["lost"]["cancelled"] == "alice"
    assert victim.living() == set()
    assert [process.poll() for process in bystanders] == [None, None]


def test_cancel_is_carried_out_although_supervisor_and_agent_die_over_it(host: OneHost) -> None:
    victim = Victim(host, PROGRAMS["deaf"])
    victim.link.ask("cancel", "status", attempt=victim.attempt, grace=1000, by="alice")
    kill(victim.link.pid)
    kill(supervisor_pid(victim.running))
    wait_for(lambda: not alive(supervisor_pid(victim.running)))
    link = host.connect()
    assert link.statuses()[victim.attempt]["supervised"] is False  # from here on that agent's undertaker is at work
    assert victim.living()
    assert link.cancel(victim.attempt, 0.1)["final"]["lost"]["cancelled"] == "alice"
    assert victim.living() == set()


def test_agent_that_comes_later_carries_out_a_cancel_by_itself(host: OneHost) -> None:
    victim = Victim(host, PROGRAMS["deaf"])
    victim.link.ask("cancel", "status", attempt=victim.attempt, grace=0.5, by="alice")
    kill(supervisor_pid(victim.running))
    kill(victim.link.pid)
    wait_for(lambda: not alive(supervisor_pid(victim.running)))
    link = host.connect()
    link.statuses()
    wait_for(lambda: link.status(victim.attempt)["status"] == "ended")
    assert victim.living() == set()


def test_cancel_wakes_a_stopped_supervisor(host: OneHost) -> None:
    victim = Victim(host, PROGRAMS["plain"])
    os.kill(supervisor_pid(victim.running), signal.SIGSTOP)
    assert victim.link.cancel(victim.attempt, GRACE)["final"]["exit"]["cancelled"] == "alice"


@pytest.mark.parametrize("number", ["TERM", "INT", "HUP", "QUIT", "USR1", "CHLD"])
def test_signals_meant_for_others_do_not_end_a_supervisor(host: OneHost, number: str) -> None:
    victim = Victim(host, PROGRAMS["plain"])
    os.kill(supervisor_pid(victim.running), signal.Signals[f"SIG{number}"])
    os.kill(job_pid(victim.running), signal.SIGTERM)
    ended = victim.link.wait_status(victim.attempt, "ended")
    assert ended["final"]["exit"]["signal"] == signal.SIGTERM
    assert ended["final"]["exit"]["cancelled"] is None


@pytest.mark.parametrize("program", TRACELESS)
def test_what_a_job_leaves_behind_is_ended_and_counted(host: OneHost, program: str) -> None:
    victim = Victim(host, TRACELESS[program].replace("ready; sleep 1000", f"{ALL_NOTED}; ready; exit 7"))
    ended = victim.link.wait_status(victim.attempt, "ended")
    assert ended["final"]["exit"]["code"] == 7
    assert ended["final"]["exit"]["leftovers"] == 1
    assert victim.living() == set()


def test_leftover_that_ignores_term_gets_its_two_seconds(host: OneHost) -> None:
    link = host.connect()
    script = "(trap '' TERM; while :; do sleep 0.05; done) & exit 0"
    ended = link.run("/bin/sh", "-c", script)
    exit_record = ended["final"]["exit"]
    assert exit_record["code"] == 0 and exit_record["leftovers"] >= 1
    assert exit_record["duration"] < 1.5  # of the job, not of its leftovers
    assert host.processes() == []
