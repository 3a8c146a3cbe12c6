"""Whose log comes home next, when many grow at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from burnish.core.jobs import HostName
from burnish.core.reports import LogPulled
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
