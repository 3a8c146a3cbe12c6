"""A host loses power under a job: whatever of its newest files that takes, the job is lost for once, and runs again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.hosts import Bench, RemoteHost
from tests.support.records import forge
from tests.support.removing import remove_with_tenants
from tests.support.sweeps import Sweep
from tests.support.waiting import wait_for

JOB = """\
import os, sys, time
if not os.path.exists("begun"):
    os.mkdir("begun")
    time.sleep(float(sys.argv[2]))
"""


def no_folder(attempt: Path) -> None:
    shutil.rmtree(attempt)


def no_start_record(attempt: Path) -> None:
    (attempt / "start.json").unlink()


def empty_start_record(attempt: Path) -> None:
    forge(attempt / "start.json", b"")


@pytest.fixture
def host(bench: Bench) -> RemoteHost:
    return bench.add("gpu1")


@pytest.fixture
def sweep(bench: Bench, host: RemoteHost) -> Iterator[Sweep]:
    """One job that works for half a minute the first time, and not at all the second."""
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    folder.chmod(0o777)
    (folder / "home").mkdir()
    (folder / "job.py").write_text(JOB)
    (folder / "jobs.csv").write_text("fate,work\nok,30\n")
    (folder / "lab.yaml").write_text(
        f"defaults: {{ssh_config: {bench.config}, gpus: none, slots: 1, workdir: {folder}}}\nhosts: [gpu1]\n"
    )
    made = Sweep(folder, python="python3")
    made.burnish("create", "--csv", "jobs.csv")
    yield made
    made.stop()
    remove_with_tenants(folder)


@pytest.mark.parametrize("take", [no_folder, no_start_record, empty_start_record])
def test_what_a_power_loss_takes_of_an_attempt_costs_one_more_attempt(
    sweep: Sweep, host: RemoteHost, take: Callable[[Path], None]
) -> None:
    run = sweep.start("--hosts", "lab.yaml")
    wait_for(lambda: sweep.status()[0]["state"] == "RUNNING", lambda: sweep.status(), deadline=60)
    host.stop()
    attempt = next(host.home.glob(".burnish/*/attempts/*/0.1-*"))
    take(attempt)
    host.start()
    assert run.wait(timeout=60) == 0
    job = sweep.status()[0]
    assert (job["state"], job["attempt"]) == ("COMPLETE", "0.2")
    facts = [path.read_text() for path in sorted((sweep.folder / ".burnish").rglob("log/*/*.jsonl"))]
    assert sum(text.count('"AttemptLost"') for text in facts) == 1
    assert not any('"AttemptVoided"' in text for text in facts)
