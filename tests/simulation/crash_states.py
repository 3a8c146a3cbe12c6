"""Every legal state of a disk after a loss of power: `PYTHONPATH=tests python -m simulation.crash_states [--stride 10]`.

A small world without any other fault is run again and again. Each time one machine, the host or the coordinator's, loses its
power before another one of its effects, and its disk is left in another one of the states that it may be in then: any part of the
changes of names that nobody synced, in each folder the older ones first; and of each file that was not synced nothing new, a
beginning, or all. Then the world goes on until everything is at rest, under the oracle's eyes: no torn record is believed, and
nothing is lost that was told. (ALICE, Pillai et al., OSDI 2014, in small.)
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulation.filesystem import FileSystem
    from simulation.scenario import Scenario

EACH_CHECKPOINT = 4  # facts: so that some are written
SEEDS = range(2000)  # among which small worlds are sought
MACHINES = ("host", "home")


class Choices:
    """Answers a disk's questions to chance so that, asked again and again, each combination of answers comes once."""

    def __init__(self) -> None:
        self._answers: list[int] = []
        self._options: list[int] = []

    def again(self) -> bool:
        """Prepare the next combination. False if all have been."""
        while self._options and self._answers[-1] == self._options[-1] - 1:
            self._answers.pop()
            self._options.pop()
        if not self._options:
            return False
        self._answers[-1] += 1
        self._options.clear()
        return True

    def _one_of(self, number: int) -> int:
        place = len(self._options)
        self._options.append(number)
        if place == len(self._answers):
            self._answers.append(0)
        return self._answers[place]

    # What `FileSystem.lose_power` asks.

    def choice(self, values: Any) -> float:
        return 0.5

    def random(self) -> float:
        return (0.0, 1.0)[self._one_of(2)]

    def randrange(self, number: int) -> int:
        return self._one_of(number)

    def randint(self, first: int, last: int) -> int:
        places = sorted({first, (first + last) // 2, max(first, last - 1)})
        return places[self._one_of(len(places))]


def small(seed: int) -> Scenario | None:
    """The calm world of this seed, if it has one host, one coordinator's machine with the table, one person, a job or two."""
    from simulation.scenario import Scenario

    lab = Scenario(seed, frozenset())
    rows = lab.table_text().count("\n") - 1
    calm = not lab.plan and not lab.shared and len(lab.hosts) == len(lab.homes) == len(lab.people) == 1
    return lab if calm and rows <= 2 else None


def run(seed: int, machine: str, moment: int, choices: Choices | None, seen: list[object] | None = None) -> str | None:
    """Run that world; what was broken. Power goes before effect number `moment` of that machine, if there are `choices`.

    `seen` gets what that machine's disk would lose at each of its effects.
    """
    from simulation import faults

    lab = small(seed)
    assert lab is not None
    victim = lab.hosts[0] if machine == "host" else lab.homes[0]
    effect, count = lab.world.effect, 0

    def strike() -> None:
        chance, victim.disk.random = victim.disk.random, choices  # type: ignore[assignment]
        lab.world.fault(f"{machine} lost power", victim.name)
        if machine == "host":
            faults.tear(lab, victim)
        faults.lose_power(lab, victim, 0.5)
        victim.disk.random = chance

    def counted(name: str, *detail: Any, reads: bool = False) -> Any:
        nonlocal count
        if lab.world.current is not None and lab.world.current.process.machine is victim:
            if seen is not None:
                seen.append(unsynced(victim.disk))
            if choices is not None and count == moment:
                strike()
            count += 1
        return effect(name, *detail, reads=reads)

    lab.world.effect = counted  # type: ignore[method-assign]
    return lab.run().failure


def unsynced(disk: FileSystem) -> object:
    """What a loss of power may take now."""
    dirty = [(i.number, bytes(i.data)) for i in disk.inodes() if i.kind == "file" and i.kept_data != bytes(i.data)]
    return tuple(id(change) for change in disk.changes()), tuple(dirty)


def moments(seed: int, machine: str) -> Iterator[int]:
    """Numbers of the effects before which a loss of power may take something else than before the one before."""
    seen: list[object] = []
    failure = run(seed, machine, 0, None, seen)
    assert failure is None, f"without any fault: {failure}"
    return (number for number, state in enumerate(seen) if number == 0 or state != seen[number - 1])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m simulation.crash_states")
    parser.add_argument("--worlds", type=int, default=3)
    parser.add_argument("--stride", type=int, default=1, help="only every so manieth moment")
    parser.add_argument("--most", type=int, default=200, help="states of one moment that are tried")
    asked = parser.parse_args()
    from simulation import install

    install.install()
    from burnish.store import journal

    journal.CHECKPOINT_AFTER = EACH_CHECKPOINT
    began, states, crashes, cut_short = time.monotonic(), 0, 0, 0
    worlds = [seed for seed in SEEDS if small(seed) is not None][: asked.worlds]
    for seed in worlds:
        for machine in MACHINES:
            for moment in list(moments(seed, machine))[:: asked.stride]:
                crashes += 1
                choices, tried, more = Choices(), 0, True
                while more and tried < asked.most:
                    if failure := run(seed, machine, moment, choices):
                        print(f"world {seed}, {machine} loses power before effect {moment}, state {tried}: {failure}")
                        return 1
                    tried, more = tried + 1, choices.again()
                states += tried
                cut_short += more
    print(
        f"{states} states after {crashes} losses of power ({cut_short} of them may leave more than {asked.most}), "
        f"{time.monotonic() - began:.0f} s"
    )
    return 0


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # the order of sets is part of a run
        os.execve(
            sys.executable,
            [sys.executable, "-m", "simulation.crash_states", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
