"""What `--on_event` is called for, and how often."""

from __future__ import annotations

from collections.abc import Iterator

from support import tables

from burnish.core import events
from burnish.core.jobs import CANCELLED, HostName, JobId
from burnish.core.occasions import Occasion, Occasions, end, environment
from burnish.core.state import State

GPU01 = HostName("gpu01")


def failed(state: State, job: int, *, cancelled: bool = False, retries: int = 0) -> events.Fact:
    attempt = tables.claim(state, job, retries=retries)
    if cancelled:
        state.apply(events.CancelRequested(attempt, "ann", 1.0))
    fact = events.AttemptExited(attempt, 1, None, 0.0, 1.0, 1.0, 1, cancelled=cancelled)
    state.apply(fact)
    return fact


def names(occasions: Iterator[Occasion]) -> list[str]:
    return [occasion.name for occasion in occasions]


def test_the_first_failure_is_told_once_and_every_failure_for_itself() -> None:
    state, occasions = tables.opened(("--lr",), [("1",)] * 4), Occasions()
    assert names(occasions.of_facts([failed(state, 0)], state)) == ["first_failure", "job_failed"]
    again, third = failed(state, 1, retries=1), failed(state, 2)
    [told] = occasions.of_facts([again, third], state)  # job 1 waits again: it has not failed
    assert (told.name, told.job, told.host, told.reason) == ("job_failed", 2, "gpu01", "exit 1")


def test_what_was_cancelled_was_asked_for() -> None:
    state = tables.opened(("--lr",), [("1",)])
    fact = failed(state, 0, cancelled=True)
    assert state.jobs[JobId(0)].reason == CANCELLED and not names(Occasions().of_facts([fact], state))


def test_a_drained_host_is_told_with_the_reason() -> None:
    state, occasions = tables.opened(("--lr",), [("1",)]), Occasions()
    [told] = occasions.of_facts([events.HostDrained("gpu01", "fan is broken", "ann")], state)
    assert (told.text, told.host, told.reason) == ("gpu01 takes no new jobs: fan is broken.", "gpu01", "fan is broken")
    [told] = occasions.of_facts([events.HostDrained("gpu01", "", "ann")], state)
    assert told.text == "gpu01 takes no new jobs."


def test_a_host_is_down_once_and_back_once() -> None:
    occasions = Occasions()
    assert names(occasions.of_hosts({})) == []
    assert names(occasions.of_hosts({GPU01: "no route"})) == ["host_down"]
    assert names(occasions.of_hosts({GPU01: "no route"})) == []
    assert names(occasions.of_hosts({})) == ["host_back"]


def test_the_end_of_a_run_says_whether_it_was_done() -> None:
    assert end(None, "").name == "sweep_done"
    assert end("SIGINT", "").name == end(None, "3 jobs failed").name == "run_stopped"


def test_a_command_is_told_counts_and_nothing_that_moves_a_cursor() -> None:
    state = tables.opened(("--lr",), [("1",)] * 3)
    failed(state, 0)
    told = environment(Occasion("job_failed", "\x1b[2J", JobId(0), GPU01, "exit 1\n"), state)
    assert told["BURNISH_EVENT_TEXT"] == "\\x1b[2J" and told["BURNISH_EVENT_REASON"] == "exit 1\\n"
    counts = {name: told[name] for name in ("BURNISH_JOBS", "BURNISH_ERROR", "BURNISH_NOT_RUNNING", "BURNISH_RUNNING")}
    assert list(counts.values()) == ["3", "1", "2", "0"]
