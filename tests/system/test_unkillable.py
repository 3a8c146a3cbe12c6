"""A job that the kernel cannot end: it waits for a file server that took its request and never answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent_client import AgentClient, kill
from tests.support.hung_mount import HungMount
from tests.support.one_host import OneHost, job_pid, one_host, supervisor_pid
from tests.support.waiting import wait_for

GRACE = 0.2  # s
SLACK = 2.0  # s: any other job has ended by then
SLOT = {"cpu": [0]}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    with one_host(tmp_path) as host:
        yield host


@pytest.fixture
def disk(host: OneHost) -> Iterator[HungMount]:
    mount = HungMount(host.folder / "disk", unkillable=True)
    yield mount
    mount.end()


def waits(pid: int) -> bool:
    """Whether it waits for the file server."""
    return Path(f"/proc/{pid}/wchan").read_text() == "request_wait_answer"


def cannot_be_killed(pid: int) -> bool:
    """Whether it waits for the file server in a way that no signal ends: so it does once SIGKILL has come."""
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return waits(pid) and state == "D"


def is_busy(link: AgentClient) -> bool:
    status = link.wait_status(link.start("true", slots=SLOT), "void", "ended")
    return status["status"] == "void" and bool(status["start"]["void"]["busy"])


@pytest.mark.parametrize("supervised", [True, False], ids=["supervised", "supervisor killed"])
def test_job_that_cannot_be_killed_keeps_its_slot_and_has_not_ended(
    host: OneHost, disk: HungMount, supervised: bool
) -> None:
    link = host.connect()
    attempt = link.start("cat", str(host.folder / "disk" / "data"), slots=SLOT)
    running = link.wait_status(attempt, "running")
    job = job_pid(running)
    wait_for(lambda: waits(job), "it does not hang")
    if not supervised:
        kill(supervisor_pid(running))
        assert link.wait_status(attempt, "running")["supervised"] is False
    asked = time.monotonic()
    link.ask("cancel", "status", attempt=attempt, grace=GRACE, by="alice")
    wait_for(lambda: cannot_be_killed(job), "nobody kills it, or it could be killed")
    while time.monotonic() < asked + GRACE + SLACK:
        assert is_busy(link), "another job was given its slot"
        fresh = host.connect()
        assert fresh.statuses()[attempt]["status"] == "running" and is_busy(fresh)
    assert cannot_be_killed(job)
    disk.end()
    final = link.wait_status(attempt, "ended")["final"]
    assert (final["exit"] if supervised else final["lost"])["cancelled"] == "alice"
    assert not is_busy(host.connect())
