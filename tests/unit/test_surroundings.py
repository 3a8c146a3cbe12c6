"""What a supervisor has looked up a moment ago is not looked up again, and not believed for long."""

from __future__ import annotations

from itertools import count

import pytest

from burnish.remote.agent import surroundings
from burnish.remote.agent.surroundings import HOLDS, Recent, Surroundings


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, s, which a test may set."""
    clock = [0.5]
    monkeypatch.setattr("burnish.remote.agent.surroundings.time.monotonic", lambda: clock[0])
    return clock


def test_a_look_holds_for_a_moment_and_for_what_it_was_about(now: list[float]) -> None:
    recent = Recent(count(1).__next__)
    assert [recent.of("a"), recent.of("a"), recent.of("b"), recent.of("a")] == [1, 1, 2, 3]
    now[0] += HOLDS / 2
    assert recent.of("a") == 3
    now[0] += HOLDS / 2
    assert recent.of("a") == 4


@pytest.mark.parametrize(("name", "what"), [("find_nvidia_smi", "nvidia_smi"), ("count_oom_kills", "oom_kills")])
def test_the_jobs_of_one_moment_ask_once(
    now: list[float], monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(surroundings, name, lambda: asked.append(name))
    recent = getattr(Surroundings("here"), what)
    recent.of()
    recent.of()
    assert asked == [name]
