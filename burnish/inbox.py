"""What a coordinator has not heard yet: reports, taken in batches.

A commit waits for the disk twice, however much is in it. So a batch is given as long to grow as that takes on this disk, some
milliseconds at most, and only while nothing in it is urgent: no slot stands idle for want of an answer. (A group commit; what
PostgreSQL calls `commit_delay`.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from burnish.core.reports import Report

GATHER = 0.004  # s that a batch may grow at most
STEP = 0.001  # s between two looks; to be woken by each report would cost more than the report


class Inbox:
    """Reports of other threads. `urgent` says of a report whether somebody waits for what follows from it."""

    def __init__(
        self,
        urgent: Callable[[Report], bool],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._urgent = urgent
        self._clock = clock
        self._sleep = sleep
        self._reports: SimpleQueue[Report] = SimpleQueue()

    def put(self, report: Report) -> None:
        """Add a report. For any thread, and for signal handlers."""
        self._reports.put(report)

    def take(self, timeout: float, commit: float) -> list[Report]:
        """The next batch. Waits up to `timeout` s for its first report; empty if none came.

        `commit`: s that the disk takes for what follows from it. Where that is less than a step, nothing is gained by a wait.
        """
        try:
            batch = [self._reports.get(timeout=timeout)]
        except Empty:
            return []
        self._drain(batch)
        looked, end = 0, self._clock() + min(GATHER, commit)
        while commit >= STEP and not any(map(self._urgent, batch[looked:])) and self._clock() < end:
            looked = len(batch)
            self._sleep(STEP)
            self._drain(batch)
        return batch

    def _drain(self, batch: list[Report]) -> None:
        try:
            while True:
                batch.append(self._reports.get_nowait())
        except Empty:
            return
