"""When a link gives its connection up: after a silence that was the host's, never after one that was our own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.sweeps import children
from support.waiting import wait_for

from burnish.core import reports
from burnish.core.jobs import HostName
from burnish.inspection import LOOK
from burnish.remote.link import DEAD, Link
from burnish.remote.transport import LocalTransport, Transport

HOURS = 8 * 3600.0


class Watched:
    """A link to this machine, on a clock that the test turns."""

    def __init__(self, transport: Transport, folder: Path) -> None:
        self.now = 1000.0
        self.heard: list[reports.Report] = []
        state = str(folder / "state")
        self.link = Link(HostName("here"), transport, "table-1", state, self.heard.append, lambda: self.now)
        before = children(os.getpid())
        self.link.start()
        self.agent = wait_for(lambda: [pid for pid in children(os.getpid()) if pid not in before])[0]

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass, in which the coordinator looks at its links every second, as it does."""
        for _ in range(int(seconds)):
            self.now += 1
            self.link.watch()

    @property
    def dropped(self) -> bool:
        return any(isinstance(report, reports.HostDropped) for report in self.heard)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(LocalTransport(), tmp_path)
    wait_for(lambda: made.link.up, lambda: made.heard)
    yield made
    made.link.close()


def test_hours_in_which_we_slept_are_no_silence_of_the_host(watched: Watched) -> None:
    os.kill(watched.agent, signal.SIGSTOP)  # so that nothing which it says helps
    watched.now += HOURS
    watched.link.watch()
    watched.pass_seconds(DEAD - 5)
    assert watched.link.up and not watched.dropped


def test_host_that_says_nothing_is_given_up(watched: Watched) -> None:
    os.kill(watched.agent, signal.SIGSTOP)
    watched.pass_seconds(DEAD + 5)
    wait_for(lambda: watched.dropped, lambda: watched.heard)
    assert not watched.link.up


def test_host_that_answers_pings_is_kept(watched: Watched) -> None:
    for _ in range(4):
        watched.link.round_trip = 0.0
        watched.pass_seconds(DEAD / 2)
        wait_for(lambda: watched.link.round_trip, lambda: watched.heard)
    assert watched.link.up and not watched.dropped


def test_host_that_is_looked_at_is_not_asked_as_well_whether_it_lives(watched: Watched) -> None:
    for looks in range(1, 5):
        watched.link.send({"type": "look"})
        wait_for(lambda looks=looks: sum(isinstance(report, reports.HostSeen) for report in watched.heard) == looks)
        if looks == 1:
            watched.link.round_trip = -1.0  # it was pinged when it answered first, and has answered that before
        watched.pass_seconds(LOOK)
    assert watched.link.round_trip == -1.0
    watched.pass_seconds(1)  # a minute since then: how long an answer takes may have changed
    wait_for(lambda: watched.link.round_trip != -1.0)
    assert watched.link.up and not watched.dropped


def test_host_whose_agent_never_begins_to_speak_is_given_up(tmp_path: Path) -> None:
    """Its home is on a file system that hangs, say: Python starts, and that is all."""
    mute = tmp_path / "python"
    mute.write_text("#!/bin/sh\nexec sleep 1000\n")
    mute.chmod(0o755)
    made = Watched(LocalTransport(str(mute)), tmp_path)
    try:
        wait_for(lambda: made.pass_seconds(5) or made.dropped, lambda: made.heard)
    finally:
        made.link.close()
