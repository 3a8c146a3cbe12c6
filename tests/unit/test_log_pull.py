"""Whose log comes home next, when many grow at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from burnish.core.jobs import HostName
from burnish.core.reports import LogPulled
from burnish.remote import logs
from burnish.remote.logs import AT_ONCE, LogPull

MANY = 3 * AT_ONCE


def test_every_log_gets_its_turn_though_all_have_more(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    pull = LogPull(asked.append)
    for number in range(MANY):
        pull.watch(str(number), {stream: tmp_path / f"{number}.{stream}" for stream in ("out", "err")})
    pull.ask()
    for turn in range(2 * MANY):
        piece = asked[turn]
        report = LogPulled(HostName("gpu1"), piece["attempt"], piece["stream"], piece["offset"], 1 << 40, b"x")
        assert pull.take(report)
        pull.ask()
        assert len(asked) == AT_ONCE + turn + 1, "as many are on their way as may be"
    assert len({(piece["attempt"], piece["stream"]) for piece in asked}) == 2 * MANY


def test_log_that_does_not_grow_is_asked_for_ever_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    asked: list[float] = []
    pull = LogPull(lambda frame: asked.append(now))
    pull.watch("2", {"out": tmp_path / "out", "err": tmp_path / "err"})

    def answer(data: bytes) -> None:
        for stream in ("out", "err"):
            pull.take(LogPulled(HostName("gpu1"), "2", stream, 0, len(data), data))

    for _ in range(4 * 60):
        pull.ask()
        answer(b"")
        now += 0.25
    assert len(asked) <= 2 * 20, "a minute of silence, and both streams are asked for every 5 s"
    last_minute, asked[:] = asked[-4:], []
    assert last_minute[0] == last_minute[1], "together"
    answer(b"x")
    pull.ask()
    assert len(asked) == 2, "it grows, and is asked for at once"
    answer(b"")
    pull.ended("2", {"out": 2, "err": 2})
    assert len(asked) == 4, "its verdict waits for it"
