"""A job that the kernel cannot end: it waits for a file server that took its request and never answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent_client import AgentClient, kill
from tests.support.gated import Gated
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
    wait_for(lambda: disk.taken and waits(job), "it does not hang")
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


# burnish, but a job has eight seconds beyond its grace.
IMPATIENT = "from burnish import session; session.CANCEL_LIMIT = 8.0; from burnish.cli.main import main; main()"


def test_cancel_says_that_the_host_was_told_and_the_job_lives() -> None:
    table = Gated.of(None, 1)
    disk = HungMount(table.folder / "disk", unkillable=True)
    try:
        run = table.start("run", "--command", f"cat {table.folder}/disk/data")
        table.wait_running(1)
        pid = table.status()[0]["pid"]
        wait_for(lambda: disk.taken and waits(pid), "it does not hang")
        cancel = table.start("cancel", "--all", "--grace", "0.2s", into="cancel.txt", program=IMPATIENT)
        assert cancel.wait(60) == 3, table.said("cancel.txt")
        said = table.said("cancel.txt")
        assert "Job 0 is not seen to end: localhost was told, and its processes have not ended" in said, said
        assert f"started as pid {pid}" in said and f"hint: on localhost: ps -s {pid} " in said, said
        disk.end()
        assert run.wait(60) == 1, table.said()
        assert table.status()[0]["reason"] == "CANCELLED"
    finally:
        disk.end()
        table.stop()
