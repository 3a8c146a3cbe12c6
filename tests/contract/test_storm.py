"""A storm over real sshds: runs, agents, supervisors and connections are killed at random, and one quiet run sets all right.

BURNISH_TEST_STORMS=COUNT,FIRST (`make storm`) lets longer ones come, one per seed; without it, one short one.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.hosts import Bench, RemoteHost
from tests.support.sweeps import Sweep
from tests.support.waiting import wait_for

ASKED = os.environ.get("BURNISH_TEST_STORMS")
COUNT, FIRST = map(int, ASKED.split(",")) if ASKED else (1, 0)
HOSTS, JOBS, BLOWS, WORK = (4, 60, 50, "4") if ASKED else (2, 12, 6, "0.3")
PATIENCE = 5.0  # s for somebody to strike to be there
MOST_SUPERVISORS = 2  # killed: a job that is lost three times is given up, which is another promise
BLOW = {"run": 3, "second run": 1, "agent": 3, "supervisor": 2, "connection": 2}  # how often, one to another


class Storm:
    """A sweep over hosts, and what falls on them. `fallen` counts it by kind."""

    def __init__(self, bench: Bench, sweep: Sweep, seed: int) -> None:
        self._bench, self._sweep, self._random = bench, sweep, Random(seed)
        self.fallen: Counter[str] = Counter()

    def rage(self, blows: int) -> None:
        """Let so many blows fall, while there is always a run."""
        for _ in range(blows):
            self._keep_running()
            then = time.monotonic() + self._random.uniform(0.1, 1.0)
            wait_for(lambda then=then: time.monotonic() >= then)
            kind = self._random.choices(list(BLOW), list(BLOW.values()))[0]
            self.fallen[kind] += self._strike(kind)
        for run in self._sweep.running:
            run.kill()
            run.wait()

    def _strike(self, kind: str) -> bool:
        """False if there was nothing of the kind to strike."""
        match kind:
            case "run":
                living = [run for run in self._sweep.running if run.poll() is None]
                self._random.choice(living).kill() if living else None
                return bool(living)
            case "second run":
                self._sweep.start("--hosts", "lab.yaml")
                return True
            case "supervisor" if self.fallen["supervisor"] == MOST_SUPERVISORS:
                return False
        end = time.monotonic() + PATIENCE  # a run that has just begun has none yet
        wait_for(lambda: self._victims(kind) or time.monotonic() >= end)
        try:
            os.kill(self._random.choice(self._victims(kind)), signal.SIGKILL)
        except (IndexError, ProcessLookupError):
            return False
        return True

    def _victims(self, kind: str) -> list[int]:
        return [pid for host in self._bench.hosts.values() for pid in pids(host, kind)]

    def _keep_running(self) -> None:
        if all(run.poll() is not None for run in self._sweep.running):
            self._sweep.start("--hosts", "lab.yaml")


def pids(host: RemoteHost, kind: str) -> list[int]:
    """The pids, on this machine, of a host's sshd sessions, agents, or supervisors."""
    if kind == "connection":
        return host.sessions()
    sessions = set(host.sessions())  # the first sshd is none: orphans are its children
    found = [pid for pid in host.processes() if b"\0-I\0-S\0-c\0" in _read(pid, "cmdline")]
    return [pid for pid in found if (_parent(pid) in sessions) == (kind == "agent")]


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def sweep(bench: Bench) -> Iterator[Sweep]:
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))  # pytest's own folders are closed to the hosts' account
    made = Sweep.of(folder, JOBS, WORK)
    made.python = "python3"
    for path in (folder, folder / "ledger"):
        path.chmod(0o777)
    names = [bench.add(f"gpu{number}").name for number in range(HOSTS)]
    (folder / "lab.yaml").write_text(
        f"defaults: {{ssh_config: {bench.config}, gpus: none, slots: 2, workdir: {folder}}}\nhosts: [{', '.join(names)}]\n"
    )
    yield made
    made.stop()
    shutil.rmtree(folder)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_a_storm_costs_no_second_start_and_no_verdict(bench: Bench, sweep: Sweep, seed: int) -> None:
    storm = Storm(bench, sweep, seed)
    storm.rage(BLOWS)
    assert sum(storm.fallen.values()) > BLOWS // 2, storm.fallen
    assert sweep.finish("--hosts", "lab.yaml") in (0, 1)  # what failed before it began is not its own failure
    needed = sweep.check(attempts=1 + MOST_SUPERVISORS)
    again = sum(count * (int(attempts) - 1) for attempts, count in needed.items())
    assert again <= storm.fallen["supervisor"], f"{again} more starts than {storm.fallen} calls for"
    for host in bench.hosts.values():
        wait_for(lambda host=host: not pids(host, "supervisor"), lambda host=host: pids(host, "supervisor"))
        for attempt in host.home.glob(".burnish/*/attempts/*/*"):
            assert (attempt / "acked").exists(), f"{attempt} was not put away: {sorted(attempt.iterdir())}"
