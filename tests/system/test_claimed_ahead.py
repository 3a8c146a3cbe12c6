"""What a person may still want of a job that is claimed ahead, until it starts; and which jobs are."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gated import PATIENT, Gated
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


def test_row_that_cannot_be_read_any_more_does_not_start(ahead: Gated) -> None:
    path, fresh = ahead.folder / "burnish.db", ahead.folder / "burnish.new"
    fresh.write_text(path.read_text().replace("4,NOT_RUNNING,4\n", "4,NOT_RUNNING,4,a cell too many\n"))
    fresh.replace(path)
    wait_until_next(ahead, 5)
    ahead.open(*range(LAST + 1))
    assert ahead.running[-1].wait(timeout=60) == 1, ahead.said()  # a row was skipped
    assert [len(ahead.ran(job)) for job in range(LAST + 1)] == [job != FOLLOWER for job in range(LAST + 1)]


def test_deleted_row_does_not_start(ahead: Gated) -> None:
    rows = (ahead.folder / "burnish.db").read_text()
    (ahead.folder / "burnish.db").write_text(rows.replace("4,NOT_RUNNING,4\n", ""))
    wait_until_next(ahead, 5)
    finish(ahead, FOLLOWER)
    assert f"\n{LAST} of {LAST} done, 1 deleted, in " in ahead.said()


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


@pytest.fixture
def asked(request: pytest.FixtureRequest) -> Iterator[Gated]:
    """Of eight jobs, the first three of which end at once; its parameter is what they ask for."""
    made = Gated.of(None, LAST + 2, **request.param)
    made.open(*QUICK)
    yield made
    made.stop()


NO_GPU = dict.fromkeys(range(5, 8), "0")


@pytest.mark.parametrize(
    "asked",
    [{"GPUS": {**dict.fromkeys(range(5), "1"), **NO_GPU}, "PRIORITY": dict.fromkeys(NO_GPU, "9")}],
    indirect=True,
)
def test_row_of_higher_priority_that_could_not_have_the_slot_calls_nothing_back(asked: Gated) -> None:
    """Of the jobs without a GPU one runs, and others wait for its slot: they have no use for that of a GPU."""
    host = "{connection: local, state_dir: ~/%s, gpus: %s, slots: %s}"
    (asked.folder / "lab.yaml").write_text(f"hosts:\n  a: {host % ('a', '[0]', 0)}\n  b: {host % ('b', 'none', 1)}\n")
    run = asked.start("run", "--hosts", "lab.yaml", "--command", "python3 job.py {n}", patient=True)
    wait_until_next(asked, FOLLOWER)
    for verb in ("hold", "release"):  # at which the run looks
        asked.burnish(verb, "--job_id", "7")
    asked.open(*range(LAST + 2))
    assert run.wait(timeout=60) == 0, asked.said()
    assert [job["attempt"] for job in asked.status().values()] == [f"{job}.1" for job in range(LAST + 2)]


@pytest.mark.parametrize("asked", [{"AFTER": {7: "3"}, "PRIORITY": {7: "9"}}], indirect=True)
def test_row_of_higher_priority_whose_turn_comes_by_the_end_of_another_goes_first(asked: Gated) -> None:
    """At once: this run looks at nothing by itself."""
    blind = "from burnish import changes; changes.TURN = changes.REST = 100; "
    run = asked.start("run", "--num_workers", "2", "--command", "python3 job.py {n}", program=blind + PATIENT)
    wait_for(lambda: sum(leader >= LEADER for leader in behind(asked).values()) == 2, asked.status)
    (follower,) = (job for job, leader in behind(asked).items() if leader != LEADER)
    asked.open(LEADER)
    # It comes back, and is next again once the other slot has a place for the first.
    wait_for(lambda: follower not in behind(asked) or asked.status()[follower]["attempts"] == 2, asked.status)
    asked.open(*range(LAST + 2))
    assert run.wait(timeout=60) == 0, asked.said()
    assert [len(asked.ran(job)) for job in range(LAST + 2)] == [1] * (LAST + 2)


def behind(table: Gated) -> dict[int, int]:
    """What is claimed ahead -> the job that it comes after."""
    said = {job: shown["reason"].split() for job, shown in table.status().items()}
    return {job: int(words[-1]) for job, words in said.items() if words[:2] == ["next", "after"]}


def test_job_that_lasts_long_keeps_nobody_waiting_behind_it(table: Gated) -> None:
    """Here five seconds are long: another slot, or another run, may take the next job instead."""
    run = table.start(*RUN, program=PATIENT.replace("1000", "0.1"))
    wait_for(lambda: table.ran(LEADER), table.said)
    wait_for(lambda: "keeps its slot for long" in table.burnish("explain", "4").stdout, table.said)
    assert table.status()[FOLLOWER]["reason"] == ""
    assert run.poll() is None
    finish(table)


@pytest.fixture
def line(table: Gated) -> Gated:
    """A run with one worker: job 3 has it, and all jobs after it wait for it in line."""
    table.start(*RUN, program=PATIENT.replace("= 1000, 1;", "= 1000, 3;"))
    wait_for(lambda: behind(table) == {4: 3, 5: 4, 6: 5}, table.status)
    return table


def test_in_a_line_each_is_next_after_the_one_before_it(line: Gated) -> None:
    assert "waits on localhost for the end of job 5, and job 3 has its slot" in line.burnish("explain", "6").stdout
    assert "waits on localhost for the end of job 3, which has its slot" in line.burnish("explain", "4").stdout
    finish(line)
    began = [float(line.status()[job]["started"]) for job in range(LAST + 1)]
    assert began == sorted(began)
    assert [job["attempt"] for job in line.status().values()] == [f"{job}.1" for job in range(LAST + 1)]


def test_held_in_a_line_it_does_not_start_and_the_next_one_waits(line: Gated) -> None:
    line.burnish("hold", "--job_id", "4")
    wait_for(lambda: line.status()[4]["state"] == "HOLD", line.status)
    wait_for(lambda: behind(line) == {5: 3, 6: 5}, line.status)
    assert line.ran(5) == []
    finish(line, 4)


def test_stopped_run_takes_a_whole_line_back(line: Gated) -> None:
    (run,) = line.running
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=60) == 130
    assert behind(line) == {}
    assert [line.ran(job) for job in (4, 5, 6)] == [[], [], []]
    line.start(*RUN)
    finish(line)


def test_job_that_lasts_long_keeps_no_line_waiting_behind_it(table: Gated) -> None:
    run = table.start(*RUN, program=PATIENT.replace("= 1000, 1;", "= 0.1, 3;"))
    wait_for(lambda: table.ran(LEADER), table.said)
    wait_for(lambda: [table.status()[job]["reason"] for job in (4, 5, 6)] == ["", "", ""], table.status)
    assert run.poll() is None
    finish(table)


def test_as_many_are_claimed_as_were_asked_for(table: Gated) -> None:
    table.open(LEADER, FOLLOWER)
    run = table.start(*RUN, "--num_jobs", "5", patient=True)
    assert run.wait(timeout=60) == 0
    assert [len(table.ran(job)) for job in range(LAST + 1)] == [1] * 5 + [0] * 2


def test_called_back_it_is_not_one_of_the_jobs_that_were_asked_for(table: Gated) -> None:
    run = table.start(*RUN, "--num_jobs", "5", patient=True)
    wait_until_next(table, FOLLOWER)
    table.burnish("hold", "--job_id", "4")
    wait_until_next(table, 5)
    table.open(*range(LAST + 1))
    assert run.wait(timeout=60) == 0
    assert [len(table.ran(job)) for job in range(LAST + 1)] == [1, 1, 1, 1, 0, 1, 0]


def claims(folder: Path) -> list[dict[str, Any]]:
    journal = "".join(path.read_text() for path in sorted((folder / ".burnish").rglob("log/*/*.jsonl")))
    return [json.loads(line) for line in journal.splitlines() if line.startswith('{"fact":"AttemptClaimed"')]


def test_one_worker_has_a_successor_waiting_while_jobs_are_short(tmp_path: Path) -> None:
    """Nothing is reported between the start of a job and its end: whoever waits for a report claims the next one too late."""
    sweep = Sweep.of(tmp_path, 12, work="0.2")
    sweep.program = ("-c", PATIENT)  # as on a machine where no job of 0.2 s takes a whole one
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
