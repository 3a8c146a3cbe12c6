"""When a host that does not answer counts as down, and how often it is named."""

from __future__ import annotations

from msgspec.structs import replace
from support import tables

from burnish.core.jobs import AttemptId, HostName, JobId
from burnish.silence import AGAIN, DOWN, Silence

GPU01 = HostName("gpu01")


def test_a_host_is_down_after_a_while_and_named_each_minute_while_a_job_may_live_there() -> None:
    now, said = [0.0], []
    silence = Silence(said.append, lambda: now[0])
    state = tables.opened(("--lr",), [("1",)])
    tables.claim(state, 0)
    attempts = state.jobs[JobId(0)].attempts
    silence.dropped(GPU01, "gpu01: connection refused.")
    silence.dropped(GPU01, "no route to host")  # the next try; since when stays
    assert said == ["gpu01 does not answer (connection refused); trying again. Its jobs are not affected."]
    assert silence.down() == {}
    now[0] = DOWN
    assert silence.down() == {GPU01: "no route to host"}
    silence.name(attempts)
    assert len(said) == 1
    now[0] = AGAIN
    silence.name(attempts)
    silence.name(attempts)
    silence.name([])
    assert said[1:] == ["gpu01 still does not answer (no route to host); as far as known, it runs job 0."]
    assert silence.down() == {GPU01: "no route to host"}
    silence.answers(GPU01)
    assert silence.down() == {}


def test_a_host_that_answers_and_does_not_start_a_job_is_named_each_minute() -> None:
    now, said = [0.0], []
    silence = Silence(said.append, lambda: now[0])
    state = tables.opened(("--lr",), [("1",), ("2",)])
    tables.claim(state, 0)
    attempts = state.jobs[JobId(0)].attempts
    for moment in (0.0, AGAIN - 1, AGAIN, AGAIN + 1):
        now[0] = moment
        silence.name(attempts)
    assert said == [
        "gpu01 answers, but has not started job 0 for more than 60 s: its work folder or its disk may hang. "
        "burnish check tells more."
    ]
    behind = replace(attempts[0], id=AttemptId(JobId(1), 1), after=attempts[0].name)
    queued = replace(attempts[0], entry={"name": "hpc", "engine": "slurm"})
    started = replace(attempts[0], started_at=1.0)
    for moment in (0.0, AGAIN, 2 * AGAIN):
        now[0] = 1000 + moment
        silence.name([started, behind])
        silence.name([queued])
    assert len(said) == 1
    other = replace(attempts[0], id=AttemptId(JobId(1), 1))
    for moment in (0.0, AGAIN):
        now[0] = 1500 + moment
        silence.name([attempts[0], other])
    assert said.pop().startswith("gpu01 answers, but has not started jobs 0-1 for more than 60 s: ")
    silence.dropped(GPU01, "gpu01: connection refused.")
    for moment in (0.0, AGAIN):
        now[0] = 2000 + moment
        silence.name(attempts)
    assert not any("but has not started" in sentence for sentence in said[1:]), "it does not answer, which is said"


def test_a_host_that_can_start_nothing_is_named_once_for_each_reason_and_each_ten_minutes() -> None:
    now, said = [0.0], []
    silence = Silence(said.append, lambda: now[0])
    for job in range(60):  # ten minutes
        silence.cannot_start(GPU01, f"its disk is full (attempts/{job}.1-9f86d081)", 10)
        now[0] += 10
    assert said == [
        "gpu01 cannot start anything now: its disk is full (attempts/0.1-9f86d081). Trying again every 10 s."
    ]
    silence.cannot_start(GPU01, "its disk is full (attempts/7.1-9f86d081)", 10)
    assert said[1:] == [
        "gpu01 still cannot start anything, for 10 minutes now: its disk is full (attempts/7.1-9f86d081)."
    ]
    silence.cannot_start(GPU01, "its disk is read-only", 10)
    assert said[2:] == ["gpu01 cannot start anything now: its disk is read-only. Trying again every 10 s."]
    silence.started(GPU01)
    silence.cannot_start(GPU01, "its disk is read-only", 10)
    assert len(said) == 3, "now it can, now it cannot"
    now[0] += AGAIN
    silence.started(GPU01)
    silence.started(GPU01)
    assert said[3:] == ["gpu01 starts jobs again."]
