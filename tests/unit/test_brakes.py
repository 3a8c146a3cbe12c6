"""When a sweep is halted, and how many jobs may be on their way: by the facts alone."""

from __future__ import annotations

import pytest
from support import tables

from burnish.brakes import Brakes
from burnish.core import canary, events
from burnish.core.canary import Canary
from burnish.core.events import Fact
from burnish.core.jobs import AttemptId, CoordinatorId, HostName, JobId
from burnish.core.share import Share, parse
from burnish.plan import Outcome, Plan

ME = CoordinatorId("me")


class Sweep:
    """A state, its brakes, and a clock that stands."""

    def __init__(self, **asked: object) -> None:
        self.now = 0.0
        self.state = tables.opened(("--n",), [(str(n),) for n in range(10)])
        plan = Plan((), **asked)  # type: ignore[arg-type]
        outcome = Outcome(taken=set(self.state.jobs))
        self.brakes = Brakes(ME, self.state, plan, outcome, clock=lambda: self.now)

    def happen(self, fact: Fact) -> None:
        self.state.apply(fact)
        self.brakes.learn(fact)

    def start(self, job: int, host: str = "h") -> AttemptId:
        attempt = AttemptId(JobId(job), len(self.state.jobs[JobId(job)].attempts) + 1)
        claim = events.AttemptClaimed(attempt, "9f86d081", ME, host, "s", "i", {}, (0,), (), ("true",), "log", 1.0)
        self.happen(claim)
        self.happen(events.AttemptStarted(attempt, 1, 1.0))
        return attempt

    def end(self, attempt: AttemptId, code: int, cancelled: bool = False) -> None:
        self.happen(events.AttemptExited(attempt, code, None, 1.0, 2.0, 1.0, 1, cancelled=cancelled))

    @property
    def halted(self) -> bool:
        return bool(self.brakes.halts())


def test_no_brakes_without_being_asked() -> None:
    sweep = Sweep()
    for job in range(10):
        sweep.end(sweep.start(job), 1)
    assert not sweep.halted and sweep.brakes.room is None


@pytest.mark.parametrize(("most", "failures"), [(Share(2), 2), (Share(30, True), 3), (Share(1, True), 1)])
def test_so_many_failures_halt(most: Share, failures: int) -> None:
    sweep = Sweep(max_fails=most)
    for job in range(failures):
        assert not sweep.halted and sweep.brakes.room is None
        sweep.end(sweep.start(job), 1)
    assert sweep.halted and sweep.brakes.room == 0
    sweep.happen(sweep.brakes.halts()[0])
    assert not sweep.halted and sweep.brakes.room == 0  # once


def test_cancelled_and_mended_jobs_are_no_failures() -> None:
    sweep = Sweep(max_fails=Share(1))
    sweep.end(sweep.start(0), 1, cancelled=True)
    assert not sweep.halted
    sweep.end(sweep.start(1), 1)
    sweep.happen(events.ResetRequested(1))
    assert not sweep.halted


def test_canary_passes_by_living_long_enough() -> None:
    sweep = Sweep(canary=Canary(lives=60.0))
    assert (sweep.brakes.room, sweep.brakes.room_on(HostName("h"))) == (1, None)
    sweep.start(0)
    assert sweep.brakes.room == 0
    sweep.now = 59.9
    assert sweep.brakes.room == 0
    sweep.now = 60.0
    assert sweep.brakes.room is None


def test_each_host_has_a_canary_of_its_own_and_one_that_fails_halts_all() -> None:
    sweep, one, other = Sweep(canary=Canary(each_host=True)), HostName("one"), HostName("other")

    def room() -> tuple[int | None, ...]:
        return (sweep.brakes.room, sweep.brakes.room_on(one), sweep.brakes.room_on(other))

    assert room() == (None, 1, 1)
    first, second = sweep.start(0, "one"), sweep.start(1, "other")
    assert room() == (None, 0, 0)
    sweep.end(first, 0)
    assert room() == (None, None, 0)
    sweep.end(sweep.start(2, "one"), 1)
    assert room() == (None, None, 0) and not sweep.halted, "no canary any more"
    sweep.end(second, 1)
    assert room()[0] == 0
    [halt] = sweep.brakes.halts()
    assert "the canary, job 1 on other, failed (exit 1)" in str(halt)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", Canary()),
        ("30m", Canary(1800.0)),
        ("hosts", Canary(each_host=True)),
        ("hosts,30m", Canary(1800.0, each_host=True)),
        (" 90 , hosts", Canary(90.0, each_host=True)),
        *((text, None) for text in ("0", "x", "hosts,hosts", "5m,30m", ",", "hosts,", "host", "-5")),
    ],
)
def test_what_is_typed_after_canary(text: str, read: Canary | None) -> None:
    assert canary.parse(text) == read


def test_canary_that_could_not_start_is_followed_by_another() -> None:
    sweep = Sweep(canary=Canary())
    attempt = AttemptId(JobId(0), 1)
    sweep.happen(events.AttemptClaimed(attempt, "9f86d081", ME, "h", "s", "i", {}, (0,), (), ("true",), "log", 1.0))
    sweep.happen(events.AttemptVoided(attempt, "the disk is full", trouble=True))
    assert sweep.brakes.room == 1 and not sweep.halted


@pytest.mark.parametrize(("text", "share"), [("5", Share(5)), (" 10% ", Share(10, True)), ("100%", Share(100, True))])
def test_share_is_read(text: str, share: Share) -> None:
    assert parse(text) == share and str(share) == text.strip()


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "101%", "%", "5 jobs", "٥", "0%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    assert parse(text) is None
