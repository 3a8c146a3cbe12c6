"""How often something is done that takes its time."""

from __future__ import annotations

import pytest

from burnish.core.pace import Pace


def test_what_is_quick_is_done_as_often_as_it_may_be() -> None:
    pace = Pace(shortest=1.0, share=0.05)
    assert pace.due <= 0.0
    pace.done(10.0, 10.01)
    assert pace.due == 11.01


def test_what_always_takes_long_takes_no_more_than_its_share() -> None:
    pace = Pace(shortest=1.0, share=0.05)
    now = took = 0.0
    for _ in range(100):
        began, now = now, now + 2.0
        took += 2.0
        pace.done(began, now)
        now = pace.due
    assert 0.045 < took / now < 0.055


def test_what_took_long_once_is_not_put_off_for_it() -> None:
    pace = Pace(shortest=1.0, share=0.05)
    pace.done(0.0, 0.01)
    pace.done(2.0, 7.0)
    assert pace.due == 8.0
    pace.done(9.0, 9.1)
    assert pace.due == pytest.approx(9.1 + 2.0)
