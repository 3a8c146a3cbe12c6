"""Waiting gives up with the last state in hand."""

from __future__ import annotations

import pytest
from support import wait_for


def test_first_true_value_is_returned() -> None:
    values = iter([0, "", "done"])
    assert wait_for(lambda: next(values)) == "done"


def test_last_state_is_told_when_time_is_over() -> None:
    with pytest.raises(AssertionError, match=r"waited 0\.05 s in vain; the last state was:\n3 of 4 jobs"):
        wait_for(lambda: False, lambda: "3 of 4 jobs", deadline=0.05)


def test_condition_is_asked_once_more_after_the_deadline() -> None:
    asked = []
    wait_for(lambda: asked.append(1) or len(asked) == 1, deadline=0)
    assert asked == [1]
