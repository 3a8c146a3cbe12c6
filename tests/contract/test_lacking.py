"""A host that lacks what jobs need (its work folder, the script, the program) gets none until it has it; the others go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gated import Gated
from tests.support.hosts import Bench
from tests.support.waiting import wait_for

JOBS = 8
BLIND = 2.0  # s until a job tries what no look tells
HASTY = "from burnish import inspection; inspection.LOOK = 0.3; inspection.SETUP_ENDS = 1.0; "
HASTY += f"from burnish.core import lacking; lacking.BLIND = {BLIND}; from burnish.cli.main import main; main()"
LOOKS = 5  # in a row at how many attempts there were, in which there came no more
WATCHFUL = "from burnish import inspection; inspection.LOOK = 0.5; from burnish.cli.main import main; main()"


@pytest.fixture
def table(bench: Bench) -> Iterator[Gated]:
    """Jobs for two hosts of one slot each, of which gpu2 has another work folder: `late`, which does not exist."""
    made = Gated.of(bench, JOBS)
    for name in ("gpu1", "gpu2"):
        bench.add(name)
    inventory(made, late(made))
    yield made
    made.stop()


def late(table: Gated) -> Path:
    return table.folder / "late"


def inventory(
    table: Gated, workdir: Path, only: str = "gpu1: , gpu2", env: str = "", setup: str = "", slots: int = 1
) -> None:
    """Save lab.yaml as editors do."""
    assert table.bench is not None
    defaults = f"ssh_config: {table.bench.config}, gpus: none, slots: {slots}, workdir: {table.folder}"
    fresh = table.folder / "lab.new"
    lines = f", setup: '{setup}'" if setup else ""
    fresh.write_text(f"defaults: {{{defaults}}}\nhosts: {{{only}: {{workdir: {workdir}{env}{lines}}}}}\n")
    fresh.replace(table.folder / "lab.yaml")


def attempts(table: Gated) -> int:
    """How many there have been, of all jobs."""
    return sum(job["attempts"] for job in table.status().values())


def claims(table: Gated) -> list[float]:
    """When each was claimed."""
    commits = sorted((table.folder / ".burnish").rglob("log/*/*.jsonl"))
    facts = [json.loads(line) for commit in commits for line in commit.read_text().splitlines()[1:]]
    return [fact["at"] for fact in facts if fact["fact"] == "AttemptClaimed"]


def furnish(table: Gated, *names: str) -> None:
    """Give gpu2 its work folder, with these things of the other one in it."""
    late(table).mkdir(exist_ok=True)
    for name in names:
        (late(table) / name).symlink_to(table.folder / name)


def ends_without_a_failure(table: Gated) -> None:
    """Let all jobs end: each is COMPLETE, and ran once."""
    table.open(*range(JOBS))
    assert table.running[-1].wait(60) == 0, table.said()
    assert [len(table.ran(job)) for job in range(JOBS)] == [1] * JOBS


def test_missing_work_folder_is_named_costs_nothing_and_is_noticed_once_it_is_there(table: Gated) -> None:
    why = f"{late(table)} does not exist"
    table.run("--retries", "1", program=WATCHFUL)
    wait_for(lambda: f"gpu2 gets no more jobs until this is mended: {why}." in table.said(), table.said)
    assert set(table.wait_running(1).values()) == {"gpu1"}
    explained = [table.burnish("explain", str(job)).stdout for job in range(2)]
    assert any(f"on gpu2 never started ({why})" in said for said in explained)
    assert any(f"gpu2 could not start the job that it was given last: {why}." in said for said in explained)
    assert f"Could not start its last job: gpu2 ({why})" in table.burnish("status").stdout
    row = next(line for line in table.burnish("hosts", "lab.yaml").stdout.splitlines() if line.startswith("gpu2"))
    assert why in row and "0 free" in row
    furnish(table, "gates", "ran", "job.py")
    wait_for(lambda: set(table.running_jobs().values()) == {"gpu1", "gpu2"}, table.said)
    assert "gpu2 has what was missing, and takes jobs again." in table.said()
    assert "Could not start" not in table.burnish("status").stdout
    ends_without_a_failure(table)


def test_missing_script_sends_three_jobs_elsewhere_and_no_more(table: Gated) -> None:
    furnish(table, "gates", "ran")
    table.run(program=WATCHFUL)
    gone = f"gpu2 gets no more jobs until this is mended: {late(table)}/job.py does not exist."
    wait_for(lambda: gone in table.said(), table.said)
    table.wait_running(1)
    counts: list[int] = []

    def settled() -> bool:
        counts.append(sum(status["attempts"] for status in table.status().values()))
        return len(counts) >= LOOKS and len(set(counts[-LOOKS:])) == 1

    wait_for(settled, lambda: counts)
    assert counts[-1] == 4, "three on gpu2, and the one that runs on gpu1"
    furnish(table, "job.py")
    wait_for(lambda: set(table.running_jobs().values()) == {"gpu1", "gpu2"}, table.said)
    ends_without_a_failure(table)


def test_missing_program_is_mended_in_the_inventory(table: Gated) -> None:
    inventory(table, table.folder, env=", env: {PATH: /nowhere}")
    table.run()
    gone = "gpu2 gets no more jobs until this is mended: no program python3 in PATH (/nowhere)."
    wait_for(lambda: gone in table.said(), table.said)
    inventory(table, table.folder)
    wait_for(lambda: set(table.running_jobs().values()) == {"gpu1", "gpu2"}, table.said)
    ends_without_a_failure(table)


def test_run_whose_only_host_lacks_the_work_folder_ends_and_the_next_one_tries_again(table: Gated) -> None:
    inventory(table, late(table), only="gpu2")
    assert table.run().wait(60) == 3, table.said()
    assert f"gpu2 gets no more jobs until this is mended: {late(table)} does not exist." in table.said()
    status = table.status()
    assert {job["state"] for job in status.values()} == {"NOT_RUNNING"}
    assert status[0]["reason"] == f"not started: {late(table)} does not exist on gpu2"
    furnish(table, "gates", "ran", "job.py")
    table.run()
    ends_without_a_failure(table)


def test_setup_that_fails_sends_jobs_elsewhere_and_burns_no_retry(table: Gated) -> None:
    inventory(table, table.folder, setup="sleep 0.3; module load cuda")  # it is heard before that a job runs there
    table.run()
    why = "its setup ended with 127: burnish setup: line 1: module: command not found"
    wait_for(lambda: f"gpu2 gets no more jobs until this is mended: {why}." in table.said(), table.said)
    first = table.said().partition("gpu2 could not start job ")[2].partition("\n")[0]
    assert first[1:] == f": {why}. It is started elsewhere, if another host has that."
    # What was on its way comes to the same.
    wait_for(lambda: f"Could not start its last job: gpu2 ({why})" in table.burnish("status").stdout, table.said)
    assert f"not started: {why} on gpu2" in {job["reason"] for job in table.status().values()}
    assert f"on gpu2 ended as ERROR (not started: {why})." in table.burnish("explain", first[0]).stdout
    inventory(table, table.folder, setup="true")
    wait_for(lambda: set(table.running_jobs().values()) == {"gpu1", "gpu2"}, table.said)
    ends_without_a_failure(table)


def test_setup_that_fails_for_a_moment_costs_nothing(table: Gated) -> None:
    """As when a file server stands still: jobs wait, one tries now and then, and when it comes to its command others follow."""
    inventory(table, table.folder, only="gpu2", setup=f"test ! -e {table.folder}/away", slots=3)
    table.run(program=HASTY)
    table.wait_running(3)
    table.open(0)
    wait_for(
        lambda: table.status()[0]["state"] == "COMPLETE", table.said
    )  # so the host has what jobs need, now and then
    (table.folder / "away").touch()
    table.open(1, 2)
    wait_for(lambda: "gpu2 gets no more jobs until this is mended: its setup ended with 1." in table.said(), table.said)
    wait_for(lambda: table.running_jobs().keys() == {3}, table.said)
    failed = attempts(table)
    wait_for(lambda: len(claims(table)) >= failed + 2, table.said)
    first, second = claims(table)[failed : failed + 2]
    assert second - first > BLIND, "more than one job was on trial at a time"
    unready = "not started: its setup ended with 1 on gpu2"
    wait_for(lambda: [table.status()[job]["reason"] for job in range(4, JOBS)] == [unready] * (JOBS - 4), table.said)
    (table.folder / "away").unlink()
    wait_for(lambda: "gpu2 has what was missing, and takes jobs again." in table.said(), table.said)
    table.wait_running(3)
    ends_without_a_failure(table)


def test_run_whose_only_host_fails_in_setup_ends_and_names_it(table: Gated) -> None:
    inventory(table, table.folder, only="gpu2", setup="exit 3")
    assert table.run().wait(60) == 3, table.said()
    assert "gpu2 gets no more jobs until this is mended: its setup ended with 3." in table.said()
    assert "Jobs 0-7 could not be started: its setup ended with 3 on gpu2." in table.said()
    assert {job["state"] for job in table.status().values()} == {"NOT_RUNNING"}
    inventory(table, table.folder, only="gpu2", setup="true")
    table.run()
    ends_without_a_failure(table)


def test_setup_that_is_cancelled_or_out_of_time_is_told_so(table: Gated) -> None:
    inventory(table, table.folder, only="gpu2", setup=f"cd {table.folder}; touch setting-up; sleep 1000")
    run = table.run("--time_limit", "3s", "--job_id", "0")
    assert run.wait(60) == 1, table.said()
    assert (table.status()[0]["state"], table.status()[0]["reason"]) == ("ERROR", "TIME_LIMIT")
    (table.folder / "setting-up").unlink(missing_ok=True)
    run = table.run("--job_id", "1")
    wait_for((table.folder / "setting-up").exists, table.said)
    assert table.burnish("cancel", "--job_id", "1").returncode == 0
    assert run.wait(60) == 1, table.said()
    assert (table.status()[1]["state"], table.status()[1]["reason"]) == ("ERROR", "CANCELLED")


def test_one_job_of_which_no_host_has_the_program_is_left_and_named(table: Gated) -> None:
    (table.folder / "runner.py").write_text(
        'def run(args, job):\n    return ["pyhton" if job["JOB_ID"] == "0" else "python3", "job.py"]\n'
    )
    inventory(table, table.folder)
    table.open(*range(JOBS))
    run = table.start("run", "--hosts", "lab.yaml", "--func", "runner.run")
    assert run.wait(60) == 1, table.said()
    assert "Job 0 could not be started: no program pyhton in PATH (" in table.said()
    assert [len(table.ran(job)) for job in range(JOBS)] == [0] + [1] * (JOBS - 1)
    assert {status["state"] for status in table.status().values()} == {"NOT_RUNNING", "COMPLETE"}
