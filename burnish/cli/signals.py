"""Ctrl-C, TERM and a closed terminal: they end a coordinator, and none of its jobs."""

from __future__ import annotations

import signal

from burnish.coordinator import Coordinator


def heed(coordinator: Coordinator) -> None:
    """Let it end in order, and say what runs on."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, frame: coordinator.stop(received))
