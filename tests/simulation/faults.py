"""What may go wrong, and when it does.

A seed draws a plan: a list of faults with times. Each fault has numbers of its own, so a plan from which some are taken away
(`shrink`) still means the same. Faults against a process are armed, and strike at one of its next effects: so a crash may come
between any two of them.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from simulation.machine import Machine, Process
from simulation.wishes import WISHES

if TYPE_CHECKING:
    from simulation.scenario import Scenario

LAST = 40.0  # s after the beginning in which faults come
OFTEN = 12  # times its usual weight has a kind that is preferred
preferred = ""  # a kind that comes in each world, and often: of the whole process, set before its first world


@dataclass(frozen=True)
class Fault:
    """`number` is its place in the plan, and the seed of its own choices."""

    number: int
    kind: str
    at: float


Strike = Callable[["Scenario", Random], None]


def draw(scenario: Scenario) -> list[Fault]:
    """The plan of a seed. Some seeds are calm, some are not; each prefers some kinds."""
    random = scenario.world.random("faults")
    weights = [weight * random.choice((0, 1, 1, 4)) for weight, _ in KINDS.values()]
    count = random.choice((0, 1, 2, 4, 8, 16)) if any(weights) else 0
    if preferred:
        weights[list(KINDS).index(preferred)] = OFTEN * KINDS[preferred][0]
        count = max(count, 2)
    kinds = random.choices(list(KINDS), weights, k=count) if count else []
    span = random.choice((3.0, 10.0, LAST))
    return [Fault(n, kind, scenario.world.now + random.uniform(0, span)) for n, kind in enumerate(kinds)]


def strike(scenario: Scenario, fault: Fault) -> None:
    """Its time has come."""
    KINDS[fault.kind][1](scenario, scenario.world.random(f"fault {fault.number} {fault.kind}"))


def heal(scenario: Scenario) -> None:
    """No more faults: what is broken is mended."""
    for machine in (*scenario.homes, *scenario.hosts):
        machine.disk.full = machine.disk.sync_fails = False
        machine.lies_about_locks = False
        if not machine.up:
            _boot(scenario, machine)
        for process in machine.processes.values():
            process.armed = None
            process.frozen_until = 0.0 if process.frozen_until > scenario.world.now + 60 else process.frozen_until
    scenario.disk.full = scenario.disk.sync_fails = False
    for way in scenario.ways.values():
        way.blocked_until = min(way.blocked_until, scenario.world.now)


# -- processes -----------------------------------------------------------------------------------------------------


def _arm(scenario: Scenario, random: Random, kinds: tuple[str, ...], act: Callable[[Process], None]) -> None:
    """Let `act` befall a process of these kinds, at one of its next effects."""
    if not scenario.world.faulty:
        return
    machines = (*scenario.homes, *scenario.hosts)
    victims = [p for machine in machines for p in machine.processes.values() if p.kind in kinds and p.armed is None]
    if not victims:
        scenario.world.at(scenario.world.now + 0.3, lambda: _arm(scenario, random, kinds, act))  # none yet
        return
    victim, left = random.choice(victims), random.randint(0, random.choice((0, 3, 8, 20, 60)))

    def armed(effect: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            victim.armed = None
            act(victim)

    victim.armed = armed


def _kill(kind: str, *kinds: str) -> Strike:
    def act(scenario: Scenario, random: Random) -> None:
        def end(process: Process) -> None:
            scenario.world.fault(kind, process.name)
            killed = scenario.oracle.disturbances
            killed[process.machine.name] = killed.get(process.machine.name, 0) + (process.kind == "supervisor")
            process.die(signal.SIGKILL)

        _arm(scenario, random, kinds, end)

    return act


def _pause(kind: str, *kinds: str) -> Strike:
    def act(scenario: Scenario, random: Random) -> None:
        seconds = random.choice((0.5, 5.0, 70.0, 200.0)) * random.random()

        def stop(process: Process) -> None:
            scenario.world.fault(kind, f"{process.name} {seconds:.1f} s")
            process.frozen_until = scenario.world.now + seconds

        _arm(scenario, random, kinds, stop)

    return act


def _pause_with_lock(scenario: Scenario, random: Random) -> None:
    """Stop a coordinator that has just got a lock: where locks lie, the next one gets it too."""
    if not scenario.world.faulty:
        return
    runs = [p for home in scenario.homes for p in home.processes.values() if p.kind == "run"]
    if not runs:
        scenario.world.at(scenario.world.now + 0.3, lambda: _pause_with_lock(scenario, random))  # none yet
        return
    victim, seconds, left = random.choice(runs), random.choice((10.0, 30.0, 60.0)), random.randint(1, 3)

    def locked() -> None:
        nonlocal left
        left -= 1
        if left < 0 and scenario.world.faulty:
            victim.on_locked = None
            scenario.world.fault("coordinator paused with a lock", f"{victim.name} {seconds:.1f} s")
            victim.frozen_until = scenario.world.now + seconds

    victim.on_locked = locked


# -- machines ------------------------------------------------------------------------------------------------------


def _boot(scenario: Scenario, machine: Machine) -> None:
    if not machine.up:
        heard = scenario.world.random(f"boot {machine.name} {machine.boots}").random() < 0.5
        for folder in machine.disk.root.entries["tmp"], machine.disk.root.entries["proc"]:
            folder.entries.clear()
        machine.boot()
        for way in scenario.ways.values():
            if machine in (way.host, way.home) and heard:  # or a firewall in between forgets what it knew of them
                for connection in list(way.connections):
                    connection.cut(0, 0)


def tear(scenario: Scenario, host: Machine) -> None:
    """What jobs have written there may be gone before it was sent home."""
    for deed in scenario.ledger.deeds.values():
        deed.torn = deed.torn or deed.host == host.name


def lose_power(scenario: Scenario, machine: Machine, seconds: float) -> None:
    machine.lose_power()
    if machine in scenario.homes:
        scenario.oracle.forget_edits()  # editors do not sync what they save
    if machine.disk is scenario.disk:
        scenario.oracle.after_power_loss()
    if machine in scenario.homes:
        scenario.remove_torn_table()
    scenario.world.at(scenario.world.now + seconds, lambda: _boot(scenario, machine))


def _host_loses_power(scenario: Scenario, random: Random) -> None:
    host, seconds = random.choice(scenario.hosts), random.choice((0.5, 10.0, 50.0))

    def act(process: Process | None = None) -> None:
        if host.up:
            scenario.world.fault("host lost power", host.name)
            tear(scenario, host)
            lose_power(scenario, host, seconds)

    _arm_machine(host, random, act)


def _home_loses_power(scenario: Scenario, random: Random) -> None:
    home, seconds = random.choice(scenario.homes), random.choice((0.5, 10.0))

    def act() -> None:
        if home.up:
            scenario.world.fault("coordinator's machine lost power", home.name)
            lose_power(scenario, home, seconds)

    _arm_machine(home, random, act)


def _arm_machine(machine: Machine, random: Random, act: Callable[[], None]) -> None:
    """At one of the next effects of one of its processes; at once if it has none."""
    victims = [process for process in machine.processes.values() if process.armed is None]
    left = random.randint(0, random.choice((0, 5, 30)))
    if not victims:
        act()
        return
    victim = random.choice(victims)

    def armed(effect: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            victim.armed = None
            act()

    victim.armed = armed


def _container_restarts(scenario: Scenario, random: Random) -> None:
    host = random.choice(scenario.hosts)
    if host.up:
        scenario.world.fault("container restarted", host.name)
        host.stop_all()
        host.birth = scenario.world.now


def _wipe_state(scenario: Scenario, random: Random) -> None:
    host = random.choice(scenario.hosts)
    folder = host.disk.root.entries["home"].entries["ann"]
    if ".burnish" in folder.entries:
        scenario.world.fault("state folder wiped", host.name)
        tear(scenario, host)
        scenario.oracle.wiped.add(host.name)
        _remove(host, folder, ".burnish")


def _wipe_locks(scenario: Scenario, random: Random) -> None:
    host = random.choice(scenario.hosts)
    folder = host.disk.root.entries["var"].entries["tmp"]
    for name in list(folder.entries):
        scenario.world.fault("lock folder wiped", host.name)
        _remove(host, folder, name)


def _remove(host: Machine, parent, name: str) -> None:  # type: ignore[no-untyped-def]
    for entry in list(parent.entries[name].entries):
        _remove(host, parent.entries[name], entry)
    host.disk.change((parent, name, None))


def _jump_clock(scenario: Scenario, random: Random) -> None:
    machine = random.choice((*scenario.homes, *scenario.hosts))
    machine.skew += random.choice((-86400.0, -3.0, 3.0, 3600.0))
    scenario.world.fault("wall clock jumped", machine.name)


# -- disks ---------------------------------------------------------------------------------------------------------


def _full(scenario: Scenario, random: Random) -> None:
    disk = random.choice([scenario.disk, *(host.disk for host in scenario.hosts)])
    disk.full = True
    scenario.world.at(scenario.world.now + random.choice((1.0, 10.0, 60.0)), lambda: setattr(disk, "full", False))


def _unsyncable(scenario: Scenario, random: Random) -> None:
    disk = random.choice([scenario.disk, *(host.disk for host in scenario.hosts)])
    disk.sync_fails = True
    scenario.world.at(scenario.world.now + random.choice((0.1, 3.0)), lambda: setattr(disk, "sync_fails", False))


# -- the network ---------------------------------------------------------------------------------------------------


def _cut(scenario: Scenario, random: Random) -> None:
    connections = [connection for way in scenario.ways.values() for connection in way.connections]
    if connections:
        connection = random.choice(connections)
        amounts = [sum(len(d) for _, d in stream.in_flight) for stream in (connection.down, connection.up)]
        scenario.world.fault("connection cut", connection.way.host.name)
        connection.cut(*(random.randint(0, amount) for amount in amounts))


def _cut_soon(scenario: Scenario, random: Random) -> None:
    """In the midst of the next bytes, whenever they come."""
    connections = [connection for way in scenario.ways.values() for connection in way.connections]
    if not connections:
        return
    connection = random.choice(connections)
    stream = random.choice((connection.down, connection.up))
    budget = random.choice((4, 12, 60, 400, 30000))
    stream.budget = random.randint(0, budget)
    amounts = 0 if stream is connection.down else 1 << 30, 0 if stream is connection.up else 1 << 30

    def end() -> None:
        if connection in connection.way.connections:
            scenario.world.fault("connection cut within a message", connection.way.host.name)
            connection.cut(*amounts)

    stream.on_budget = end


def _block(scenario: Scenario, random: Random) -> None:
    way = random.choice(list(scenario.ways.values()))
    seconds = random.choice((1.0, 10.0, 70.0, 300.0))
    if way.connections:
        scenario.world.fault("nothing arrives", f"{way.host.name} {seconds:.0f} s")
    way.blocked_until = max(way.blocked_until, scenario.world.now + seconds)


def _delay(scenario: Scenario, random: Random) -> None:
    way = random.choice(list(scenario.ways.values()))
    way.blocked_until = max(way.blocked_until, scenario.world.now + random.random())


KINDS: dict[str, tuple[float, Strike]] = {
    **WISHES,
    "coordinator killed": (3, _kill("coordinator killed", "run")),
    "coordinator paused": (1, _pause("coordinator paused", "run")),
    "coordinator paused with a lock": (8, _pause_with_lock),
    "agent killed": (2, _kill("agent killed", "agent")),
    "agent paused": (1, _pause("agent paused", "agent")),
    "supervisor killed": (3, _kill("supervisor killed", "supervisor")),
    "supervisor paused": (1, _pause("supervisor paused", "supervisor")),
    "job killed": (2, _kill("job killed", "job")),
    "host lost power": (2, _host_loses_power),
    "coordinator's machine lost power": (1, _home_loses_power),
    "container restarted": (1, _container_restarts),
    "state folder wiped": (0.5, _wipe_state),
    "lock folder wiped": (1, _wipe_locks),
    "wall clock jumped": (1, _jump_clock),
    "disk full": (1, _full),
    "sync failed": (2, _unsyncable),
    "connection cut": (1, _cut),
    "connection cut within a message": (2, _cut_soon),
    "nothing arrives": (4, _block),
    "messages delayed": (2, _delay),
}

# Not planned: they happen by chance, where a seed makes them possible.
BY_CHANCE = (
    "unsynced writes lost", "stale listing", "listing with a hole", "stale lookup", "stale handle", "answer lost",
    "no locks", "lying lock", "orders late after their sender",
)  # fmt: skip
