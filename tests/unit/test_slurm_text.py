"""Slurm's commands as they are typed and read.

Outputs that stand here were printed by Slurm 22.05.8, as Debian 12 has it, on clusters such as `tests/support/slurm.py` starts,
with and without accounting. What that and other versions said to each of these commands is in `tests/data/slurm`.
"""

from __future__ import annotations

import json
import re
import shlex
from math import inf
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


def test_the_last_that_waited_is_listed_without_its_index() -> None:
    """If somebody cancels it by number. What is no array, or came to run, is not taken for it."""
    lines = "7|N/A|CANCELLED|BeginTime||burnish-y\n8|N/A|CANCELLED|None|n0|z\n9|N/A|FAILED|BadConstraints||z\n"
    assert text.read_squeue(lines) == {("burnish-y", -7): Listed("7", "CANCELLED", "BeginTime")}


def test_how_large_an_array_may_be() -> None:
    assert text.read_max_array_size(CONFIG) == 1001
    assert text.read_max_array_size("") == text.MAX_ARRAY_SIZE


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("MinJobAge               = 10 sec\n", 10.0),
        ("MinJobAge = 0 sec\n", inf),
        ("", 300.0),
        ("MinJobAge = x\n", 300.0),
    ],
)
def test_how_long_slurm_lists_what_has_ended(line: str, kept: float) -> None:
    assert text.read_min_job_age(line) == kept


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


# -- what each version said to burnish's own commands ------------------------------------------------------------------------


def versions() -> dict[str, dict[str, Any]]:
    """What they said, by version."""
    files = sorted(RECORDED.glob("said-*.json"))
    assert len(files) > 2
    return {file.stem.removeprefix("said-"): json.loads(file.read_text(encoding="utf-8"))["said"] for file in files}


@pytest.fixture(params=versions())
def said(request: pytest.FixtureRequest) -> Any:
    """All of one version: what it is about -> command, code, out, err."""
    return versions()[request.param]


def test_commands_are_those_that_were_recorded(said: Any) -> None:
    """Otherwise the recordings are to be made anew (`tests/slurm/record.py`)."""
    names = {name for name, _ in text.read_squeue(said["squeue"]["out"])}
    typed = {
        "config": text.show_config(),
        "submitted: fates": text.sbatch("burnish-t-fates", "burnish, table t: jobs 0", range(6), {}, Demand()),
        "squeue": text.squeue(names),
        "sacct: unknown": text.sacct(["99999"]),
        "scancel: woken": text.scancel([f"{submitted(said, 'fates')}_4"], "USR1"),
        "away: scancel": text.scancel(["1_2"]),
    }
    assert {about: said[about]["command"] for about in typed} == {
        about: shlex.join(argv) for about, argv in typed.items()
    }


def submitted(said: Any, name: str) -> str:
    """The number of that array."""
    return text.read_sbatch(said[f"submitted: {name}"]["out"])


def test_numbers_of_what_each_version_took(said: Any) -> None:
    taken = [about for about in said if about.startswith("submitted: ")]
    assert len(taken) > 9
    for about in taken:
        assert said[about]["code"] == 0 and re.fullmatch(r"\d+", text.read_sbatch(said[about]["out"])), about
    assert ";bench" in said["submitted: named"]["out"]
    assert said["tried: taken"]["code"] == 0


def test_how_large_an_array_may_be_in_each_version(said: Any) -> None:
    assert text.read_max_array_size(said["config"]["out"]) == 500
    assert text.read_min_job_age(said["config"]["out"]) == 300.0
    refused = said["refused: an index beyond MaxArraySize"]
    assert text.first_line(refused["err"]) == "Invalid job array specification"
    assert not text.is_limit(refused["err"]) and not text.may_have_passed(refused["code"], refused["err"])


WAITS, GOES_ON, TAKEN_OUT = "waits", "goes on", "cancelled in Slurm"


def test_lists_of_each_version_say_what_became_of_tasks(said: Any) -> None:
    listed = text.read_squeue(said["squeue"]["out"])
    fates = {}
    for (name, index), one in listed.items():
        assert one.job.partition("_")[0] == submitted(said, name.removeprefix("burnish-t-"))
        end = states.end_of(one.state, one.nodes)
        fates[name.removeprefix("burnish-t-"), index] = (
            end.why if end is not None else states.waiting(one.state, one.reason) or GOES_ON
        )
    assert fates == {
        ("fates", 0): states.STATES["COMPLETED"].why,
        ("fates", 1): states.STATES["FAILED"].why,
        ("fates", 2): "Slurm could not launch it on n0",  # if it never began; else it was cancelled
        ("fates", 3): "it was out of time in Slurm",
        ("fates", 4): GOES_ON,
        ("fates", 5): GOES_ON,  # suspended
        ("node", 2): "its node failed",
        ("preempted", 2): "preempted in Slurm",
        ("unlaunched", 2): "Slurm could not launch it on n1",
        ("later", 0): "waiting for BeginTime",  # somebody took out the other one, which is not listed
        ("taken-out", 0): TAKEN_OUT,
        ("taken-out", 1): TAKEN_OUT,
        ("one-by-one", -int(submitted(said, "one-by-one"))): TAKEN_OUT,
        ("held", 2): "waiting for JobHeldUser",
        ("long", 2): "waiting for PartitionTimeLimit",
        ("full", 2): "waiting for Resources",
        ("full", 3): "waiting for Resources",
    }
    assert said["squeue: unknown"]["code"] == 0 and text.read_squeue(said["squeue: unknown"]["out"]) == {}


def test_accounts_of_each_version_say_what_became_of_tasks(said: Any) -> None:
    accounts = text.read_sacct(said["sacct"]["out"])
    fates = submitted(said, "fates")
    assert [accounts[f"{fates}_{index}"] for index in range(6)] == [
        "COMPLETED",
        "FAILED",
        "CANCELLED",
        "TIMEOUT",
        "RUNNING",
        "SUSPENDED",
    ]
    ended = {"node": "NODE_FAIL", "preempted": "PREEMPTED", "unlaunched": "CANCELLED"}
    assert {name: accounts[f"{submitted(said, name)}_2"] for name in ended} == ended
    assert text.read_sacct(said["sacct: unknown"]["out"]) == {}
    for about, for_good in {"sacct: no accounting": True, "sacct: slurmdbd away": False}.items():
        assert said[about]["code"] > 0
        assert text.keeps_no_accounts(said[about]["code"], said[about]["err"]) == for_good
    assert text.keeps_no_accounts(text.NO_COMMAND, "sacct: not found")


POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits): "
NOT_AVAILABLE = "Requested node configuration is not available"
VERDICTS = {
    "no such partition": "Invalid partition name specified (invalid partition specified: nope)",
    "a partition that is shut": "Required partition not available (inactive or drain)",
    "no such feature": "Invalid feature specification",
    "no such node": "Invalid node name specified",
    "no such option": "unrecognized option '--partitoin=main'",
    "no such kind of gres": "Invalid generic resource (gres) specification",
    "more GPUs than a node has": NOT_AVAILABLE,
    "more memory than a node has": f"{NOT_AVAILABLE} (Memory specification can not be satisfied)",
    "no such account": "Invalid account or account/partition combination specified",
    "no such QOS": "Invalid qos specification",
    "no time": "Invalid --time specification",
    "AssocMaxSubmitJobLimit": f"{POLICY}AssocMaxSubmitJobLimit",
    "AssocGrpSubmitJobsLimit": f"{POLICY}AssocGrpSubmitJobsLimit",
    "QOSMaxSubmitJobPerUserLimit": f"{POLICY}QOSMaxSubmitJobPerUserLimit",
    "QOSMaxWallDurationPerJobLimit": f"{POLICY}QOSMaxWallDurationPerJobLimit",
    "away": "Unable to contact slurm controller (connect failure)",
}


@pytest.mark.parametrize(("about", "verdict"), VERDICTS.items(), ids=list(VERDICTS))
def test_what_each_version_does_not_take(said: Any, about: str, verdict: str) -> None:
    refused, tried = said[f"refused: {about}"], said[f"tried: {about}"]
    assert refused["code"] > 0 and tried["code"] > 0
    assert refused["out"] == tried["out"] == ""
    assert text.first_line(refused["err"]) == verdict
    assert text.first_line(tried["err"]) in (verdict, verdict.partition(" (Memory")[0])
    limit, away = "SubmitJob" in about, about == "away"
    assert text.is_limit(refused["err"]) is text.is_limit(tried["err"]) is limit
    assert text.may_have_passed(refused["code"], refused["err"]) is away
    assert text.may_pass(tried["code"], tried["err"]) is (limit or away or NOT_AVAILABLE in verdict)
    assert text.names_what_is_not_there(refused["err"]) is (about in ("no such feature", "no such node"))


def test_each_version_says_that_no_controller_answers(said: Any) -> None:
    """Nothing is concluded: these failed."""
    for about in ("away: config", "away: squeue", "away: scancel"):
        assert said[about]["code"] > 0 and "Unable to contact slurm controller" in said[about]["err"], about
    assert text.read_squeue(said["away: squeue"]["out"]) == {}
