"""A batch of reports grows for some milliseconds, but not while a slot stands idle."""

from __future__ import annotations

from collections.abc import Callable

from burnish.core.jobs import HostName
from burnish.core.reports import AttemptReported
from burnish.inbox import GATHER, STEP, Inbox


class World:
    """A clock, and reports that come while time passes: at a time in s, of an attempt of this name."""

    def __init__(self, coming: dict[float, str], urgent: Callable[[str], bool]) -> None:
        self.now = 0.0
        self.coming = coming
        self.inbox = Inbox(lambda report: urgent(report.name), lambda: self.now, self.sleep)  # type: ignore[union-attr]
        self.sleep(0.0)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at in [at for at in self.coming if at <= self.now]:
            self.inbox.put(AttemptReported(HostName("gpu01"), self.coming.pop(at), "ended", None, None, None))

    def take(self, commit: float = 1.0) -> list[str]:
        return [report.name for report in self.inbox.take(0.01, commit) if isinstance(report, AttemptReported)]


def test_what_nobody_waits_for_is_taken_together_after_some_milliseconds() -> None:
    world = World({0.0: "1.1", STEP: "2.1", 3 * STEP: "3.1", 2 * GATHER: "4.1"}, lambda name: False)
    assert world.take() == ["1.1", "2.1", "3.1"]
    assert GATHER <= world.now < GATHER + 2 * STEP


def test_urgent_report_is_taken_at_once_with_what_is_there() -> None:
    world = World({0.0: "1.1", -1.0: "2.1", STEP: "3.1"}, lambda name: name == "2.1")
    assert world.take() == ["1.1", "2.1"]
    assert world.now == 0.0


def test_urgent_report_that_comes_later_ends_the_wait() -> None:
    world = World({0.0: "1.1", STEP: "2.1", 2 * STEP: "3.1"}, lambda name: name == "2.1")
    assert world.take() == ["1.1", "2.1"]


def test_no_longer_than_a_commit_takes() -> None:
    world = World({0.0: "1.1", STEP: "2.1", 2 * STEP: "3.1", 3 * STEP: "4.1"}, lambda name: False)
    assert world.take(commit=1.5 * STEP) == ["1.1", "2.1", "3.1"]


def test_where_a_commit_takes_no_time_nothing_is_waited_for() -> None:
    world = World({0.0: "1.1", STEP: "2.1"}, lambda name: False)
    assert world.take(commit=STEP / 2) == ["1.1"]
    assert world.now == 0.0


def test_nothing_comes() -> None:
    assert World({}, lambda name: False).take() == []
