"""When a supervisor on another node counts as dead: long silence, often looked at; whatever the clocks of files say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from burnish.remote.agent import batch, pulse
from burnish.remote.agent.place import Place
from burnish.remote.agent.pulse import SILENCE, UNSEEN, Pulse, Pulses
from burnish.remote.agent.records import read_record


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pulse, "time", made)
    return made


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(str(tmp_path), "table-1", "0.1-9f86d081")
    os.makedirs(made.folder)
    return made


def touch(place: Place, time: int) -> None:
    os.utime(place.file("pulse"), ns=(time, time))


def look(pulses: Pulses, place: Place, clock: Clock, seconds: float) -> bool:
    """Look every 10 s for so long; what the last look says."""
    silent = False
    for _ in range(round(seconds / 10)):
        clock.now += 10
        silent = pulses.is_silent(place)
    return silent


def test_who_was_looked_at_and_did_nothing_for_long_is_silent(place: Place, clock: Clock) -> None:
    Pulse(place).begin()
    pulses = Pulses()
    assert not pulses.is_silent(place)
    assert not look(pulses, place, clock, SILENCE - 10)
    assert look(pulses, place, clock, 10)


def test_any_change_is_a_sign_of_life_whatever_time_it_says(place: Place, clock: Clock) -> None:
    Pulse(place).begin()
    pulses = Pulses()
    for time in (5, 3, 10**18, 4):
        touch(place, time)
        assert not look(pulses, place, clock, SILENCE)
    assert look(pulses, place, clock, 10)


def test_only_a_change_between_two_looks_is_a_beat(place: Place, clock: Clock) -> None:
    Pulse(place).begin()
    pulses = Pulses()
    look(pulses, place, clock, 10)
    assert not pulses.beats(place), "one look shows nothing"
    look(pulses, place, clock, 10)
    assert not pulses.beats(place)
    touch(place, 5)
    look(pulses, place, clock, 10)
    assert pulses.beats(place)
    look(pulses, place, clock, 10)
    assert not pulses.beats(place)


def test_what_nobody_looked_at_proves_nothing(place: Place, clock: Clock) -> None:
    """The file system hung, for supervisor and agent alike; or the agent's machine slept."""
    Pulse(place).begin()
    pulses = Pulses()
    assert not look(pulses, place, clock, SILENCE - 10)
    clock.now += UNSEEN + 1
    assert not pulses.is_silent(place)
    assert look(pulses, place, clock, SILENCE)


def test_a_supervisor_without_a_pulse_has_none_to_wait_for(place: Place) -> None:
    assert Pulses().is_silent(place)


def test_a_beat_is_seldom_and_makes_no_file(place: Place, clock: Clock) -> None:
    supervisor = Pulse(place)
    assert supervisor.beat()
    assert not supervisor.beat()
    clock.now += pulse.BEAT
    assert supervisor.beat()
    assert not os.path.exists(place.file("pulse"))


def test_what_is_concluded_late_ended_with_its_last_beat(place: Place) -> None:
    Pulse(place).begin()
    touch(place, 160 * 10**9)
    batch._end(place, {"started": 100.0}, {"exit": {"signal": 9}}, "")
    final = read_record(place.file("final.json"))
    assert final is not None
    assert (final["exit"]["ended"], final["exit"]["duration"]) == (160.0, 60.0)
