"""Speaks for a loop that stands still.

A file server that went away holds whoever asks it for as long as it is gone, and whoever waits cannot say so: a thread of its own
can. It counts its looks, not the clock, so that a suspended laptop is not taken for a slow disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

LOOK = 10.0  # s between two looks
LOOKS = 6  # without a turn between them, until it is said


class Watchdog:
    """Watches the turns of one loop, from `start` to `stop`. `shown`: the table, as the user wrote it."""

    def __init__(self, shown: str, say: Callable[[str], None], look: float = LOOK) -> None:
        self._shown = shown
        self._say = say
        self._look = look
        self._turns = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def turned(self) -> None:
        """The loop has taken a turn."""
        self._turns += 1

    def stop(self) -> None:
        """The loop is over."""
        self._over.set()

    def _watch(self) -> None:
        seen = still = 0
        while not self._over.wait(self._look):
            if self._turns != seen:
                if still >= LOOKS:
                    self._say(f"The disk of {self._shown} answers again.")
                seen, still = self._turns, 0
                continue
            still += 1
            if still == LOOKS:
                self._say(
                    f"The disk of {self._shown}, or that of the logs, has not answered for {LOOK * LOOKS:.0f} s. "
                    "Running jobs go on; nothing new is started until it answers."
                )
