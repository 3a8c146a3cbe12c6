"""Ctrl-C, TERM and a closed terminal: they end a coordinator, and none of its jobs."""

from __future__ import annotations

import signal
from typing import Protocol


class Stoppable(Protocol):
    """What a signal ends: a coordinator, or what is left to do after it."""

    def stop(self, signal: int) -> None: ...


def heed(stoppable: Stoppable) -> None:
    """Let it end in order, and say what runs on."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, frame: stoppable.stop(received))
