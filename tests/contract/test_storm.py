"""A storm over real sshds, and one quiet run afterwards that sets all right: nothing ran twice, nothing is lost.

What falls: `kill -9` of runs (also while they take back what the last one left), agents, supervisors and sshd's sessions; SIGSTOP
of these and of the sshd that listens, for some seconds; connections that are reset, or on which nothing arrives any more, in one
direction or both, and then everything; nobody who listens; a second run at the same table. Each host is reached through a relay,
and burnish gives a silent connection up ten times as fast as usual, so that both a short and a long silence fit into a storm.

BURNISH_TEST_STORMS=COUNT,FIRST (`make storm`) lets longer ones come, one per seed; without it, one short one. A storm that broke
something prints its command, and what fell when. (Real processes do not repeat themselves to the instant: try it several times.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from tests.support.hosts import Bench, RemoteHost, children
from tests.support.records import contents
from tests.support.relay import DOWN, UP, Relay, way_to
from tests.support.removing import remove_with_tenants
from tests.support.sweeps import Sweep
from tests.support.waiting import wait_for

ASKED = os.environ.get("BURNISH_TEST_STORMS")
COUNT, FIRST = map(int, ASKED.split(",")) if ASKED else (1, 0)
HOSTS, JOBS, BLOWS, LONGEST_WORK = (4, 60, 100, 8.0) if ASKED else (2, 12, 12, 2.0)
LAST_WORK = 8.0 if ASKED else 3.0  # s for which the quiet run has a job: time to hear of each host what it still keeps
LONGEST_PAUSE = 1.2 if ASKED else 0.5  # s between two blows
PATIENCE = 3.0  # s for somebody to strike to be there
MOST_SUPERVISORS = 2  # killed: a job that is lost three times is given up, which is another promise
LULLS = (1.0, 20.0) if ASKED else (0.5, 3.0)  # s that a silence, or a process that stands still, lasts

# How often, one to another.
BLOW = {
    "kill a run": 4,
    "kill a run that takes back": 3,
    "start a second run": 2,
    "kill an agent": 4,
    "kill a supervisor": 2,
    "kill a session": 3,
    "stop a run": 2,
    "stop an agent": 2,
    "stop a supervisor": 1,
    "stop a session": 2,
    "stop the sshd": 1,
    "reset": 4,
    "hole": 4,
    "half a hole": 3,
    "nobody listens": 1,
}

# burnish, but a silence counts after four and a half seconds, and retries come quickly.
IMPATIENT = """
from burnish import changes
from burnish.remote import link, ssh
changes.REST = 1.0
link.PING, link.DEAD, link.PAUSE, link.SLOWEST_RETRY = 1.5, 4.5, 1.5, 5.0
ssh.HANDSHAKE_TIMEOUT = ssh.SESSION_TIMEOUT = 5.0
from burnish.cli.main import main
main()
"""


class Storm:
    """A sweep over hosts, and what falls on them. `fallen` counts it by kind, `story` tells it in order."""

    def __init__(self, hosts: list[RemoteHost], relays: list[Relay], sweep: Sweep, seed: int) -> None:
        self._hosts, self._relays, self._sweep, self._seed = hosts, relays, sweep, seed
        self._random = Random(seed)
        self._began = time.monotonic()
        self._mending: list[tuple[float, Callable[[], object]]] = []  # when, and what ends a lull
        self.fallen: Counter[str] = Counter()
        self.story: list[str] = []

    def rage(self, blows: int) -> None:
        """Let so many blows fall, while there is always a run; mend what can be mended."""
        for number in range(blows):
            self._random = Random(
                f"{self._seed} {number}"
            )  # one each: what is there to strike is not the seed's to say
            self._keep_running()
            self._pass(self._random.uniform(0.1, LONGEST_PAUSE))
            kind = self._random.choices(list(BLOW), list(BLOW.values()))[0]
            if (struck := self._strike(kind)) is not None:
                self.fallen[kind] += 1
                self.story.append(f"{time.monotonic() - self._began:6.1f} s: {kind} {struck}".rstrip())
        for _, mend in self._mending:
            mend()
        for run in self._sweep.running:
            run.kill()
            run.wait()

    def _strike(self, kind: str) -> str | None:
        """What was struck; None if there was nothing of the kind."""
        match kind:
            case "start a second run":
                self._start()
                return ""
            case "kill a run that takes back":
                for run in self._sweep.running:
                    run.kill()
                    run.wait()
                run = self._start()
                self._pass(self._random.uniform(0.3, 3.0))
                run.kill()
                return str(run.pid)
            case "kill a supervisor" if self.fallen[kind] == MOST_SUPERVISORS:
                return None
            case "reset":
                return self._on_a_relay(lambda relay: relay.reset(), None)
            case "hole":
                return self._on_a_relay(lambda relay: relay.hold(UP, DOWN), lambda relay: relay.flow())
            case "half a hole":
                direction = self._random.choice((UP, DOWN))
                return self._on_a_relay(lambda relay: relay.hold(direction), lambda relay: relay.flow())
            case "nobody listens":
                return self._on_a_relay(lambda relay: relay.refuse(), listen)
        verb, victim = kind.split()[0], kind.split()[-1]
        pid = self._victim(victim)
        if pid is None or not send(pid, signal.SIGKILL if verb == "kill" else signal.SIGSTOP):
            return None
        if verb == "stop":
            return f"{pid}, for {self._later(lambda: send(pid, signal.SIGCONT)):.1f} s"
        return str(pid)

    def _on_a_relay(self, harm: Callable[[Relay], None], mend: Callable[[Relay], None] | None) -> str:
        number = self._random.randrange(len(self._relays))
        relay = self._relays[number]
        harm(relay)
        return f"far{number}" + (f", for {self._later(lambda: mend(relay)):.1f} s" if mend else "")

    def _later(self, mend: Callable[[], object]) -> float:
        """Have a lull end some time; in so many seconds."""
        shortest, longest = LULLS
        lull = shortest + (longest - shortest) * self._random.random() ** 3  # most of them are short
        self._mending.append((time.monotonic() + lull, mend))
        return lull

    def _pass(self, seconds: float) -> None:
        """Wait, and end the lulls whose time has come."""
        then = time.monotonic() + seconds
        wait_for(lambda: self._mend() or time.monotonic() >= then)

    def _mend(self) -> None:
        now = time.monotonic()
        due = [mend for when, mend in self._mending if when <= now]
        self._mending = [(when, mend) for when, mend in self._mending if when > now]
        for mend in due:
            mend()

    def _victim(self, kind: str) -> int | None:
        end = time.monotonic() + PATIENCE  # a run that has just begun has none yet
        wait_for(lambda: self._mend() or self._victims(kind) or time.monotonic() >= end)
        found = sorted(self._victims(kind))
        return self._random.choice(found) if found else None

    def _victims(self, kind: str) -> list[int]:
        if kind == "run":
            return [run.pid for run in self._sweep.running if run.poll() is None]
        return [pid for host in self._hosts for pid in pids(host, kind)]

    def _keep_running(self) -> None:
        if all(run.poll() is not None for run in self._sweep.running):
            self._start()

    def _start(self) -> subprocess.Popen[str]:
        return self._sweep.start("--hosts", "lab.yaml")


def listen(relay: Relay) -> None:
    """Take connections again, if it does not yet: it may have been refused twice."""
    with suppress(OSError):
        relay.listen()


def send(pid: int, number: int) -> bool:
    """Send a signal; False if there is no such process any more."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def pids(host: RemoteHost, kind: str) -> list[int]:
    """The pids, on this machine, of a host's first sshd, its sshd's sessions, agents, or supervisors."""
    if kind == "sshd":
        assert host.process is not None
        return children(host.process.pid)
    if kind == "session":
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
def relays(bench: Bench) -> Iterator[list[Relay]]:
    """The only ways to the bench's hosts, which are called far0, far1 at their other ends."""
    made = [way_to(bench, bench.add(f"gpu{number}"), f"far{number}") for number in range(HOSTS)]
    yield made
    for relay in made:
        relay.close()


@pytest.fixture
def sweep(bench: Bench, relays: list[Relay]) -> Iterator[Sweep]:
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))  # pytest's own folders are closed to the hosts' account
    works = Random(JOBS)
    made = Sweep.of(
        folder, JOBS + 1, [*(f"{works.uniform(0.2, LONGEST_WORK):.1f}" for _ in range(JOBS)), str(LAST_WORK)]
    )
    made.burnish(
        "hold", "--job_id", str(JOBS)
    )  # or the storm may outlast the sweep, and leave the quiet run nothing to do
    made.python = "python3"
    for path in (folder, folder / "ledger"):
        path.chmod(0o777)
    names = [f"far{number}" for number in range(len(relays))]
    (folder / "lab.yaml").write_text(
        f"defaults: {{ssh_config: {bench.config}, gpus: none, slots: 2, workdir: {folder}}}\nhosts: [{', '.join(names)}]\n"
    )
    yield made
    made.stop()
    remove_with_tenants(folder)


@contextmanager
def told(storm: Storm, seed: int) -> Iterator[None]:
    """What goes wrong within is told with the storm's command and story."""
    try:
        yield
    except (AssertionError, subprocess.SubprocessError) as error:
        story = "\n".join(storm.story)
        raise AssertionError(f"{error}\n\nmake storm STORMS=1 FIRST={seed}\n{story}") from error


def check_hosts(sweep: Sweep, hosts: list[RemoteHost]) -> None:
    """Every start in the ledger is one that a host has on record, all is put away, and nothing is left running."""
    started = {f"{job}.{line.split()[0]}" for job in sweep.status() for line in sweep.ledger(job)}
    recorded: Counter[str] = Counter()
    for host in hosts:
        wait_for(lambda host=host: not left(host), lambda host=host: left(host))
        for attempt in host.home.glob(".burnish/*/attempts/*/*"):
            assert (attempt / "acked").exists(), f"{attempt} was not put away: {sorted(attempt.iterdir())}"
            recorded[attempt.name.partition("-")[0]] += any("go" in start for start in contents(attempt, "start.json"))
    assert max(recorded.values()) == 1, recorded
    assert started <= set(+recorded), (started, recorded)


def left(host: RemoteHost) -> list[bytes]:
    """What still runs there of attempts."""
    jobs = [pid for pid in host.processes() if b"BURNISH_ATTEMPT=" in _read(pid, "environ")]
    return [_read(pid, "cmdline") for pid in {*jobs, *pids(host, "supervisor")}]


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_a_storm_costs_no_second_start_and_no_verdict(
    bench: Bench, relays: list[Relay], sweep: Sweep, seed: int
) -> None:
    hosts = list(bench.hosts.values())
    storm = Storm(hosts, relays, sweep, seed)
    with told(storm, seed):
        sweep.program, usual = ("-c", IMPATIENT), sweep.program
        storm.rage(BLOWS)
        sweep.program = usual
        sweep.burnish("release", "--job_id", str(JOBS))
        assert sum(storm.fallen.values()) > BLOWS // 2, storm.fallen
        assert sweep.finish("--hosts", "lab.yaml") in (0, 1)  # what failed before it began is not its own failure
        needed = sweep.check(attempts=1 + MOST_SUPERVISORS)
        again = sum(count * (int(attempts) - 1) for attempts, count in needed.items())
        assert again <= storm.fallen["kill a supervisor"], f"{again} more starts than {storm.fallen} calls for"
        check_hosts(sweep, hosts)
        for run in sweep.running:
            assert "Traceback" not in sweep.said(run), sweep.said(run)
    print(f"storm {seed}: {dict(storm.fallen)}; attempts that jobs needed: {dict(needed)}")
