"""The order for an attempt, and which fact each record of a host proves; a damaged record proves nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import facts

from burnish.core import events
from burnish.core.command import Command
from burnish.core.hosts import Host
from burnish.core.jobs import AttemptId, HostName, JobId
from burnish.core.spec import LONGEST_NODE, LONGEST_VERSION, ended, spec, started, voided

ATTEMPT = AttemptId(JobId(0), 1)
EXIT: dict[str, Any] = {"code": 0, "started": 1.0, "ended": 3.5, "duration": 2.5, "max_rss": 20_000}


def claimed() -> Any:
    state = facts.waiting()
    state.apply(facts.claim_of(ATTEMPT, slot=3))
    return state.open[ATTEMPT]


HOST = Host(HostName("gpu01"), setup="source env")
PLACE: dict[str, Any] = {"table": "/home/ann/burnish.db", "log_dir": "/home/ann/logs", "logs": {"out": "/o"}}


def test_what_no_frame_can_say_as_it_was_said_is_no_lack() -> None:
    for lacks, heard in ({"cwd": "/data"}, {"cwd": "/data"}), ({"cwd": "/data", "free": math.inf}, None), ([1], None):
        fact = voided(ATTEMPT, {"void": {"why": "no data", "lacks": lacks}})
        assert isinstance(fact, events.AttemptVoided)
        assert fact.lacks == heard


def test_the_order_holds_what_the_job_may_read_of_itself() -> None:
    order = spec(claimed(), Command(("python", "train.py")), HOST, **PLACE, environment={"WANDB_MODE": "offline"})
    assert order == {
        "argv": ["python", "train.py"],
        "cwd": "/home/ann",
        "env": {
            "WANDB_MODE": "offline",
            "BURNISH_JOB_ID": "0",
            "BURNISH_ATTEMPT": "1",
            "BURNISH_DB": "/home/ann/burnish.db",
            "BURNISH_HOST": "gpu01",
            "BURNISH_SLOT": "3",
            "BURNISH_GPUS": "0",
            "BURNISH_LOG_DIR": "/home/ann/logs",
        },
        "setup": "source env",
        "script": "train.py",
        "grace": 10.0,
        "out": "/o",
    }


def test_the_commands_own_folder_and_environment_win() -> None:
    command = Command(("true",), env={"A": "b", "BURNISH_SLOT": "mine"}, cwd="/there")
    order = spec(claimed(), command, HOST, **PLACE, environment={"A": "of the host"})
    assert order["cwd"] == "/there"
    assert (order["env"]["A"], order["env"]["BURNISH_SLOT"]) == ("b", "mine")


def test_a_start_is_go_or_void() -> None:
    assert started(ATTEMPT, {"go": {"pid": 7, "started": 2}}) == events.AttemptStarted(ATTEMPT, 7, 2.0)
    assert started(ATTEMPT, {"go": {"started": 2.5}}) == events.AttemptStarted(ATTEMPT, 0, 2.5)
    assert voided(ATTEMPT, {"void": {"why": "no"}}) == events.AttemptVoided(ATTEMPT, "no")
    assert voided(ATTEMPT, {"void": {"why": "no", "refused": True}}).refused  # type: ignore[union-attr]
    assert voided(ATTEMPT, {"void": {"why": "no", "trouble": True}}).trouble  # type: ignore[union-attr]


def test_a_final_record_is_an_exit_or_lost() -> None:
    assert ended(ATTEMPT, {"lost": {"why": "killed", "ended": 4}}) == events.AttemptLost(ATTEMPT, "killed", 4.0)
    assert ended(ATTEMPT, {"lost": {"why": "preempted", "ended": 4, "excused": True}}).excused  # type: ignore[union-attr]
    assert ended(ATTEMPT, {"exit": EXIT}) == facts.exit_of(ATTEMPT)
    assert ended(ATTEMPT, {"exit": {**EXIT, "code": None, "signal": 9}}) == facts.exit_of(ATTEMPT, code=None, signal=9)


@pytest.mark.parametrize(
    ("record", "fact"),
    [
        ({"cancelled": "ann"}, {"cancelled": True}),
        ({"cancelled": None}, {}),
        ({"time_limit": True}, {"time_limit": True}),
        ({"oom": True}, {"oom": True}),
        ({"leftovers": 3}, {"leftovers": 3}),
        ({"result": {"acc": 0.5}}, {"result": {"acc": 0.5}}),
        ({"result": [1]}, {}),
        ({"exec_error": "no interpreter"}, {"not_started": "no interpreter"}),
        ({"result_error": "is no JSON"}, {"error": "is no JSON"}),
        ({"tail": "…\nMemoryError\n"}, {"note": "OOM, host memory"}),
        ({"tail": 7}, {}),
        ({"pid": 9}, {"pid": 9}),
        ({"pid": True}, {}),
        ({"sizes": {"out": 1, "err": 0}, "of a newer agent": 1}, {}),
    ],
)
def test_what_an_exit_record_adds(record: dict[str, Any], fact: dict[str, Any]) -> None:
    assert ended(ATTEMPT, {"exit": {**EXIT, **record}}) == facts.exit_of(ATTEMPT, **fact)


@pytest.mark.parametrize(
    ("go", "fact"),
    [
        ({"pid": 7, "version": "3f2a91c04d1e (main)"}, {"pid": 7, "version": "3f2a91c04d1e (main)"}),
        ({"pid": 7}, {"pid": 7}),
        ({"pid": "7", "version": None}, {}),
        ({"pid": -7, "version": "x" * 1000}, {"version": "x" * LONGEST_VERSION}),
        ({"host": "n3", "batch": {"name": "b", "index": 0, "job": "17"}}, {"node": "n3, Slurm job 17"}),
        ({"host": "n3.example", "batch": {"job": "17", "node": "n3"}}, {"node": "n3, Slurm job 17"}),
        ({"host": "n3", "batch": {"name": "b", "index": 0, "job": ""}}, {"node": "n3"}),
        ({"host": "gpu1"}, {}),
        ({"host": "n3", "batch": "17"}, {}),
        ({"host": "x" * 1000, "batch": {}}, {"node": "x" * LONGEST_NODE}),
        ([], {}),
    ],
)
def test_what_the_start_of_an_attempt_adds_that_was_not_heard_of_before(go: Any, fact: dict[str, Any]) -> None:
    assert ended(ATTEMPT, {"exit": EXIT}, {"go": go}) == facts.exit_of(ATTEMPT, **fact)


@pytest.mark.parametrize(
    "record",
    [
        {"code": None},
        {"code": 0, "signal": 9},
        {"code": 0.4},
        {"code": False},
        {"code": "0"},
        {"code": []},
        {"code": None, "signal": "9"},
        {"max_rss": float("inf")},
        {"max_rss": None},
        {"started": None},
        {"ended": "soon"},
        {"duration": {}},
        {"duration": float("nan")},
        {"ended": 10**400},
    ],
    ids=str,
)
def test_a_record_that_does_not_say_how_it_ended_is_no_verdict(record: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        ended(ATTEMPT, {"exit": {**EXIT, **record}})


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["go", "void", "exit", "lost", "pid", "code", "why", "ended"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["go", "void", "exit", "lost"]), anything))
def test_whatever_a_host_sends_is_a_fact_or_refused(record: dict[str, Any]) -> None:
    for read in (started, voided, ended):
        try:
            fact = read(ATTEMPT, record)
        except (KeyError, TypeError, ValueError):
            continue
        assert fact.attempt == ATTEMPT  # type: ignore[union-attr]
