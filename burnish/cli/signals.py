"""Ctrl-C, TERM and a closed terminal: they end a coordinator, and none of its jobs; and they end who only watches."""

from __future__ import annotations

import signal
from typing import Protocol

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stoppable(Protocol):
    """What a signal ends: a coordinator, or what is left to do after it."""

    def stop(self, signal: int) -> None: ...


def heed(stoppable: Stoppable) -> None:
    """Let it end in order, and say what runs on."""
    for number in _ENDING:
        signal.signal(number, lambda received, frame: stoppable.stop(received))


def interrupt() -> None:
    """Let TERM and a closed terminal do what Ctrl-C does, so that what `finally` gives back is given back."""
    for number in _ENDING:
        signal.signal(number, signal.default_int_handler)
