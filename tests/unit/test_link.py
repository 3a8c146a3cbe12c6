"""When a link gives its connection up: after a silence that was the host's, never after one that was our own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.sweeps import children
from support.waiting import wait_for

from burnish.core import reports
from burnish.core.jobs import HostName
from burnish.errors import HostKeyRefused, HostRefused
from burnish.inspection import LOOK
from burnish.remote import link as links
from burnish.remote.link import DEAD, Link
from burnish.remote.transport import Channel, LocalChannel, LocalTransport, Transport

HOURS = 8 * 3600.0


class Watched:
    """A link to this machine, on a clock that the test turns."""

    def __init__(self, transport: Transport, folder: Path) -> None:
        self.now = 1000.0
        self.heard: list[reports.Report] = []
        state = str(folder / "state")
        self.link = Link(HostName("here"), transport, "table-1", state, self.heard.append, lambda: self.now)
        before = children(os.getpid())
        # Until its first ping is answered: on a clock that stands still, an answer takes 0 s.
        self.link.round_trip = -1.0
        self.link.start()
        self.agent = wait_for(lambda: [pid for pid in children(os.getpid()) if pid not in before])[0]

    @property
    def at_rest(self) -> bool:
        """The link is up, and nothing is on its way."""
        return self.link.up and self.link.round_trip == 0.0

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass, in which the coordinator looks at its links every second, as it does."""
        for _ in range(int(seconds)):
            self.now += 1
            self.link.watch()

    @property
    def dropped(self) -> bool:
        return any(isinstance(report, reports.HostDropped) for report in self.heard)


class Refusing(LocalTransport):
    """This machine, as one that refuses after it has answered: with each of `errors`, or for ever with the first if `lasting`."""

    def __init__(self, *errors: HostRefused, lasting: bool = False) -> None:
        super().__init__()
        self._errors = list(errors)
        self._lasting = lasting
        self.opened = 0

    def open(self) -> Channel:
        self.opened += 1
        if self.opened > 1 and self._errors:
            raise self._errors[0] if self._lasting else self._errors.pop(0)
        return super().open()


LOCKED = HostRefused("here: it does not let us in. This host is left out.", hint="try ssh")


def broken_off(transport: Transport, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """A link that was up, tries again at once, and whose agent was killed."""
    monkeypatch.setattr(links, "SLOWEST_RETRY", 0.01)
    made = Watched(transport, folder)
    wait_for(lambda: made.at_rest, lambda: made.heard)
    os.kill(made.agent, signal.SIGKILL)
    return made


def reported(watched: Watched, kind: type[Any]) -> list[Any]:
    return [report for report in watched.heard if isinstance(report, kind)]


def test_host_that_has_answered_and_lets_us_not_in_for_a_while_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was rebooted, and the keys of its account are on a file system that is not mounted yet."""
    made = broken_off(Refusing(*[LOCKED] * 5), tmp_path, monkeypatch)
    try:
        wait_for(lambda: len(reported(made, reports.HostConnected)) == 2, lambda: made.heard)
        assert not reported(made, reports.HostTurnedAway)
        assert [drop.why for drop in reported(made, reports.HostDropped)][1:] == [
            "here: it does not let us in. It is tried again."
        ] * 5
    finally:
        made.link.close()


def test_host_that_has_answered_and_lets_us_not_in_any_more_is_believed_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = Refusing(LOCKED, lasting=True)
    made = broken_off(transport, tmp_path, monkeypatch)
    try:
        (refusal,) = wait_for(lambda: reported(made, reports.HostTurnedAway), lambda: made.heard)
        assert refusal.why == "here: it does not let us in. This host is left out.\nhint: try ssh"
        assert transport.opened == 1 + links.REFUSALS
    finally:
        made.link.close()


def test_host_that_comes_back_with_another_key_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = Refusing(HostKeyRefused("here: its host key has changed. This host is left out."))
    made = broken_off(transport, tmp_path, monkeypatch)
    try:
        wait_for(lambda: reported(made, reports.HostTurnedAway), lambda: made.heard)
        assert transport.opened == 2 and len(reported(made, reports.HostDropped)) == 1
    finally:
        made.link.close()


def test_connection_that_cannot_be_closed_is_told_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when no thread can be started any more: nothing that goes wrong there may cost the host for the rest of the run."""
    close, failed = LocalChannel.close, []

    def closing(channel: LocalChannel) -> None:
        close(channel)
        if not failed:
            failed.append(True)
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(LocalChannel, "close", closing)
    made = broken_off(LocalTransport(), tmp_path, monkeypatch)
    try:
        wait_for(lambda: len(reported(made, reports.HostConnected)) == 2, lambda: made.heard)
        (drop,) = reported(made, reports.HostDropped)
        assert drop.why == "RuntimeError: can't start new thread"
    finally:
        made.link.close()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(LocalTransport(), tmp_path)
    wait_for(lambda: made.at_rest, lambda: made.heard)
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
        watched.link.round_trip = -1.0
        watched.pass_seconds(DEAD / 2)
        wait_for(lambda: watched.link.round_trip != -1.0, lambda: watched.heard)
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
