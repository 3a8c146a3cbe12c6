"""What people do besides running: they edit the table with editors of several manners, and type commands.

One edits at a time, as one person at one editor does: loads the table, changes a cell, a word over STATE, or adds a row, and
saves the whole buffer a while later, whatever burnish has written meanwhile. A cell is edited at most once in a run, so what it
must say in the end is known (`Oracle.expected`). On NFS editors save in place: burnish cannot swap names there, and a file
renamed into the instant between its check and its rename would be lost, as `store/exchange.py` says.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from burnish.session import Session
from simulation import install, people

if TYPE_CHECKING:
    from simulation.scenario import Scenario

WORDS = ("HOLD", "RESET", "CANCEL", "NOT_RUNNING", "RUNNING")
Change = Callable[["Scenario", Random, list[str]], None]  # of the lines of a table, the first one its header


def edit_cell(scenario: Scenario, random: Random, lines: list[str]) -> None:
    """Type something new into a cell of the user's."""
    places = [place for place, line in enumerate(lines) if place and line.split(",")[0].isdigit()]
    free = [place for place in places if (int(lines[place].split(",")[0]), "--note") not in scenario.oracle.expected]
    if free:
        place = random.choice(free)
        job, state, work, _ = lines[place].split(",")
        typed = f"note{random.randrange(10**6)}"
        lines[place] = f"{job},{state},{work},{typed}"
        scenario.oracle.expected[int(job), "--note"] = typed


def type_word(scenario: Scenario, random: Random, lines: list[str]) -> None:
    """Type a word over a STATE."""
    place = random.randrange(1, len(lines)) if len(lines) > 1 else 0
    if place:
        job, _, work, note = lines[place].split(",")
        lines[place] = f"{job},{random.choice(WORDS)},{work},{note}"


def add_row(scenario: Scenario, random: Random, lines: list[str]) -> None:
    """Add a job, without an id."""
    work = f"added{random.randrange(10**6)}"
    lines.append(f",,{work},")
    scenario.oracle.added.add(work)


def edit(kind: str, change: Change) -> Callable[[Scenario, Random], None]:
    """Somebody opens the table, makes this change, and saves."""

    def act(scenario: Scenario, random: Random) -> None:
        home = random.choice(scenario.homes)
        if not home.up or (scenario.editor is not None and not scenario.editor.dead):
            return
        scenario.editor = home.start("editor", lambda: _edit(scenario, random, kind, change))

    return act


def _edit(scenario: Scenario, random: Random, kind: str, change: Change) -> None:
    os, path = install.os.module, str(scenario.paths.db)
    try:
        text = scenario.paths.db.read_text()
    except OSError:
        return
    if not text.endswith("\n") or not text.startswith("JOB_ID"):
        return  # somebody else is just writing it
    lines = text.splitlines()
    scenario.world.sleep(random.choice((0.0, 0.5, 3.0, 20.0)) * random.random())
    change(scenario, random, lines)
    scenario.world.fault(kind)
    data = "".join(f"{line}\n" for line in lines).encode()
    in_place, pause = scenario.shared or random.random() < 0.5, random.choice((0.0, 0.0, 1.5)) * random.random()
    while True:
        try:
            _save(scenario, path if in_place else f"{path}.swp", data, pause)
            if not in_place:
                os.rename(f"{path}.swp", path)
            return
        except OSError:
            scenario.world.sleep(1.0)  # the editor says so, and its user saves again


def _save(scenario: Scenario, path: str, data: bytes, pause: float) -> None:
    os = install.os.module
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        scenario.world.sleep(pause)
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def command(kind: str, work: Callable[[Session, frozenset[int]], object]) -> Callable[[Scenario, Random], None]:
    """Somebody types a command about a job or two."""

    def act(scenario: Scenario, random: Random) -> None:
        home, jobs = random.choice(scenario.homes), sorted(scenario.oracle.state.jobs)
        if home.up and jobs:
            scenario.world.fault(kind)
            ids = frozenset(random.choices(jobs, k=2))
            people.command(scenario, home, lambda session: work(session, ids))

    return act


WISHES = {
    "cell edited": (2.0, edit("cell edited", edit_cell)),
    "word typed over a state": (1.0, edit("word typed over a state", type_word)),
    "row added": (1.0, edit("row added", add_row)),
    "burnish cancel": (1.0, command("burnish cancel", lambda session, ids: session.cancel(ids, 2.0))),
    "burnish reset": (1.0, command("burnish reset", lambda session, ids: session.reset(ids, False))),
    "burnish hold": (0.5, command("burnish hold", lambda session, ids: session.hold(ids))),
    "burnish release": (0.5, command("burnish release", lambda session, ids: session.release(ids))),
}
