"""A host dies under its jobs, and comes back with what it has: all, older records, no locks, or nothing; and with used pids.

What is known of its jobs follows from that and from the journal alone; who has only got a pid is never signalled.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from tests.support.gated import Gated
from tests.support.hosts import UID, Bench, RemoteHost, children
from tests.support.proc import alive
from tests.support.records import contents, paths
from tests.support.removing import remove, remove_with_tenants
from tests.support.sweeps import Sweep
from tests.support.waiting import wait_for

JOBS = 5
SLOTS = 2
DEATHS = 2  # a job that is lost three times is given up, which is another promise
COUNT, FIRST = map(int, os.environ.get("BURNISH_TEST_DEATHS", "1,0").split(","))  # seeds
RUN = ("run", "--hosts", "lab.yaml", "--command", "python3 job.py")


@pytest.fixture
def host(bench: Bench) -> RemoteHost:
    return bench.add("gpu1")


@pytest.fixture
def table(bench: Bench, host: RemoteHost) -> Iterator[Gated]:
    made = Gated.of(bench, JOBS)
    made.inventory("gpu1", slots=2)
    yield made
    made.stop()


def copy(source: Path, target: Path) -> None:
    """With its owners and times, as a backup has it."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def wipe(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def ends_well(run: subprocess.Popen[str], table: Gated) -> bool:
    """Wait for a run that has to end with exit code 0."""
    wait_for(lambda: run.poll() is not None, lambda: f"{table.said()}\n{table.status()}", deadline=60)
    return run.returncode == 0


def roll_back(host: RemoteHost, backup: Path) -> None:
    remove(host.home / ".burnish")
    copy(backup, host.home / ".burnish")


# What became of the host's disk meanwhile.
HARM: dict[str, Callable[[RemoteHost, Path], None]] = {
    "nothing": lambda host, backup: None,
    "its locks are gone": lambda host, backup: wipe(host.folder / "var_tmp"),
    "its records are older": roll_back,
}


def run_past_a_backup(table: Gated, host: RemoteHost, backup: Path) -> subprocess.Popen[str]:
    """A run, and a backup of its host of a time when jobs 0 and 1 ran: now 0 is over, 1 and 2 run."""
    run = table.run()
    table.wait_running(2)
    copy(host.home / ".burnish", backup)
    table.open(0)
    wait_for(lambda: table.ran(2), table.said)
    wait_for(lambda: table.status()[0]["state"] == "COMPLETE" and table.running_jobs().keys() == {1, 2}, table.said)
    return run


@pytest.mark.parametrize("told", [True, False], ids=["to a run", "to nobody"])
@pytest.mark.parametrize("harm", HARM)
def test_what_ended_stays_and_what_ran_is_started_again(
    table: Gated, host: RemoteHost, tmp_path: Path, harm: str, told: bool
) -> None:
    """When it dies, job 0 is put away, jobs 1 and 2 run, and the backup is of a time when 0 and 1 did; 3 and 4 wait."""
    run = run_past_a_backup(table, host, tmp_path / "backup")
    if not told:
        run.kill()
        run.wait()
    host.stop()
    HARM[harm](host, tmp_path / "backup")
    host.start()
    table.open(*range(JOBS))
    if not told:
        run = table.run()
    assert ends_well(run, table), table.said()
    status = table.status()
    assert {job["state"] for job in status.values()} == {"COMPLETE"}
    assert status[0]["attempt"] == "0.1"  # one that was only claimed has none that ran behind it
    assert [len(table.ran(job)) for job in range(JOBS)] == [1, 2, 2, 1, 1]
    for job in range(JOBS):
        assert table.burnish("view", str(job)).stdout.endswith(f"the end of {job}\n")


@pytest.mark.parametrize("harm", HARM)
def test_end_that_was_recorded_and_told_to_nobody(table: Gated, host: RemoteHost, tmp_path: Path, harm: str) -> None:
    """The host has job 1's verdict, and no run has heard of it, when it dies; the backup is of a time when job 1 ran."""
    run = run_past_a_backup(table, host, tmp_path / "backup")
    run.kill()
    run.wait()
    table.open(1)
    wait_for(lambda: paths(host.home, "final.json", "1.1-"), "job 1 does not end")
    host.stop()
    early = len(table.ran(3))  # whose start was on the host, behind job 1, when the run was killed
    HARM[harm](host, tmp_path / "backup")
    host.start()
    table.open(*range(JOBS))
    assert ends_well(table.run(), table)
    status = table.status()
    assert {job["state"] for job in status.values()} == {"COMPLETE"}
    kept = harm != "its records are older"
    assert status[1]["attempt"] == ("1.1" if kept else "1.2"), "a verdict that is there counts, and none is made up"
    assert [len(table.ran(job)) for job in range(JOBS)] == [1, 1 if kept else 2, 2, 1 + early, 1]


def test_records_that_go_back_under_living_jobs_start_nothing_twice(
    table: Gated, host: RemoteHost, tmp_path: Path
) -> None:
    """Somebody restores a backup of ~/.burnish: one job's folder is an older copy, the other's is gone while it runs."""
    run = run_past_a_backup(table, host, tmp_path / "backup")
    run.kill()
    run.wait()
    roll_back(host, tmp_path / "backup")
    run = table.run()
    wait_for(lambda: table.running_jobs() == {1: "gpu1", 2: "gpu1"}, table.said)
    table.open(*range(JOBS))
    assert ends_well(run, table)
    ran = [len(table.ran(job)) for job in range(JOBS)]
    status = table.status()
    assert {job["state"] for job in status.values()} == {"COMPLETE"}
    # Job 2's verdict had no folder to be written to: it is lost, and that is another attempt's reason.
    assert ran == [1, 1, int(status[2]["attempt"].partition(".")[2]), 1, 1] and ran[2] <= 2


def test_machine_without_records_proves_nothing_and_is_named(table: Gated, host: RemoteHost) -> None:
    """Its state folder was made anew and it has rebooted, as another machine would look that was given its name."""
    table.orphan(2)
    host.stop()
    (host.home / ".burnish").rename(host.home / "of another")
    host.start()
    for _ in range(2):
        run = table.run()
        wait_for(lambda: "gpu1 answers, and has no records of jobs 0-1" in table.said(), table.said)
        assert set(table.running_jobs()) >= {0, 1}
        run.kill()
        run.wait()
    assert [len(table.ran(job)) for job in (0, 1)] == [1, 1]
    table.burnish("forget", "gpu1")
    assert {table.status()[job]["reason"][:4] for job in (0, 1)} == {"LOST"}


# -- at whatever moment --------------------------------------------------------------------------------------------


@pytest.fixture
def sweep(bench: Bench) -> Iterator[Sweep]:
    """Ledger jobs for two hosts with two slots each."""
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    made = Sweep.of(folder, 20, ("0.3", "0.8", "0.1"))
    made.python = "python3"
    for path in (folder, folder / "ledger"):
        path.chmod(0o777)
    defaults = f"ssh_config: {bench.config}, gpus: none, slots: {SLOTS}, workdir: {folder}"
    (folder / "lab.yaml").write_text(f"defaults: {{{defaults}}}\nhosts: [gpu1, gpu2]\n")
    yield made
    made.stop()
    remove_with_tenants(folder)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_host_that_dies_at_any_moment_costs_what_ran_there_and_no_more(
    bench: Bench, host: RemoteHost, sweep: Sweep, seed: int
) -> None:
    random = Random(seed)
    bench.add("gpu2")
    run = sweep.start("--hosts", "lab.yaml")
    wait_for(lambda: any(sweep.ledger(job) for job in range(20)), lambda: sweep.said(run))
    for _ in range(DEATHS):
        with suppress(subprocess.TimeoutExpired):
            run.wait(random.uniform(0.0, 2.5))
        host.stop()
        HARM[random.choice(["nothing", "its locks are gone"])](host, host.folder)
        host.start()
    assert run.wait(120) == 1, sweep.said(run)  # some jobs are to fail
    needed = sweep.check(attempts=1 + DEATHS)
    again = sum(count * (int(attempts) - 1) for attempts, count in needed.items())
    assert again <= SLOTS * DEATHS, f"seed {seed}: {dict(needed)}"


# -- pids that are given out again ---------------------------------------------------------------------------------


def there(host: RemoteHost, pid: int) -> int:
    """The pid here of what has the pid `pid` on the host; 0 for nothing."""
    for own in host.processes():
        with suppress(OSError):
            names = Path(f"/proc/{own}/status").read_text().partition("NSpid:")[2].split("\n")[0].split()
            if names[-1] == str(pid):
                return own
    return 0


def take_pid(host: RemoteHost, pid: int) -> int:
    """Have an innocent process of the same account on the host get the free pid `pid` there; its pid here."""
    assert host.process is not None
    [init] = children(host.process.pid)
    innocent = f"setpriv --reuid {UID} --regid {UID} --clear-groups sleep 1000 </dev/null >/dev/null 2>&1"
    words = ["nsenter", f"--target={init}", "--mount", "--pid", "--", "sh", "-c"]

    def taken() -> int:
        subprocess.run([*words, f"echo {pid - 1} > /proc/sys/kernel/ns_last_pid; {innocent} &"], check=True)
        own = there(host, pid)
        return own if own and b"sleep" in Path(f"/proc/{own}/cmdline").read_bytes() else 0

    return wait_for(taken, f"pid {pid} is not given out")


@pytest.mark.parametrize("boots", [True, False], ids=["after a reboot", "while it runs"])
def test_who_has_only_got_a_pid_is_never_signalled(table: Gated, host: RemoteHost, boots: bool) -> None:
    run = table.run()
    table.wait_running(2)
    pids = [record["go"]["supervisor"]["pid"] for record in contents(host.home / ".burnish", "start.json")]
    pids += [job["pid"] for job in table.status().values() if job["pid"]]
    assert len(pids) == 4
    run.kill()
    run.wait()
    if boots:
        host.stop()
        host.start()
    else:
        wait_for(lambda: len(host.processes()) == len(pids), "its agent does not end")
        found = [there(host, pid) for pid in pids]
        assert all(found)
        for own in found:
            os.kill(own, signal.SIGKILL)
    wait_for(lambda: not any(there(host, pid) for pid in pids), "the pids are not free")
    innocents = [take_pid(host, pid) for pid in pids]
    table.burnish("cancel", "--job_id", "0,1", code=None)
    table.open(*range(JOBS))
    run = table.run()
    assert ends_well(run, table) or table.status()[0]["state"] == "ERROR", table.said()
    assert all(map(alive, innocents)), "an innocent process was killed"
    assert {table.status()[job]["state"] for job in range(2, JOBS)} == {"COMPLETE"}
    assert [len(table.ran(job)) for job in range(JOBS)] == [1] * JOBS, "what was cancelled is not started again"
