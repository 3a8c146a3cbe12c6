"""How often something is done that keeps a loop from everything else: rarely enough that it takes a small share of its time."""

from __future__ import annotations


class Pace:
    """When to do it next. `shortest`: s from one end to the next beginning, at least. `share` (0 to 1): of the time, at most.

    What took long once may have waited for a disk; what takes long takes long twice. So the quicker of the last two counts, and
    nobody waits a minute for the third because the second met a hiccup.
    """

    def __init__(self, shortest: float, share: float) -> None:
        self._shortest = shortest
        self._share = share
        self._took = 0.0
        self.due = 0.0  # s of the clock whose times it is told

    def done(self, began: float, ended: float) -> None:
        """It was done, in this time."""
        before, self._took = self._took, ended - began
        self.due = ended + max(self._shortest, min(before, self._took) / self._share)
