"""What takes Slurm a minute, or is done to a whole cluster: part of `make slurm`, not of `make test`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.slurm.conftest import INVENTORY
from tests.support.gated import Gated
from tests.support.proc import environment_of, parent_of, processes
from tests.support.slurm import Slurm
from tests.support.sshd_here import SshdHere
from tests.support.sweeps import Sweep, children, wait_until_gone
from tests.support.waiting import wait_for

HPC = ("--hosts", "lab.yaml")
CATCHES_TERM = """\
import os, signal, sys
if os.environ["BURNISH_JOB_ID"] == "1":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
"""


def test_coordinator_killed_again_and_again(slurm: Slurm, tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 30, work="0.3")
    (tmp_path / "lab.yaml").write_text(INVENTORY.replace("40", "12"))
    try:
        for goal in (1, 10, 20):
            run = sweep.start(*HPC)
            wait_for(lambda goal=goal: len(list((tmp_path / "ledger").iterdir())) >= goal, deadline=60)
            helpers = children(run.pid)
            run.kill()
            run.wait()
            for helper in helpers:
                wait_until_gone(helper)
        assert sweep.finish(*HPC) == 1
        assert sweep.check() == {"1": 30}
    finally:
        sweep.stop()


def test_what_slurm_ends_says_so(slurm: Slurm, table: Gated) -> None:
    """A person's scancel and Slurm's own time limit: ERROR with the reason, and not run again."""
    run = table.run("--num_jobs", "2")
    running = sorted(table.wait_running(2))
    tasks = slurm.run("squeue", "--noheader", "--array", "--format=%K %F_%K").split()
    jobs = dict(zip(map(int, tasks[::2]), tasks[1::2], strict=True))
    slurm.run("scancel", jobs[running[0]])
    slurm.run("scontrol", "update", f"JobId={jobs[running[1]]}", "TimeLimit=0:01")
    assert run.wait(120) == 1, table.said()
    shown = table.status()
    assert [shown[job]["reason"] for job in running] == ["CANCELLED", "TIME_LIMIT"]


def test_a_node_that_dies_costs_its_jobs_one_attempt(slurm: Slurm, table: Gated) -> None:
    (table.folder / "lab.yaml").write_text(INVENTORY.replace("40", "40, sbatch: {gres: 'gpu:2'}"))
    run = table.run()
    table.wait_running(3)
    try:
        slurm.kill_node("n1")
        slurm.run("scontrol", "update", "NodeName=n1", "State=DOWN", "Reason=died")
        table.open(*range(4))
        assert run.wait(180) == 0, table.said()  # a minute of it to make sure that the node is silent
    finally:
        slurm.bring_back("n1")
    ran = [len(table.ran(job)) for job in range(4)]
    assert sorted(ran) == [1, 1, 1, 2]


def test_a_controller_that_dies_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a cluster of its own: one that died may give a number again that a node still has a job of."""
    cluster = Slurm(tmp_path / "cluster")
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    table = Gated.of(None, 4)
    try:
        (table.folder / "lab.yaml").write_text(INVENTORY)
        run = table.run()
        table.wait_running(4)
        cluster.kill("slurmctld")
        table.open(0, 1)
        wait_for(lambda: len(table.running_jobs()) == 2, table.status)
        cluster.start("slurmctld")
        table.open(2, 3)
        assert run.wait(60) == 0, table.said()
        assert [len(table.ran(job)) for job in range(4)] == [1] * 4
    finally:
        table.stop()
        cluster.close()


def test_coordinator_controller_and_a_nodes_slurmd_killed_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of one sweep, each while jobs run that end before it is back.

    None of these fails by itself: a slurmctld that did not come to write down what it started starts it again, and says of what
    its nodes then refuse that it was cancelled.
    """
    cluster = Slurm(tmp_path / "c")
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    (tmp_path / "t").mkdir()
    sweep = Sweep.of(tmp_path / "t", 50, work="2", fates=("ok", "large", "binary"))
    (sweep.folder / "lab.yaml").write_text(INVENTORY.replace("40", "10"))

    def wait_running() -> dict[int, str]:
        return wait_for(lambda: _running(sweep), lambda: sweep.said(run), deadline=60)

    def wait_ended(jobs: dict[int, str]) -> None:
        wait_for(lambda: all(_has_ended(sweep, job) for job in jobs), lambda: sweep.said(run), deadline=60)

    try:
        run = sweep.start(*HPC)
        jobs, helpers = wait_running(), children(run.pid)
        run.kill()
        run.wait()
        for helper in helpers:
            wait_until_gone(helper)
        wait_ended(jobs)
        run = sweep.start(*HPC)
        jobs = wait_running()
        cluster.kill("slurmctld")
        wait_ended(jobs)
        cluster.start("slurmctld")
        jobs = wait_running()
        node = jobs[max(jobs)]
        cluster.kill(node)
        wait_ended(jobs)
        cluster.start(node)
        assert not all(_has_ended(sweep, job) for job in range(50))  # the sweep was in its middle
        assert run.wait(180) == 0, sweep.said(run)
        assert sweep.check() == {"1": 50}
    finally:
        sweep.stop()
        cluster.close()


def _running(sweep: Sweep) -> dict[int, str]:
    """The jobs that run and have not ended, and on which nodes of the cluster."""
    environments = [environment_of(pid) for pid in processes(sweep.folder)]
    jobs = {int(found["BURNISH_JOB_ID"]): found["SLURMD_NODENAME"] for found in environments if found}
    return {job: node for job, node in jobs.items() if not _has_ended(sweep, job)}


def _has_ended(sweep: Sweep, job: int) -> bool:
    return any(line.endswith("end") for line in sweep.ledger(job))


def test_what_slurm_forgot_while_it_runs_is_not_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller lost its state, and does not see the node. One job ends well, the other can be cancelled."""
    cluster = Slurm(tmp_path / "c")  # slurmstepd's sockets are there, whose paths must be short
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    table = Gated.of(None, 2)
    try:
        (table.folder / "lab.yaml").write_text(INVENTORY)
        run = table.run()
        table.wait_running(2)
        for node in set(cluster.run("squeue", "--noheader", "--array", "--format=%N").split()):
            cluster.kill(node)  # what it runs, runs on
        cluster.kill("slurmctld")
        cluster.lose_state()
        cluster.start("slurmctld")
        for _ in range(4):  # meanwhile, Slurm's list was read
            _wait_for_a_beat(table)
        assert [len(table.ran(job)) for job in range(2)] == [1, 1], table.said()
        assert sorted(table.running_jobs()) == [0, 1]
        wait_for(lambda: "forgotten by Slurm" in table.said(), table.said)
        assert table.said().count("jobs 0-1 are forgotten by Slurm, and run: their supervisors live.") == 1, (
            table.said()
        )
        why = table.burnish("explain", "0").stdout
        assert "Job 0 is RUNNING (forgotten by Slurm; its supervisor lives)." in why, why
        table.burnish("cancel", "--job_id", "1")
        table.open(0)
        assert run.wait(60) == 1, table.said()
        shown = table.status()
        assert (shown[0]["state"], shown[1]["reason"]) == ("COMPLETE", "CANCELLED"), shown
        assert [len(table.ran(job)) for job in range(2)] == [1, 1]
    finally:
        table.stop()
        cluster.close()


def _wait_for_a_beat(table: Gated) -> None:
    """Of each supervisor's pulse, or until a job was started again."""
    attempts = (table.folder / "home" / ".burnish" / "slurm" / "attempts").glob("*/*")
    before = {folder / "pulse": (folder / "pulse").stat().st_mtime_ns for folder in attempts}
    wait_for(
        lambda: (
            all(pulse.exists() and pulse.stat().st_mtime_ns != then for pulse, then in before.items())
            or any(len(table.ran(job)) > 1 for job in range(2))
        ),
        table.said,
    )


def test_what_a_node_cannot_launch_runs_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prolog of the node that comes first fails. Slurm cancels what it gave it, and that was not a person."""
    prolog = tmp_path / "prolog"
    prolog.write_text('#!/bin/sh\n[ "$SLURMD_NODENAME" != n0 ]\n')
    prolog.chmod(0o755)
    cluster = Slurm(tmp_path / "cluster", f"Prolog={prolog}\n")
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    table = Gated.of(None, 4)
    try:
        (table.folder / "lab.yaml").write_text(INVENTORY)
        table.open(*range(4))
        run = table.run()
        assert run.wait(120) == 0, table.said()
        assert "Slurm could not launch it on n0" in table.said()
        assert [len(table.ran(job)) for job in range(4)] == [1] * 4
    finally:
        table.stop()
        cluster.close()


def test_a_cluster_over_ssh_an_ssh_host_and_this_machine_in_one_run(
    slurm: Slurm, table: Gated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in table.environment.items():
        monkeypatch.setenv(name, value)  # the account there has what the table's has
    sshd = SshdHere(tmp_path)
    try:
        login = sshd.entry(sys.executable)
        config = tmp_path / "ssh_config"
        config.write_text(config.read_text() + config.read_text().replace("Host here", "Host there"))
        over_ssh = f"ssh_config: {config}, python: {login.python}"
        (table.folder / "lab.yaml").write_text(
            f"hosts:\n  here: {{engine: slurm, slots: 2, {over_ssh}}}\n  there: {{gpus: none, slots: 1, {over_ssh}}}\n"
            "  desk: {connection: local, slots: 1, gpus: none, state_dir: ~/.desk}\n"
        )
        run = table.run()
        assert sorted(table.wait_running(4).values()) == ["desk", "here", "here", "there"]
        table.open(*range(4))
        assert run.wait(60) == 0, table.said()
    finally:
        sshd.close()


def test_accounting_says_what_slurms_list_has_forgotten_and_limits_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three jobs submitted at most, and each forgotten two seconds after its end."""
    cluster = Slurm(tmp_path / "cluster", "MinJobAge=2\n", accounting=True)
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    cluster.run("sacctmgr", "--immediate", "modify", "user", "root", "set", "maxsubmitjobs=3")
    table = Gated.of(None, 8)
    try:
        (table.folder / "lab.yaml").write_text(INVENTORY)
        run = table.run()
        table.wait_running(3)
        first = cluster.run("squeue", "--noheader", "--array", "--format=%K %F_%K").splitlines()
        ended = dict(line.split() for line in first)["0"]
        run.send_signal(signal.SIGSTOP)  # until Slurm has forgotten what it will be asked about
        cluster.run("scancel", ended)
        wait_for(lambda: ended not in cluster.run("squeue", "--states=all", "--array", "--format=%F_%K"), deadline=150)
        run.send_signal(signal.SIGCONT)
        table.open(*range(8))
        assert run.wait(180) == 1, table.said()
        assert {job: found["reason"] for job, found in table.status().items() if found["state"] == "ERROR"} == {
            0: "CANCELLED"
        }
        assert [len(table.ran(job)) for job in range(8)] == [1] * 8
    finally:
        table.stop()
        cluster.close()


@pytest.mark.parametrize("grace", [0, 10])
def test_a_job_that_is_preempted_again_and_again_ends_well(
    grace: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often than a job may die: it was not its fault. Job 1 answers TERM with an exit code of its own."""
    urgent = "PartitionName=urgent Nodes=ALL PriorityTier=10 MaxTime=INFINITE State=UP\n"
    spare = f"PartitionName=spare Nodes=ALL GraceTime={grace} MaxTime=INFINITE State=UP\n"
    options = "PreemptType=preempt/partition_prio\nPreemptMode=REQUEUE\n"
    cluster = Slurm(tmp_path / "cluster", options, partitions=urgent + spare)
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    table = Gated.of(None, 2)
    job = table.folder / "job.py"
    job.write_text(CATCHES_TERM + job.read_text())
    try:
        (table.folder / "lab.yaml").write_text(INVENTORY.replace("40", "40, sbatch: {partition: spare, nodelist: n0}"))
        run = table.run()
        for times in range(1, 5):
            wait_for(lambda times=times: [len(table.ran(job)) for job in range(2)] == [times] * 2, table.said, 90)
            wish = ["--partition=urgent", "--nodelist=n0", "--exclusive", "--output=/dev/null"]
            cluster.run("sbatch", *wish, stdin="#!/bin/sh\nsleep 1\n")
        table.open(0, 1)
        assert run.wait(120) == 0, f"{table.said()}\n{table.status()}"
    finally:
        table.stop()
        cluster.close()


def test_killed_guard_leaves_its_job_to_the_supervisor(slurm: Slurm, table: Gated) -> None:
    """Slurm takes what it ran for over, and what it ran goes on: told so, to its verdict, and not started beside itself."""
    run = table.run()
    table.wait_running(4)
    guards = {parent_of(parent_of(pid)) for pid in processes(table.folder)}
    assert len(guards) == 4
    for pid in guards:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: "jobs 0-3 are over in Slurm, and run: their supervisors live." in table.said(), table.said, 60)
    assert len(processes(table.folder)) == 4
    table.open(*range(4))
    assert run.wait(60) == 0, table.said()
    assert [len(table.ran(job)) for job in range(4)] == [1] * 4
