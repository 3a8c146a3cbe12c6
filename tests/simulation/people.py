"""Those who use the table: they start runs again and again, edit cells, and ask for cancels and resets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from burnish.plan import Plan
from burnish.runners.sources import TemplateSource
from burnish.session import Session
from simulation import install
from simulation.machine import Machine, Process

if TYPE_CHECKING:
    from simulation.scenario import Scenario

COMMAND = "job {--work} {--note}"


class Person:
    """Sits at one of the machines; runs the table until nothing is left to do."""

    def __init__(self, scenario: Scenario, number: int) -> None:
        self.scenario = scenario
        self.world = scenario.world
        self.random = self.world.random(f"person {number}")
        self.home: Machine = self.random.choice(scenario.homes)
        self.process: Process | None = None
        self._insists = False
        self._done = False

    def live(self) -> None:
        """Begin at some time."""
        self.world.at(self.world.now + self.random.choice((0.0, 0.0, 1.0, 10.0)) + self.random.random(), self._start)

    def insist(self) -> None:
        """From now on, whenever something is left to do, do it."""
        self._insists = True
        if not self._running:
            self._start()

    @property
    def _running(self) -> bool:
        return self.process is not None and not self.process.dead

    @property
    def busy(self) -> bool:
        """True while this person runs burnish, or will: until a run has ended that began after all faults."""
        return self._running or not self._done or not self.scenario.oracle.resting

    def _start(self) -> None:
        if self._running:
            return
        if not self.home.up:
            self.world.at(self.world.now + 5.0, self._start)
            return
        self.process = self.home.start("run", self._run)
        last = self._insists
        self.world.spawn(_Watcher(self.process), "watcher", lambda: self._watch(last))

    def _run(self) -> None:
        scenario = self.scenario
        session = Session.open(scenario.paths, scenario.say)
        plan = Plan(scenario.inventory, source=TemplateSource(COMMAND))
        session.coordinator(plan).run()

    def _watch(self, last: bool) -> None:
        """When the run has ended, start another one, sooner or later. `last`: it began after all faults."""
        process = self.process
        assert process is not None
        while not process.dead:
            self.world.wait([process.ended])
        self._done = last
        if self._insists and self.busy:
            self.world.at(self.world.now + 2.0, self._start)
        elif not self._insists and self.random.random() < 0.8:
            self.world.at(self.world.now + self.random.uniform(0, 20), self._start)


class _Watcher:
    """Not a process of the lab: what looks on from outside."""

    def __init__(self, watched: Process) -> None:
        self.dead = False
        self.frozen_until = 0.0
        self.armed = None
        self.on_locked = None
        self.machine = watched.machine
        self.tasks: list[object] = []

    def task_ended(self, task: object) -> None:
        pass

    def crashed(self, task: object, error: Exception) -> None:
        raise error


def command(scenario: Scenario, home: Machine, work: Callable[[Session], object]) -> Process:
    """A short command of burnish's, such as `burnish cancel`, at that machine."""

    def do() -> None:
        work(Session.open(scenario.paths, scenario.say))

    return home.start("verb", do)


def here() -> Process:
    """Who runs now."""
    return install.os.me
