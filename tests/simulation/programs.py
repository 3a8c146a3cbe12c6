"""What simulated commands do, and the ledger of what they really did: the truth that journals are compared with.

A command writes a few lines, may report a result, may leave a child behind, may not heed TERM, and ends as it was drawn for its
job and attempt. The ledger hears of each start and each end from the kernel, not from burnish.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import Any

from simulation.machine import Machine, Process
from simulation.world import World


@dataclass
class Deed:
    """What became of one attempt on its host. `status`: the wait status of its command, once that ended."""

    name: str
    job: int
    host: str
    slot: str
    argv: tuple[str, ...]
    supervisor: Process | None
    starts: int = 0
    torn: bool = False  # its host lost its power, or its records, perhaps before it had sent the logs
    living: set[Process] = field(default_factory=set)
    status: int | None = None
    written: dict[str, bytearray] = field(default_factory=lambda: {"out": bytearray(), "err": bytearray()})


class Ledger:
    """All deeds by the name of their attempt. `void`: attempts of which it was concluded that they never run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.deeds: dict[str, Deed] = {}
        self.void: dict[str, str] = {}
        self.claimed: Any = lambda name: True  # whether the journal has an open claim of that name

    def begin(self, process: Process, argv: list[str]) -> Deed:
        """A command starts. Holds I1, I2, I3."""
        environment = {name.decode(): value.decode() for name, value in process.environment.items()}
        name = environment["BURNISH_RESULT"].split("/")[-2]
        job, host, slot = int(environment["BURNISH_JOB_ID"]), process.machine.name, environment["BURNISH_SLOT"]
        deed = self.deeds.setdefault(name, Deed(name, job, host, slot, tuple(argv), process.parent))
        deed.starts += 1
        self.world.note(f"LEDGER start {name} on {host} slot {slot}")
        if deed.starts > 1:
            self.world.fail(f"I1: {name} was started {deed.starts} times")
        for other in self.deeds.values():
            if other.living and other.job == job:
                self.world.fail(f"I2: {name} starts while {other.name} lives")
            if other.living and (other.host, other.slot) == (host, slot):
                self.world.fail(f"I3: {name} starts on slot {slot} of {host}, where {other.name} lives")
        if name in self.void:
            self.world.fail(f"I1: {name} starts after it was concluded that it never does: {self.void[name]}")
        if not self.claimed(name):
            self.world.fail(f"I1: {name} starts without an open claim")
        self.join(process, deed)
        return deed

    def join(self, process: Process, deed: Deed) -> None:
        """A process belongs to an attempt."""
        process.about = deed
        deed.living.add(process)

    def end(self, process: Process) -> None:
        """A process has ended."""
        deed = process.about
        if isinstance(deed, Deed):
            deed.living.discard(process)
            if process is getattr(deed, "main", None):
                deed.status = process.status
                self.world.note(f"LEDGER end {deed.name} ({process.status})")

    def living(self, job: int) -> list[str]:
        """The attempts of a job that have a living process."""
        return [deed.name for deed in self.deeds.values() if deed.job == job and deed.living]


class Programs:
    """Runs commands: `job WORK`, where WORK says which behaviour was drawn."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self.world = world
        self.ledger = ledger

    def run(self, process: Process, argv: list[str]) -> None:
        """Let a spawned process do what its argv says."""
        deed = self.ledger.begin(process, argv)
        deed.main = process  # type: ignore[attr-defined]
        process.begin(lambda: self._work(process, deed))

    def _work(self, process: Process, deed: Deed) -> None:
        random = self.world.random(f"work {deed.argv} {deed.name.partition('-')[0]}")
        if random.random() < 0.15:
            process.ignored.add(signal.SIGTERM)
        if random.random() < 0.15:
            self._leave_child(process, deed, random.uniform(0, 30))
        long = random.random() < 0.4
        for line in range(random.randrange(4)):
            self._write(process, deed, random.choice(("out", "out", "err")), f"{deed.name} line {line}\n".encode())
            self.world.sleep(random.uniform(0, 6 if long else 0.5))
        self.world.effect("ends")
        if random.random() < 0.1:
            process.die(random.choice((signal.SIGSEGV, signal.SIGKILL)))
        process.exit(random.choice((0, 0, 0, 0, 1, 3)))

    def _write(self, process: Process, deed: Deed, stream: str, data: bytes) -> None:
        self.world.effect("writes", stream)
        try:
            process.files[1 if stream == "out" else 2][0].write(data)
        except OSError:
            process.exit(74)
        deed.written[stream] += data

    def _leave_child(self, process: Process, deed: Deed, seconds: float) -> None:
        child = Process(process.machine, "job", process, dict(process.environment))
        child.ignored = set(process.ignored)
        for descriptor, (file, inherited) in process.files.items():
            child.put(descriptor, file, inherited)
        self.ledger.join(child, deed)
        child.begin(lambda: self.world.sleep(seconds))


def provide(machine: Machine) -> None:
    """Install on a machine what a host has."""
    root = machine.disk.root
    for path in ("usr/bin", "etc", "var/tmp", "home/ann", "tmp", "proc"):
        folder = root
        for name in path.split("/"):
            if name not in folder.entries:
                machine.disk.change((folder, name, machine.disk.make("folder", 0o755)))
            folder = folder.entries[name]
    program = machine.disk.make("file", 0o755)
    machine.disk.change((root.entries["usr"].entries["bin"], "job", program))
    identity = machine.disk.make("file", 0o644)
    identity.data = bytearray(f"{machine.number:08x}{os.linesep}".encode())
    machine.disk.change((root.entries["etc"], "machine-id", identity))
    machine.disk.settle()
