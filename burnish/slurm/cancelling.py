"""Tasks that Slurm is to wake or to end: their numbers are looked up at that moment, and all go into one scancel.

The numbers that are known may be other jobs' by now: a controller that lost its state counts from the beginning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from burnish.core.reports import CommandRan
from burnish.slurm import text
from burnish.slurm.states import end_of
from burnish.slurm.tasks import Key

PAUSE = 2.0  # s between two looks
LIMIT = 60.0  # s for a command
PATIENCE = 10.0  # s in which Slurm may answer, before others go on without


class Ask(Protocol):
    """Has a command run on the login node, for at most so many s."""

    def __call__(self, argv: list[str], then: Callable[[CommandRan], None], *, limit: float = ...) -> None: ...


class Cancelling:
    """The tasks of one cluster."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._to_wake: set[Key] = set()
        self._to_end: set[Key] = set()
        # What comes after an end, and when that was asked for.
        self._followers: dict[Key, tuple[Callable[[], None], float]] = {}
        self._running = 0  # commands that have not ended
        self._next = 0.0

    def restart(self) -> None:
        """The link was made anew: whoever wanted something wants it again."""
        self._to_wake.clear()
        self._to_end.clear()
        self._followers.clear()
        self._running, self._next = 0, 0.0

    def wake(self, task: Key) -> None:
        """Have its supervisor look at its folder."""
        self._to_wake.add(task)

    def end(self, task: Key, now: float, then: Callable[[], None] | None = None) -> None:
        """Have Slurm end it, or take it out of its queue; `then` follows, or if Slurm does not answer."""
        self._to_end.add(task)
        if then is not None:
            self._followers[task] = then, now

    def turn(self, now: float) -> None:
        """Go on with what can be done now."""
        self._follow([task for task, (_, since) in self._followers.items() if now - since >= PATIENCE])
        if (wanted := self._to_wake | self._to_end) and not self._running and now >= self._next:
            self._next = now + PAUSE
            self._running += 1
            self._ask(text.squeue(name for name, _ in wanted), self._listed)

    def _listed(self, ran: CommandRan) -> None:
        """One scancel for all that Slurm lists under the names of their arrays, and that is not over there."""
        self._running -= 1
        if ran.code != 0:
            return  # it is asked again
        listed = text.read_squeue(ran.out)
        for wanted, signal in ((self._to_wake, "USR1"), (self._to_end, "")):
            tasks = [] if signal else list(wanted)
            found = [listed[key] for key in wanted if key in listed]
            wanted.clear()
            if jobs := [one.job for one in found if end_of(one.state) is None]:
                self._running += 1
                # The signal is sent at once. Then scancel sends it again for a minute and a half, while others of the array wait.
                self._ask(
                    text.scancel(jobs, signal), partial(self._cancelled, tasks), limit=PATIENCE if signal else LIMIT
                )
            else:
                self._follow(tasks)

    def _cancelled(self, tasks: list[Key], ran: CommandRan) -> None:
        """Whether it worked is seen in Slurm's list, and in the folders."""
        self._running -= 1
        self._follow(tasks)

    def _follow(self, tasks: list[Key]) -> None:
        for task in tasks:
            if task in self._followers:
                self._followers.pop(task)[0]()
