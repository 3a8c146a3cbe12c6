"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.01  # s between two looks at first; doubled up to LONGEST_PAUSE
LONGEST_PAUSE = 0.2


def wait_for(predicate: Callable[[], T], show: Callable[[], object] | str = "", deadline: float = 60.0) -> T:
    """Return the first true value of `predicate`, asked again and again for at most `deadline` seconds.

    `show` gives (or is) what the failure prints: the last state of whatever was waited for. Raises AssertionError when the time
    is over. The predicate is asked once more after the deadline, so that a machine that slept does not fail a test.
    """
    __tracebackhide__ = True
    end = time.monotonic() + deadline
    pause = PAUSE
    while True:
        asked = time.monotonic()
        late = asked >= end
        if value := predicate():
            return value
        if late:
            state = show() if callable(show) else show
            raise AssertionError(f"waited {deadline:g} s in vain; the last state was:\n{state}")
        time.sleep(max(pause, time.monotonic() - asked))  # a question that takes a processor shall not take all of it
        pause = min(pause * 2, LONGEST_PAUSE)
