"""Ctrl-C, TERM and a closed terminal: they end a coordinator, and none of its jobs; and they end who only watches."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Protocol

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stoppable(Protocol):
    """What a signal ends: a coordinator, or what is left to do after it."""

    def stop(self, signal: int) -> None: ...


def heed(stoppable: Stoppable) -> None:
    """Let it end in order, and say what runs on."""
    _take(lambda received, frame: stoppable.stop(received))


def interrupt() -> None:
    """Let TERM and a closed terminal do what Ctrl-C does, so that what `finally` gives back is given back."""
    _take(signal.default_int_handler)


def _take(handler: Callable[[int, FrameType | None], object]) -> None:
    for number in _ENDING:
        # Whoever starts us with one ignored wants us to outlive it: nohup the terminal, a script with `&` its Ctrl-C.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
