"""One simulated world: an invented clock, and many tasks of which exactly one runs at a time.

A task is a thread of a simulated process, kept as a greenlet. The code in it is the real one; whatever it asks of its operating
system comes to `effect`, where the world may let others go first, freeze the process, or end it. Which task goes on next is
drawn from the seed, so the same seed and the same faults give the same run, to the last effect.

The clock moves only when everybody waits, and a little with each effect. A process that dies is unwound by `Killed`, and every
effect that its `finally` blocks attempt fails: to the rest of the world it stopped in mid-instruction.
"""

from __future__ import annotations

import heapq
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from greenlet import getcurrent, greenlet

PRICE = 2e-5  # s that an effect takes
BEGIN = 1000.0  # s
BURST = 100_000  # effects that a world may have at once
RATE = 5_000  # effects that it may have per second: a process that spins makes ten times as many (`PRICE`)


class Killed(BaseException):
    """Unwinds the tasks of a process that is no more."""


class Source:
    """Something to wait for."""

    __slots__ = ("waiters",)

    def __init__(self) -> None:
        self.waiters: list[Task] = []

    def notify(self) -> None:
        """Whoever waits looks again."""
        if self.waiters:
            for task in self.waiters[:]:
                task.world.wake(task)


class Task:
    """A thread of a simulated process. `process` needs `dead`, `frozen_until` and `crashed(task, error)`."""

    def __init__(self, world: World, process: Any, name: str, work: Callable[[], None]) -> None:
        self.world = world
        self.process = process
        self.name = name
        self.done = Source()
        self.over = False
        self.waiting = 0  # number of the wait that this task is in; 0 while it is to run
        self.greenlet = greenlet(lambda: self._live(work), world.hub)

    def _live(self, work: Callable[[], None]) -> None:
        try:
            if not self.process.dead:
                work()
        except Killed:
            pass
        except Exception as error:
            self.process.crashed(self, error)
        finally:
            self.over = True
            self.done.notify()
            self.process.task_ended(self)


class World:
    """The clock, the tasks, and what went wrong (`failure`). `fired` counts faults by kind."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.hub = getcurrent()
        self.now = BEGIN
        self.steps = 0
        self.failure: str | None = None
        self.fired: Counter[str] = Counter()
        self.history: deque[str] = deque(maxlen=6000)
        self.tracing = False
        self.current: Task | None = None
        self.programs: Any = None  # what runs a command: `run(process, argv)`
        self.faulty = True  # until faults stop
        self._random = self.random("schedule")
        self._restless = self._random.choice((0.02, 0.1, 0.3))  # how often an effect lets others go first
        self._restless_reads = self._restless * 0.2  # and one that only looks
        self._chance = self._random.random
        self._ready: list[Task] = []
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0
        self._doomed: list[Task] = []

    def random(self, purpose: str) -> Random:
        """Numbers for one purpose: drawing for another does not disturb them."""
        return Random(f"{self.seed} {purpose}")

    # -- what tasks call -------------------------------------------------------------------------------------------

    def effect(self, name: str, *detail: Any, reads: bool = False) -> Any:
        """The current task is about to do something that others may notice, or only looks (`reads`). Its process."""
        task: Any = self.current
        process = task.process
        if process.dead:
            raise Killed
        self.steps += 1
        self.now += PRICE
        if self.tracing:
            self.note(f"{task.name}: {name} {' '.join(map(str, detail))}")
        if process.armed is not None:
            process.armed(name)
            if process.dead:
                raise Killed
        if process.frozen_until > self.now or self._chance() < (self._restless_reads if reads else self._restless):
            self._ready.append(task)
            self.hub.switch()
            if process.dead:
                raise Killed
        return process

    def wait(self, sources: Iterable[Source], deadline: float | None = None) -> None:
        """Until one of `sources` is notified, or `deadline` (on this clock) comes. Spurious ends are possible."""
        task = self.current
        assert task is not None
        if task.process.dead:
            raise Killed
        self._number += 1
        number = task.waiting = self._number
        waiters = [source.waiters for source in sources]
        for each in waiters:
            each.append(task)
        if deadline is not None:
            self._push(deadline, lambda: self.wake(task) if task.waiting == number else None)
        try:
            self._switch(task)
        finally:
            task.waiting = 0
            for each in waiters:
                each.remove(task)

    def sleep(self, seconds: float) -> None:
        """The current task does nothing for so long."""
        end = self.now + seconds
        while self.now < end:
            self.wait((), end)

    def spawn(self, process: Any, name: str, work: Callable[[], None]) -> Task:
        """A new task of `process`."""
        task = Task(self, process, name, work)
        process.tasks.append(task)
        self._ready.append(task)
        return task

    def wake(self, task: Task) -> None:
        """A waiting task is to look again."""
        if task.waiting:
            task.waiting = 0
            self._ready.append(task)

    def doom(self, tasks: Iterable[Task]) -> None:
        """These tasks never go on: their process is dead. The current one ends at its next effect."""
        self._doomed.extend(task for task in tasks if task is not self.current and not task.over)

    # -- what the outside calls ------------------------------------------------------------------------------------

    def at(self, when: float, act: Callable[[], None]) -> None:
        """Call `act` at that time, outside all tasks."""
        self._push(max(when, self.now), act)

    def run(self, until: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Let the world go on until that time, until it is `enough`, or until something is wrong."""
        timers, ready = self._timers, self._ready
        while self.failure is None and self.now < until:
            if self._doomed:
                self._unwind()
            if timers and timers[0][0] <= self.now:
                heapq.heappop(timers)[2]()
            elif ready:
                self._resume(self._take())
            elif enough() or not timers:
                return
            else:
                self.now = max(self.now, timers[0][0])
            if self.steps > BURST + RATE * (self.now - BEGIN):
                self.fail(f"livelock: {self.steps} effects in {self.now - BEGIN:.0f} s, and no end")

    def close(self) -> None:
        """Unwind whatever still lives."""
        while self._doomed:
            self._unwind()

    def fail(self, what: str) -> None:
        """A promise is broken. The run ends here."""
        if self.failure is None:
            self.failure = what
            self.note(f"VIOLATION {what}")

    def note(self, line: str) -> None:
        """Remember what happened, for whoever reads a failing run."""
        self.history.append(f"{self.now:11.5f} {line}")

    def fault(self, kind: str, detail: str = "") -> None:
        """A fault has really happened, to somebody who was there."""
        self.fired[kind] += 1
        self.note(f"FAULT {kind} {detail}")

    # -- how it is done --------------------------------------------------------------------------------------------

    def _push(self, when: float, act: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, act))

    def _take(self) -> Task:
        ready = self._ready
        place = int(self._chance() * len(ready))
        last = ready.pop()
        if place == len(ready):
            return last
        task, ready[place] = ready[place], last
        return task

    def _resume(self, task: Task) -> None:
        if task.over:
            return
        frozen_until = task.process.frozen_until
        if frozen_until > self.now:
            self._push(frozen_until, lambda: self._ready.append(task))
            return
        self.current = task
        task.greenlet.switch()
        self.current = None

    def _switch(self, task: Task) -> None:
        self.hub.switch()
        if task.process.dead:
            raise Killed

    def _unwind(self) -> None:
        while self._doomed:
            task = self._doomed.pop(0)
            if task.over:
                continue
            if task.greenlet:
                self.current, task.waiting = task, 0
                task.greenlet.throw(Killed)
                self.current = None
            else:  # it never began
                task.over = True
                task.process.task_ended(task)


def shown(error: BaseException) -> str:
    """An error with the place where it came from."""
    return "".join(traceback.format_exception(error)).strip()
