"""What a person may still want of a job that is claimed ahead, until it starts; and which jobs are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gated import Gated
from support.sweeps import Sweep
from support.waiting import wait_for

QUICK = range(3)  # these jobs end at once; those after them wait for their gates
LEADER, FOLLOWER, LAST = 3, 4, 6
RUN = ("run", "--num_workers", "1", "--command", "python3 job.py {n}")


@pytest.fixture
def table() -> Iterator[Gated]:
    made = Gated.of(None, LAST + 1)
    made.open(*QUICK)
    yield made
    made.stop()


@pytest.fixture
def ahead(table: Gated) -> Gated:
    """A run with one worker: job 3 has it, and job 4 is claimed for it."""
    table.start(*RUN, patient=True)
    wait_until_next(table, FOLLOWER)
    return table


def wait_until_next(table: Gated, job: int) -> None:
    wait_for(
        lambda: table.status()[job]["reason"] == f"next after job {LEADER}", lambda: f"{table.status()}\n{table.said()}"
    )
    assert table.status()[job]["state"] == "NOT_RUNNING"


def finish(table: Gated, *but: int) -> None:
    """Let the run come to its end, and see which jobs ran: each once, none of `but`."""
    table.open(*range(LAST + 1))
    assert table.running[-1].wait(timeout=60) == 0, table.said()
    assert [len(table.ran(job)) for job in range(LAST + 1)] == [job not in but for job in range(LAST + 1)]


def test_held_it_does_not_start(ahead: Gated) -> None:
    ahead.burnish("hold", "--job_id", "4")
    wait_for(lambda: ahead.status()[FOLLOWER]["state"] == "HOLD", ahead.status)
    finish(ahead, FOLLOWER)


def test_cancelled_it_does_not_start(ahead: Gated) -> None:
    ahead.burnish("cancel", "--job_id", "4")
    job = ahead.status()[FOLLOWER]
    assert (job["state"], job["reason"]) == ("HOLD", "CANCELLED")
    finish(ahead, FOLLOWER)


def test_edited_row_is_what_runs(ahead: Gated) -> None:
    rows = (ahead.folder / "burnish.db").read_text()
    assert "4,NOT_RUNNING,4\n" in rows
    (ahead.folder / "burnish.db").write_text(rows.replace("4,NOT_RUNNING,4\n", "4,NOT_RUNNING,forty\n"))
    wait_for(lambda: ahead.status()[FOLLOWER]["attempt"] == "4.2", ahead.status)  # the first one was called back
    finish(ahead)
    assert ahead.ran(FOLLOWER) == ["forty"]


def test_deleted_row_does_not_start(ahead: Gated) -> None:
    rows = (ahead.folder / "burnish.db").read_text()
    (ahead.folder / "burnish.db").write_text(rows.replace("4,NOT_RUNNING,4\n", ""))
    wait_until_next(ahead, 5)
    finish(ahead, FOLLOWER)


def test_row_of_higher_priority_goes_first(ahead: Gated) -> None:
    lines = (ahead.folder / "burnish.db").read_text().splitlines()
    fresh = ["JOB_ID,STATE,PRIORITY,n"]
    for line in lines[1:]:
        job, state, n = line.split(",")
        fresh.append(f"{job},{state},{9 if job == '6' else ''},{n}")
    (ahead.folder / "burnish.db").write_text("\n".join(fresh) + "\n")
    wait_until_next(ahead, 6)
    assert ahead.status()[FOLLOWER]["reason"] == ""
    finish(ahead)


def test_job_that_lasts_long_keeps_nobody_waiting_behind_it(table: Gated) -> None:
    """Here a second is long: another slot, or another run, may take the next job instead."""
    run = table.start(*RUN)
    wait_for(lambda: table.ran(LEADER), table.said)
    wait_for(lambda: "keeps its slot for long" in table.burnish("explain", "4").stdout, table.said)
    assert table.status()[FOLLOWER]["reason"] == ""
    assert run.poll() is None
    finish(table)


def test_as_many_are_claimed_as_were_asked_for(table: Gated) -> None:
    table.open(LEADER, FOLLOWER)
    run = table.start(*RUN, "--num_jobs", "5", patient=True)
    assert run.wait(timeout=30) == 0
    assert [len(table.ran(job)) for job in range(LAST + 1)] == [1] * 5 + [0] * 2


def test_called_back_it_is_not_one_of_the_jobs_that_were_asked_for(table: Gated) -> None:
    run = table.start(*RUN, "--num_jobs", "5", patient=True)
    wait_until_next(table, FOLLOWER)
    table.burnish("hold", "--job_id", "4")
    wait_until_next(table, 5)
    table.open(*range(LAST + 1))
    assert run.wait(timeout=30) == 0
    assert [len(table.ran(job)) for job in range(LAST + 1)] == [1, 1, 1, 1, 0, 1, 0]


def claims(folder: Path) -> list[dict[str, Any]]:
    journal = "".join(path.read_text() for path in sorted((folder / ".burnish").rglob("log/*/*.jsonl")))
    return [json.loads(line) for line in journal.splitlines() if line.startswith('{"fact":"AttemptClaimed"')]


def test_one_worker_has_a_successor_waiting_while_jobs_are_short(tmp_path: Path) -> None:
    """Nothing is reported between the start of a job and its end: whoever waits for a report claims the next one too late."""
    sweep = Sweep.of(tmp_path, 12, work="0.2")
    assert sweep.start("--num_workers", "1").wait(60) == 1, "jobs of all fates"
    made = claims(tmp_path)
    assert len(made) == 12
    assert sum(bool(claim["after"]) for claim in made) >= 8


def test_job_that_is_over_before_its_start_is_heard_of_has_a_successor_all_the_same(tmp_path: Path) -> None:
    """Of a hundred some sixty have: the others were over before their successor could be claimed, too."""
    sweep = Sweep.of(tmp_path, 100)
    assert sweep.burnish("run", "-q", "--num_workers", "1", "--command", "/bin/true").returncode == 0
    made = claims(tmp_path)
    assert len(made) == 100
    assert sum(bool(claim["after"]) for claim in made) >= 10
