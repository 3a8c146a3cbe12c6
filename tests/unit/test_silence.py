"""When a host that does not answer counts as down, and how often it is named."""

from __future__ import annotations

from support import tables

from burnish.core.jobs import HostName, JobId
from burnish.silence import AGAIN, DOWN, Silence

GPU01 = HostName("gpu01")


def test_a_host_is_down_after_a_while_and_named_each_minute_while_a_job_may_live_there() -> None:
    now, said = [0.0], []
    silence = Silence(said.append, lambda: now[0])
    state = tables.opened(("--lr",), [("1",)])
    tables.claim(state, 0)
    attempts = state.jobs[JobId(0)].attempts
    silence.dropped(GPU01, "gpu01: connection refused.")
    silence.dropped(GPU01, "no route to host")  # the next try; since when, and why, stays
    assert said == ["gpu01 does not answer (connection refused); trying again. Its jobs are not affected."]
    assert silence.down() == {}
    now[0] = DOWN
    assert silence.down() == {GPU01: "connection refused"}
    silence.name(attempts)
    assert len(said) == 1
    now[0] = AGAIN
    silence.name(attempts)
    silence.name(attempts)
    silence.name([])
    assert said[1:] == ["gpu01 still does not answer (connection refused); as far as known, it runs job 0."]
    assert silence.down() == {GPU01: "connection refused"}
    silence.answers(GPU01)
    assert silence.down() == {}
