"""Connections between a run and its hosts break, stall or die on one side: nothing starts twice, no byte is lost."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from burnish.core import reports
from burnish.core.jobs import HostName
from burnish.remote.link import Link
from burnish.remote.ssh import SshTransport
from tests.support.gated import Gated
from tests.support.hosts import Bench, RemoteHost
from tests.support.records import paths
from tests.support.relay import DOWN, UP, Relay, way_to
from tests.support.removing import remove_with_tenants
from tests.support.sweeps import Sweep
from tests.support.waiting import wait_for

JOBS = 4
BREAKS = 10
AGAIN = 3.0  # s in which a link to a host that can be reached is made again
SILENT = 45.0  # s after which a host is given up from which nothing arrives
STEP = 3.0  # s, at most, between two looks at a link: a longer one would be taken for a sleep of its own

# burnish, but a silence counts after two seconds, and retries come quickly.
IMPATIENT = """
from burnish import changes
from burnish.remote import link, ssh
changes.REST = 1.0  # between two looks of a run that hears nothing: more than two and a half, and it stood still
link.PING, link.DEAD, link.PAUSE, link.SLOWEST_RETRY = 0.5, 2.0, 2.5, 1.0
ssh.HANDSHAKE_TIMEOUT = ssh.SESSION_TIMEOUT = 2.0
from burnish.cli.main import main
main()
"""


@pytest.fixture
def host(bench: Bench) -> RemoteHost:
    return bench.add("gpu1")


@pytest.fixture
def relay(bench: Bench, host: RemoteHost) -> Iterator[Relay]:
    """The only way to gpu1, which is called `far` at its other end."""
    made = way_to(bench, host, "far")
    yield made
    made.close()


# As patient with a host as a busy machine needs.
PATIENT = IMPATIENT.replace("0.5, 2.0, 2.5", "0.5, 8.0, 2.5").replace("TIMEOUT = 2.0", "TIMEOUT = 15.0")


@pytest.fixture
def table(request: pytest.FixtureRequest, bench: Bench, relay: Relay) -> Iterator[Gated]:
    """A run over `far`, on whose two slots jobs 0 and 1 run. Its parameter is the program that runs, if not IMPATIENT."""
    made = Gated.of(bench, JOBS)
    made.inventory("far", slots=2)
    made.start(
        "run", "--hosts", "lab.yaml", "--command", "python3 job.py", program=getattr(request, "param", IMPATIENT)
    )
    made.wait_running(2)
    yield made
    made.stop()


def finish(table: Gated) -> None:
    """Let all jobs end; each has run once, and its log is whole.

    One that was claimed ahead while the way there took seconds may have been called back, and have run in its second attempt.
    """
    table.open(*range(JOBS))
    assert table.running[0].wait(60) == 0, table.said()
    assert [len(table.ran(job)) for job in range(JOBS)] == [1] * JOBS
    for job in range(JOBS):
        assert table.burnish("view", str(job)).stdout == f"job {job} on gpu1\nthe end of {job}\n"


def test_host_from_which_nothing_arrives_keeps_its_jobs(table: Gated, relay: Relay, host: RemoteHost) -> None:
    for job, directions in enumerate([(UP, DOWN), (UP,), (DOWN,)]):
        silent = table.said().count("far does not answer")
        running = table.wait_running(2)
        relay.hold(*directions)
        wait_for(lambda silent=silent: table.said().count("far does not answer") > silent, table.said)
        table.open(job)
        wait_for(
            lambda name=f"{job}.1-": paths(host.home, "final.json", name), lambda: list(host.home.rglob("attempts/*/*"))
        )
        assert table.running_jobs() == running, "what cannot be seen is not concluded"
        assert job == 2 or table.ran(job + 2) == []
        relay.flow()
        wait_for(lambda job=job: table.status()[job]["state"] == "COMPLETE", table.said)
    finish(table)


@pytest.mark.parametrize("table", [PATIENT], ids=["patient"], indirect=True)
def test_run_that_slept_calls_nobody_dead(table: Gated) -> None:
    run = table.running[0]
    run.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    table.open(0, 2, 3)
    table.burnish("run", "--hosts", "lab.yaml", "--command", "python3 job.py", "--job_id", "2,3")
    wait_for(lambda: time.monotonic() > stopped + 16)  # twice as long as a silence may last here
    run.send_signal(signal.SIGCONT)
    finish(table)
    assert "does not answer" not in table.said()


def test_killed_session_of_sshd_costs_nothing(table: Gated, host: RemoteHost) -> None:
    for pid in host.sessions():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "far does not answer" in table.said(), table.said)
    finish(table)


def test_jobs_end_while_nobody_listens(table: Gated, relay: Relay) -> None:
    relay.refuse()
    wait_for(lambda: "Connection refused" in table.said() or "does not answer" in table.said(), table.said)
    table.open(0, 1)
    relay.listen()
    finish(table)


class Far:
    """A link to `far` with burnish's own times, on a clock that may be fast; when it was up, by ours, and when it broke, by that.

    Its clock makes small steps even when the test is kept waiting, so that the link never takes itself for one that slept.
    """

    def __init__(self, bench: Bench, speed: float = 1.0) -> None:
        self.now = 0.0
        self.ups: list[float] = []
        self.downs: list[float] = []
        self._speed, self._looked = speed, time.monotonic()
        transport = SshTransport(bench.entry("far"))
        self.link = Link(HostName("far"), transport, "table-1", "~/.burnish", self._hear, lambda: self.now)
        self.link.start()
        self.wait_up(1)

    def wait_up(self, times: int) -> float:
        """Wait until it was up so often; when that was, by our clock."""
        self.wait(lambda: len(self.ups) == times)
        return self.ups[-1]

    def wait_down(self, times: int) -> float:
        """Wait until it broke so often; when that was, by its clock."""
        self.wait(lambda: len(self.downs) == times)
        return self.downs[-1]

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait, and look at the link meanwhile, as a coordinator does."""
        wait_for(lambda: self._look() or condition(), lambda: f"up at {self.ups}, down at {self.downs}", deadline=60)

    def _look(self) -> None:
        looked, self._looked = self._looked, time.monotonic()
        self.now += min(STEP, self._speed * (self._looked - looked))
        self.link.watch()

    def _hear(self, report: reports.Report) -> None:
        if isinstance(report, reports.HostConnected):
            self.ups.append(time.monotonic())
        elif isinstance(report, reports.HostDropped):
            self.downs.append(self.now)


def test_link_that_broke_is_made_again_within_three_seconds(bench: Bench, relay: Relay) -> None:
    far = Far(bench)
    try:
        took = []
        for times, end in enumerate([relay.reset, relay.hang_up, relay.reset, relay.hang_up, relay.reset], 1):
            began = time.monotonic()
            end()
            took.append(far.wait_up(times + 1) - began)
        assert min(took[3:]) < AGAIN, took  # others may have waited for the processor
    finally:
        far.link.close()


def test_host_from_which_nothing_arrives_is_given_up_within_45_seconds(bench: Bench, relay: Relay) -> None:
    """Of its own, that is: here they go by twenty times as fast. Who is given up is named at once (`Silence`)."""
    far = Far(bench, speed=20)
    try:
        for times, directions in enumerate([(UP, DOWN), (UP,), (DOWN,)], 1):
            relay.hold(*directions)
            began = far.now
            assert SILENT - 3 * STEP < far.wait_down(times) - began < SILENT + 5 * STEP, directions
            relay.flow()
            far.wait_up(times + 1)
    finally:
        far.link.close()


def test_connections_that_break_within_messages_cost_no_byte(bench: Bench, relay: Relay) -> None:
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    sweep = Sweep.of(folder, 30)
    sweep.python = "python3"
    for path in (folder, folder / "ledger"):
        path.chmod(0o777)
    (folder / "lab.yaml").write_text(
        f"defaults: {{ssh_config: {bench.config}, gpus: none, slots: 4, workdir: {folder}}}\nhosts: [far]\n"
    )
    sweep.program = ("-c", IMPATIENT)
    seed = random.Random(7)
    ways = [relay.reset, relay.hang_up, relay.lose] * BREAKS
    budgets = {number: (seed.choice((UP, DOWN)), seed.randint(0, 400_000)) for number in range(1, BREAKS + 1)}
    broken: set[int] = set()

    def spend() -> None:
        number = relay.connections
        direction, budget = budgets.get(number, (UP, 1 << 60))
        began = 45_000 if direction == UP else 5_000  # the agent has been sent by then, or we only try to log in
        if number not in broken and relay.carried[direction] > began + budget // (10 if direction == UP else 1):
            broken.add(number)
            threading.Thread(target=ways[len(broken)]).start()

    relay.on_bytes = spend
    try:
        assert sweep.finish("--hosts", "lab.yaml", timeout=300) == 1
        assert sweep.check() == {"1": 30}
        assert len(broken) >= 3, f"only {len(broken)} of {relay.connections} connections broke"
    finally:
        sweep.stop()
        remove_with_tenants(folder)
