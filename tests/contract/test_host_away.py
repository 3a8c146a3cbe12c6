"""A host is away with a job that runs there, and somebody wants the job anew: what is refused, what he may force, and what
comes of it once the host is back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.gated import Gated
from tests.support.hosts import Bench, RemoteHost
from tests.support.waiting import wait_for

# burnish, but a cancel gives a job a second, and its host no longer than that.
IMPATIENT = """
from burnish import session
session.CANCEL_LIMIT, session.Session.cancel.__defaults__ = 0, (1.0,)
from burnish.cli.main import main
main()
"""


@pytest.fixture
def table(bench: Bench) -> Iterator[Gated]:
    """Four jobs, and two hosts that take one each."""
    for name in ("gpu1", "gpu2"):
        bench.add(name)
    made = Gated.of(bench, 4)
    made.inventory("gpu1", "gpu2", slots=1)
    yield made
    made.stop()


def cable(host: RemoteHost, state: str) -> None:
    subprocess.run(["ip", "link", "set", host.cable, state], check=True)


def living(host: RemoteHost) -> int:
    """How many jobs run on a host, whatever anybody knows of them."""

    def is_job(pid: int) -> bool:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as words:
                return b"job.py" in words.read()
        except OSError:
            return False

    return sum(map(is_job, host.processes()))


def away_with_a_job(bench: Bench, table: Gated) -> int:
    """The job on gpu2, which is away by now; the other host's job runs, too, and no run."""
    table.orphan(2)
    [job] = [job for job, host in table.running_jobs().items() if host == "gpu2"]
    cable(bench.hosts["gpu2"], "down")
    return job


def test_job_of_a_host_that_is_away_is_not_started_anew_and_ends_when_the_host_is_back(
    bench: Bench, table: Gated
) -> None:
    there = away_with_a_job(bench, table)
    assert f"{there}" in table.burnish("reset", "--yes", "--job_id", str(there)).stderr
    reset = table.start("reset", "--yes", "--kill", "--job_id", str(there), into="reset.txt", program=IMPATIENT)
    assert reset.wait(60) == 3, table.said("reset.txt")
    assert f"Job {there} is not seen to end: no word from gpu2. It is done when the host answers." in table.said(
        "reset.txt"
    )
    assert f"left as it is. Once it has ended: burnish reset --job_id {there}" in table.said("reset.txt")
    status = table.status()[there]
    assert (status["state"], status["attempt"], status["host"]) == ("RUNNING", f"{there}.1", "gpu2")
    table.open(*(set(range(4)) - {there}))
    run = table.run()
    wait_for(lambda: table.ran(2) and table.ran(3), table.said)
    assert len(table.ran(there)) == living(bench.hosts["gpu2"]) == 1, "it runs where it did, and nowhere else"
    cable(bench.hosts["gpu2"], "up")
    wait_for(lambda: run.poll() is not None, table.said, deadline=90)
    assert living(bench.hosts["gpu2"]) == 0 and len(table.ran(there)) == 1
    status = table.status()[there]
    assert (status["state"], status["reason"], status["attempt"]) == ("ERROR", "CANCELLED", f"{there}.1")


def test_job_of_a_host_that_is_forgotten_runs_anew_and_both_runs_are_shown(bench: Bench, table: Gated) -> None:
    there = away_with_a_job(bench, table)
    assert "a reset starts a second copy" in table.burnish("forget", "gpu2").stderr
    facts = [
        json.loads(line)
        for commit in sorted((table.folder / ".burnish").rglob("*.jsonl"))
        for line in commit.read_text().splitlines()
    ]
    [forgotten] = [fact for fact in facts if "HostForgotten" in str(fact) and "gpu2" in str(fact)]
    assert "by" in str(forgotten), "the journal says who it was"
    table.burnish("reset", "--yes", "--job_id", str(there))
    table.open(*(set(range(4)) - {there}))
    table.burnish("hold", "--job_id", "3")
    run = table.run("--limit", "gpu1", "--job_id", f"{there},2")
    wait_for(lambda: len(table.ran(there)) == 2, table.said)
    cable(bench.hosts["gpu2"], "up")
    # What is there still holds its slot, though nobody waits for it: no other job gets that.
    table.burnish("release", "--job_id", "3")
    pinned = table.start(
        "run",
        "--hosts",
        "lab.yaml",
        "--limit",
        "gpu2",
        "--job_id",
        "3",
        "--command",
        "python3 job.py",
        into="pinned.txt",
    )
    wait_for(
        lambda: "taken by another burnish job" in table.burnish("explain", "3").stdout, lambda: table.said("pinned.txt")
    )
    assert table.ran(3) == [] and living(bench.hosts["gpu2"]) == 1
    table.open(there)  # both copies end
    assert run.wait(60) == 0 and pinned.wait(60) == 0, f"{table.said()}\n{table.said('pinned.txt')}"
    status = table.status()[there]
    assert (status["state"], status["attempt"]) == ("COMPLETE", f"{there}.2")
    first, second = (table.burnish("view", str(there), "--meta", "--attempt", str(n)).stdout for n in (1, 2))
    assert "gpu2 was forgotten by" in first and "gpu1" in second and "COMPLETE" in second, f"{first}\n{second}"
