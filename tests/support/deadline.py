"""A deadline for code that might wait for ever if a guard were missing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise AssertionError inside the block when it takes longer than `seconds`. In the main thread only."""

    def too_long(*_: object) -> None:
        raise AssertionError(f"still waiting after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
