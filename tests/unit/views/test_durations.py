"""Lengths of time stay short and readable from a tenth of a second to months."""

from __future__ import annotations

import pytest

from burnish.views.durations import clock, short


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""), (-5, "0s"), (0, "0s"), (0.04, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (59.4, "59s"), (59.6, "1m00s"),
        (192, "3m12s"), (3599.7, "1h00m"), (7500, "2h05m"), (86399.9, "1d00h"), (273600, "3d04h"), (8640000, "100d00h"),
    ],
)  # fmt: skip
def test_short(seconds: float | None, text: str) -> None:
    assert short(seconds) == text


def test_clock_names_the_day_when_it_is_another() -> None:
    now = 1_800_000_000.0
    assert len(clock(now - 3600, now)) == 5
    assert len(clock(now - 86400, now)) == 16
