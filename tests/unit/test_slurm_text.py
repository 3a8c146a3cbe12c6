"""Slurm's commands as they are typed and read.

Outputs were printed by Slurm 22.05.8, as Debian 12 has it, on clusters such as `tests/support/slurm.py` starts,
with and without accounting. Those of other versions are in `tests/data/slurm`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from burnish.slurm import states, text
from burnish.slurm.text import Demand, Listed

SQUEUE = """\
1|1|CANCELLED|None|n0|burnish-x
3|N/A|FAILED|BadConstraints||sbatch
5|0|PENDING|BeginTime||later
5|1|PENDING|BeginTime||later
6|N/A|PENDING|Resources||later
7|0|PENDING|Priority||a|name
1|0|RUNNING|None|n0|burnish-x
"""
CONFIG = "MailProg                = /bin/mail\nMaxArraySize            = 1001\nMaxDBDMsgs              = 20012\n"


def test_tasks_of_arrays_are_listed_by_name_and_index() -> None:
    listed = text.read_squeue(SQUEUE)
    assert listed["burnish-x", 0] == Listed("1_0", "RUNNING", "None", "n0")
    assert listed["burnish-x", 1] == Listed("1_1", "CANCELLED", "None", "n0")
    assert listed["a|name", 0] == Listed("7_0", "PENDING", "Priority")
    assert len(listed) == 5, "jobs that are no arrays are passed over"


@pytest.mark.parametrize("broken", ["", "\n", "slurm_load_jobs error: Unable to contact slurm controller", "1|2|3"])
def test_what_is_no_list_lists_nothing(broken: str) -> None:
    assert text.read_squeue(broken) == {}


def test_an_array_of_tasks_is_submitted_once() -> None:
    argv = text.sbatch("burnish-t-1", "jobs 3", [0, 1, 2, 7], {"partition": "gpu", "exclusive": "true"}, Demand())
    assert argv[:5] == [
        "sbatch",
        "--parsable",
        "--job-name=burnish-t-1",
        "--comment=jobs 3",
        "--array=0-2,7",
    ]
    assert "--no-requeue" in argv and argv[-2:] == ["--partition=gpu", "--exclusive"]


@pytest.mark.parametrize(
    ("options", "demand", "said"),
    [
        ({"gres": "gpu:1"}, Demand(gpus=2), "--gres=gpu:2"),
        ({"gres": "gpu:a100:1"}, Demand(gpus=2), "--gres=gpu:a100:2"),
        ({"gpus": "a100:1"}, Demand(gpus=4), "--gpus=a100:4"),
        ({}, Demand(gpus=0), "--gres=gpu:0"),
        ({"time": "4:00:00"}, Demand(time_limit=7200.0), "--time=121"),
        ({"time": "4:00:00"}, Demand(), "--time=4:00:00"),
        ({"constraint": "v100"}, Demand(options=(("constraint", "a100&ib"),)), "--constraint=a100&ib"),
        ({}, Demand(options=(("nodelist", "n[1-2]"),)), "--nodelist=n[1-2]"),
    ],
)
def test_a_job_asks_for_more_than_the_inventory(options: dict[str, str], demand: Demand, said: str) -> None:
    assert text.sbatch("n", "c", [0], options, demand)[-1] == said


@pytest.mark.parametrize(("out", "job"), [("17\n", "17"), ("17;cluster\n", "17"), ("", ""), ("error\n", "")])
def test_the_number_of_what_was_submitted(out: str, job: str) -> None:
    assert text.read_sbatch(out) == job


def test_how_large_an_array_may_be() -> None:
    assert text.read_max_array_size(CONFIG) == 1001
    assert text.read_max_array_size("") == text.MAX_ARRAY_SIZE


def test_what_accounting_says() -> None:
    states = text.read_sacct("1_0|2|COMPLETED\n1_1|3|FAILED\n1_2|4|CANCELLED by 0\n1_3|1|COMPLETED\n")
    assert states["1_2"] == states["4"] == "CANCELLED"
    assert states["1_3"] == states["1"] == "COMPLETED"


@pytest.mark.parametrize(
    ("err", "limit", "passed", "line"),
    [
        (
            "sbatch: error: invalid partition specified: nope\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
            False,
            False,
            "Invalid partition name specified (invalid partition specified: nope)",
        ),
        (
            "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n",
            False,
            True,
            "Unable to contact slurm controller (connect failure)",
        ),
        (
            "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: "
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n",
            True,
            False,
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits): "
            "AssocMaxSubmitJobLimit",
        ),
        (
            "sbatch: error: QOSMaxWallDurationPerJobLimit\nsbatch: error: Batch job submission failed: "
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)\n",
            False,
            False,
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits): "
            "QOSMaxWallDurationPerJobLimit",
        ),
        (
            "sbatch: error: Memory specification can not be satisfied\n"
            "sbatch: error: Batch job submission failed: Requested node configuration is not available\n",
            False,
            False,
            "Requested node configuration is not available (Memory specification can not be satisfied)",
        ),
        (
            "sbatch: unrecognized option '--partitoin=gpu'\nTry \"sbatch --help\" for more information\n",
            False,
            False,
            "unrecognized option '--partitoin=gpu'",
        ),
    ],
)
def test_why_sbatch_failed(err: str, limit: bool, passed: bool, line: str) -> None:
    assert text.is_limit(err) is limit
    assert text.may_have_passed(1, err) is passed
    assert text.first_line(err) == line


def test_a_command_that_never_answered_may_have_passed() -> None:
    assert text.may_have_passed(-1, "sbatch has not answered within 60 s")


@pytest.mark.parametrize(
    ("err", "passes"),
    [
        (
            "allocation failure: Requested node configuration is not available\n",
            True,
        ),  # all are drained, or none has 9 GPUs
        ("allocation failure: Unable to contact slurm controller (connect failure)\n", True),
        ("sbatch: error: AssocMaxSubmitJobLimit\nallocation failure: Job violates accounting/QOS policy\n", True),
        (
            "sbatch: error: invalid partition specified: nope\nallocation failure: Invalid partition name specified\n",
            False,
        ),
        ("allocation failure: Invalid feature specification\n", False),
        ("sbatch: error: Invalid --time specification\n", False),
    ],
)
def test_a_trial_that_fails_for_what_may_pass(err: str, passes: bool) -> None:
    assert text.may_pass(1, err) is passes
    assert not text.first_line(err).startswith("allocation failure")


# -- other versions --------------------------------------------------------------------------------------------------------

RECORDED = Path(__file__).resolve().parent.parent / "data" / "slurm"


def recorded(kind: str) -> list[Any]:
    """The jobs of all recordings of that kind."""
    files = sorted(RECORDED.glob(f"{kind}-*.json"))
    assert files
    return [job for file in files for job in json.loads(file.read_text(encoding="utf-8"))["jobs"]]


def number(value: Any) -> int | None:
    """A number as Slurm's JSON has it: plain up to 22.05, then with a word on whether it is one."""
    return value if not isinstance(value, dict) else value["number"] if value["set"] else None


def word(value: Any) -> str:
    """A state as Slurm's JSON has it: a word up to 23.02, then a list."""
    return value if isinstance(value, str) else ",".join(value)


def squeue_line(job: Any) -> str:
    """What squeue prints of a job in the columns that burnish asks for."""
    array, index = number(job["array_job_id"]) or job["job_id"], number(job["array_task_id"])
    state = word(job["job_state"])
    return f"{array}|{'N/A' if index is None else index}|{state}|{job['state_reason']}|{job['nodes']}|{job['name']}\n"


def test_lists_of_other_versions_are_read() -> None:
    listed = text.read_squeue("".join(map(squeue_line, recorded("queue"))))
    assert listed == {
        ("id_3508:dtu_rng_regress:sim", 1470): Listed("52173767_1470", "PENDING", "JobHeldUser"),
        ("id_3508:dtu_rng_regress:sim", 2000): Listed("52173767_2000", "COMPLETED", "None", "cs66"),
        ("id_5120:dtu_rng_regress:sim", 1078): Listed("52409104_1078", "PENDING", "JobHeldUser"),
    }
    held = listed["id_5120:dtu_rng_regress:sim", 1078]
    assert states.waiting(held.state, held.reason) == "waiting for JobHeldUser"


def test_accounts_of_other_versions_are_read() -> None:
    jobs = recorded("accounts")
    lines = (f"{job['job_id']}|{job['job_id']}|{word(job['state']['current'])}\n" for job in jobs)
    assert text.read_sacct("".join(lines)) == {"599930": "TIMEOUT", "109": "PENDING"}


def test_states_of_other_versions_are_in_the_table() -> None:
    found = {word(job["job_state"]) for job in recorded("queue")}
    found |= {word(job["state"]["current"]) for job in recorded("accounts")}
    assert found == {"RUNNING", "PENDING", "COMPLETED", "FAILED", "TIMEOUT"} and found <= states.STATES.keys()
