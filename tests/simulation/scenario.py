"""One seed: a lab, a table, people who run it, and what befalls them.

Everything that may differ from seed to seed is drawn here: how many machines and hosts, where the table is, how long jobs take,
who starts `burnish run` when, which faults come. Faults come until `quiet`; from then on disks, ways and clocks behave, every
person whose run ended starts another one while something waits, and within `PATIENCE` everything must be at rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from burnish import steering
from burnish.core import ahead
from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.errors import BurnishError
from burnish.remote.agent import supervisor
from burnish.store.paths import Paths
from simulation import faults, install, people
from simulation.filesystem import FileSystem, Server
from simulation.libraries import SimulatedPath
from simulation.machine import Machine, Process
from simulation.network import Connection, Transport, Way, log_in
from simulation.oracle import Oracle
from simulation.programs import Ledger, Programs, provide
from simulation.world import Task, World, shown

SETTLING = 25.0  # s after the last fault, in which editors save what they have loaded
SAVING = 5.0  # s in which an editor saves that a full disk has kept from it
KEPT = 6000  # lines of what happened
PATIENCE = 900.0  # s
FORGETTING = 200.0  # s after which a person gives up a host whose records were removed


@dataclass(frozen=True)
class Result:
    """How a run went. `failure`: the promise that was broken. `faults`: numbers of those that were planned."""

    failure: str | None
    fired: dict[str, int]
    faults: tuple[int, ...]
    steps: int
    seconds: float
    history: list[str]


class Scenario:
    """A world that is about to run. `only`: numbers of the faults that come; None for all that the seed draws."""

    def __init__(self, seed: int, only: frozenset[int] | None = None, *, trace: bool = False) -> None:
        self.world = world = World(seed)
        world.tracing = trace
        world.history = deque(maxlen=None if trace else KEPT)
        install.enter(world)
        install.route(self._transport)
        self.random = world.random("lab")
        # Jobs here are long: as they are, one waits on a slot, and none is given to a supervisor ahead of its turn.
        lines = world.random("lines")
        ahead.TRIPS_AHEAD, supervisor.BRIEF = lines.choice((4, 400, 400)), lines.choice((0.02, 0.3, 0.5))
        self.ledger = Ledger(world)
        world.programs = Programs(world, self.ledger)
        self.said: list[str] = []
        self.editor: Process | None = None
        self.hosts = [self._machine(f"host{n}", 100 + n) for n in range(self.random.choice((1, 1, 1, 2, 2, 3, 6)))]
        self.homes = [self._machine(f"home{n}", n) for n in range(self.random.choice((1, 2, 2, 3)))]
        self.shared = len(self.homes) > 1 or self.random.random() < 0.3
        self.ways = {(home, host): Way(world, home, host) for home in self.homes for host in self.hosts}
        self.disk = self._table_disk()
        folder = "/nfs/sweep" if self.shared else "/home/ann/sweep"
        db = SimulatedPath(folder) / "burnish.db"
        self.paths = Paths(db, "burnish.db", db.parent / ".burnish" / db.name, db.parent / "logs" / "burnish")
        self.folder = tuple(folder.split("/")[2 if self.shared else 1 :])  # of the table, from its disk's root
        self.oracle = Oracle(world, self.ledger, self.disk, self.folder)
        self.oracle.incarnation_of = lambda name: next(host.incarnation for host in self.hosts if host.name == name)
        self.inventory = tuple(
            Host(
                HostName(host.name),
                hostname=host.name,
                workdir="/home/ann",
                gpus=(),
                slots=self.random.choice((1, 1, 2, 3)),
            )
            for host in self.hosts
        )
        self._write_table(folder)
        self.people = [people.Person(self, n) for n in range(self.random.choice((1, 1, 2, 2, 3, 4)))]
        self.plan = faults.draw(self)
        self.only = frozenset(range(len(self.plan))) if only is None else only

    # -- the lab ---------------------------------------------------------------------------------------------------

    def _machine(self, name: str, number: int) -> Machine:
        machine = Machine(self.world, name, number)
        provide(machine)
        machine.on_end = self.ledger.end
        machine.on_crash = self._crashed
        return machine

    def _table_disk(self) -> FileSystem:
        if not self.shared:
            return self.homes[0].disk
        server = Server(self.world, "nfs", 99, self.random.choice((0.0, 0.0, 0.2, 1.0, 5.0)))
        server.stale_handles = self.random.choice((0.0, 0.0, 0.01))
        server.lost_answers = self.random.choice((0.0, 0.0, 0.05))
        locks = self.random.choice(("true", "lie", "lie", "lie", "none"))
        for home in self.homes:
            home.mount("/nfs", server)
            home.lies_about_locks, home.has_no_locks = locks == "lie", locks == "none"
        return server

    def _write_table(self, path: str) -> None:
        folder = self.disk.root
        for name in path.strip("/").split("/")[1 if self.shared else 0 :]:
            if name not in folder.entries:
                self.disk.change((folder, name, self.disk.make("folder", 0o755)))
            folder = folder.entries[name]
        table = self.disk.make("file", 0o644)
        rows = [f"{n},NOT_RUNNING,w{n},\n" for n in range(1, 1 + self.random.choice((1, 2, 3, 5, 8)))]
        table.data = bytearray(("JOB_ID,STATE,--work,--note\n" + "".join(rows)).encode())
        table.mtime -= 100
        self.disk.change((folder, "burnish.db", table))
        self.disk.settle()

    def table_text(self) -> str:
        """What stands in the table, or "" where there is none."""
        folder = self.disk.root
        for name in self.folder:
            folder = folder.entries[name]
        table = folder.entries.get("burnish.db")
        return "" if table is None else table.data.decode()

    def remove_torn_table(self) -> None:
        """What a power loss left of a save is no table if its header is torn, or a row that is no job's: its user removes it.

        burnish writes it again, as it does of itself where it knows whose row is torn.
        """
        folder = self.disk.root
        for name in self.folder:
            folder = folder.entries[name]
        lines = self.table_text().splitlines()
        if not lines:
            return
        torn = lines[-1].count(",") != 3 and lines[-1].split(",")[0] not in map(str, self.oracle.state.jobs)
        if torn if len(lines) > 1 else lines[0].endswith(",") or not lines[0].startswith("JOB_ID,STATE"):
            self.disk.change((folder, "burnish.db", None))

    def _transport(self, host: Host, say: Callable[[str], None]) -> Transport:
        me = install.os.me
        way = next(way for (home, _), way in self.ways.items() if home is me.machine and way.host.name == host.name)
        return Transport(way, host.name, me, lambda connection: self._log_in(way, connection))

    def _log_in(self, way: Way, connection: Connection) -> Process:
        return log_in(self.world, way.host, connection)

    def _crashed(self, process: Process, task: Task, error: Exception) -> None:
        """A process ended with an exception. A sentence is a fair end for a command; a full disk ends an agent."""
        if isinstance(error, BurnishError) and error.exit_code != 4 and process.kind != "agent":
            self.said.append(f"{process.name}: {error}")
        elif isinstance(error, OSError) and process.kind in ("agent", "supervisor"):
            self.world.note(f"{process.name} is ended by {error}")  # what it leaves behind is held against the promises
        else:
            self.world.fail(f"{task.name}: {shown(error)}")

    def say(self, sentence: str) -> None:
        """What burnish tells a person."""
        self.world.note(f"{install.os.me.name} says: {sentence}")
        if "is malformed" in sentence or "cannot be read (" in sentence:
            self.world.fail(f"nobody sends what is not understood: {sentence}")

    # -- running it ------------------------------------------------------------------------------------------------

    def run(self) -> Result:
        """Let it happen."""
        world = self.world
        for number, fault in enumerate(self.plan):
            if number in self.only:
                world.at(fault.at, lambda fault=fault: faults.strike(self, fault))
        for person in self.people:
            person.live()
        quiet = max([world.now + 5.0, *(fault.at + SETTLING for fault in self.plan)])
        world.at(quiet, self._calm_down)
        world.run(quiet + PATIENCE, enough=lambda: not world.faulty and self._over())
        if world.failure is None:
            self._judge()
        for machine in (*self.homes, *self.hosts):
            machine.stop_all()
        world.close()
        planned = tuple(sorted(self.only))
        return Result(world.failure, dict(world.fired), planned, world.steps, world.now, list(world.history))

    def _calm_down(self) -> None:
        self.world.faulty = False
        self.world.note("faults stop")
        faults.heal(self)
        for person in self.people:
            self.world.at(self.world.now + SAVING, person.insist)
        self.world.at(self.world.now + FORGETTING, self._forget_hosts)

    def _forget_hosts(self) -> None:
        """What ran on a host whose records were removed is never told: `burnish forget`, once nothing of it lives."""
        if self.oracle.resting:
            return
        open_there = {attempt.host for attempt in self.oracle.state.open.values()} & self.oracle.wiped
        alive = {deed.host for deed in self.ledger.deeds.values() if deed.living}
        for host in sorted(open_there - alive):
            people.command(self, self.people[0].home, lambda session, host=host: steering.forget(session, host))
        self.world.at(self.world.now + 50.0, self._forget_hosts)

    def _over(self) -> bool:
        return not any(person.busy for person in self.people)

    def _judge(self) -> None:
        if self._over() and self.oracle.resting:
            self.oracle.at_rest()
            return
        busy = [person.process.name for person in self.people if person.process is not None and not person.process.dead]
        waiting = [f"{job.id} {job.word} {job.reason}" for job in self.oracle.state.listed() if not job.word.final]
        self.world.fail(f"liveness: {PATIENCE:.0f} s after the last fault {busy} go on; not at rest: {waiting}")


def play(seed: int, only: frozenset[int] | None = None, *, trace: bool = False) -> Result:
    """Run a seed."""
    return Scenario(seed, only, trace=trace).run()
