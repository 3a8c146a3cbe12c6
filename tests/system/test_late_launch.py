"""A launch that comes late, twice, or after its void: the command runs at most once, and never after a void."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.remote.agent.locks import HELD, lock_state
from burnish.remote.agent.records import write_once
from tests.support.agent_client import new_attempt
from tests.support.one_host import OneHost, one_host, supervisor_pid
from tests.support.waiting import wait_for


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    with one_host(tmp_path) as host:
        yield host


def test_lost_reply_and_resends_from_two_coordinators_start_once(host: OneHost) -> None:
    attempt = new_attempt()
    host.connect().start(*host.ledger_job("sleep 0.2"), attempt=attempt)  # this one's reply is never read
    first, second = host.connect(), host.connect()
    for _ in range(5):
        first.start(*host.ledger_job("sleep 0.2"), attempt=attempt)
        second.start(*host.ledger_job("sleep 0.2"), attempt=attempt)
    for link in (first, second):
        assert link.wait_status(attempt, "ended")["final"]["exit"]["code"] == 0
    assert host.runs() == 1


def test_launch_frozen_in_an_agents_input_finds_the_tombstone(host: OneHost) -> None:
    frozen, fresh = host.connect(), host.connect()
    attempt = new_attempt()
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        frozen.start(*host.ledger_job(), attempt=attempt)
        assert fresh.void(attempt)["status"] == "void"
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    assert frozen.wait_status(attempt, "void")["start"]["void"]["why"] == "the test says so"
    assert frozen.run("true")["status"] == "ended"  # so the frozen request has been served
    assert host.runs() == 0


def test_launch_frozen_until_after_ack_finds_the_tombstone(host: OneHost) -> None:
    frozen, fresh = host.connect(), host.connect()
    attempt = new_attempt()
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        frozen.start(*host.ledger_job(), attempt=attempt)
        assert fresh.run(*host.ledger_job(), attempt=attempt)["status"] == "ended"
        fresh.ack(attempt)
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    assert frozen.wait_status(attempt, "ended")["final"]["exit"]["code"] == 0
    assert host.runs() == 1


def test_void_wins_against_a_supervisor_that_is_on_its_way(host: OneHost, tmp_path: Path) -> None:
    """The supervisor hangs where it opens the job's log, a pipe that nobody reads; then the void comes, then a reader."""
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    link, other = host.connect(), host.connect()
    attempt = link.start(*host.ledger_job(), out=str(fifo))
    assert link.wait_status(attempt, "starting")
    assert other.void(attempt)["status"] == "void"
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        wait_for(lambda: lock_state(host.place(attempt).lock) != HELD)
    finally:
        os.close(reader)
    assert link.wait_status(attempt, "void")
    assert host.runs() == 0 and host.processes() == []


def test_supervisor_killed_on_its_way_never_ran_the_job(host: OneHost, tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    link = host.connect()
    attempt = link.start(*host.ledger_job(), out=str(fifo))
    link.wait_status(attempt, "starting")
    # The agent has a look at its lock, too.
    (supervisor,) = wait_for(lambda: len(found := host.processes()) == 1 and found)
    os.kill(supervisor, signal.SIGKILL)
    assert link.wait_status(attempt, "void")["start"]["void"]["trouble"] is True
    assert host.runs() == 0


def test_cancel_of_an_attempt_on_its_way_voids_it(host: OneHost, tmp_path: Path) -> None:
    fifo = tmp_path / "log"
    os.mkfifo(fifo)
    link = host.connect()
    attempt = link.start(*host.ledger_job(), out=str(fifo))
    link.wait_status(attempt, "starting")
    answer = link.ask("cancel", "status", attempt=attempt, grace=1, by="alice")
    assert answer["start"]["void"]["why"] == "cancelled by alice before it started"
    with open(fifo, "rb"):
        wait_for(lambda: host.processes() == [])
    assert host.runs() == 0


def test_supervise_mode_runs_the_same_supervisor(host: OneHost) -> None:
    """What a batch script calls, in the foreground."""
    import subprocess

    from tests.support.agent_client import make_spec
    from tests.support.one_host import PYTHON

    link = host.connect()
    attempt = new_attempt()
    host.folder_of(attempt).mkdir(mode=0o700)
    spec = make_spec(*host.ledger_job("exit 3"))
    write_once(str(host.folder_of(attempt) / "spec.json"), spec)
    (kept,) = host.home.glob("agent-*.py")
    subprocess.run([PYTHON, "-I", "-S", kept, "supervise", host.folder_of(attempt)], check=True, timeout=60)
    status = link.status(attempt)
    assert status["final"]["exit"]["code"] == 3 and supervisor_pid(status) and host.runs() == 1
