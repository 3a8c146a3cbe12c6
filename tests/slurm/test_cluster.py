"""The user's own commands on a real Slurm: the sweep of any other host, with one line of the inventory changed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from burnish.slurm import text
from tests.slurm.conftest import INVENTORY
from tests.support.gated import Gated
from tests.support.slurm import Slurm
from tests.support.sweeps import Sweep
from tests.support.waiting import wait_for

OTHER_UID = "65534"
HPC = ("--hosts", "lab.yaml")


def submissions(slurm: Slurm) -> list[str]:
    """The names of all arrays that Slurm was given, once for each sbatch."""
    listed = slurm.run("squeue", "--states=all", "--noheader", "--format=%F %j").splitlines()
    return sorted(name for _, name in {tuple(line.split()) for line in listed})


def test_sweep(slurm: Slurm, tmp_path: Path) -> None:
    """Every fate, verdict and log as on any host; one array for them all."""
    sweep = Sweep.of(tmp_path, 20)
    (tmp_path / "lab.yaml").write_text(INVENTORY)
    before = submissions(slurm)
    try:
        assert sweep.finish(*HPC) == 1
        assert sweep.check() == {"1": 20}
    finally:
        sweep.stop()
    assert len(submissions(slurm)) == len(before) + 1
    assert {job["host"] for job in sweep.status().values()} == {"hpc"}


def test_coordinator_killed_between_sbatch_and_its_answer(
    slurm: Slurm, table: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it submitted is found, and nothing is submitted a second time."""
    real = shutil.which("sbatch")
    programs = table.folder / "bin"
    programs.mkdir()
    (programs / "sbatch").write_text(f'#!/bin/sh\n{real} "$@" && touch {table.folder}/submitted\nexec sleep 20\n')
    (programs / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    before = submissions(slurm)
    run = table.run()
    wait_for((table.folder / "submitted").exists, lambda: table.said())
    run.kill()
    run.wait()
    monkeypatch.setenv("PATH", os.environ["PATH"].partition(":")[2])
    table.open(*range(4))
    run = table.run()
    assert run.wait(60) == 0, table.said()
    assert len(submissions(slurm)) == len(before) + 1
    assert [len(table.ran(job)) for job in range(4)] == [1] * 4


def test_a_script_that_is_run_twice_runs_its_job_once(slurm: Slurm, table: Gated) -> None:
    run = table.run()
    table.wait_running(4)
    folders = sorted((table.folder / "home" / ".burnish" / "slurm" / "attempts").glob("*/*"))
    source = next((table.folder / "home" / ".burnish" / "slurm").glob("agent-*.py"))
    lines = "".join(f"python3 -I {source} supervise {folder}\n" for folder in folders)
    again = slurm.run("sbatch", "--parsable", "--output=/dev/null", stdin=f"#!/bin/sh\nset -e\n{lines}").strip()
    wait_for(lambda: "COMPLETED" in slurm.run("squeue", "--states=all", f"--jobs={again}", "--format=%T"))
    table.open(*range(4))
    assert run.wait(60) == 0, table.said()
    assert [len(table.ran(job)) for job in range(4)] == [1] * 4
    meta = table.burnish("view", "0", "--meta").stdout
    assert re.search(r"^host      hpc \(n\d, Slurm job \d+\)$", meta, re.MULTILINE), meta


def test_waiting_jobs_say_why_and_cancel_ends_all(slurm: Slurm, table: Gated) -> None:
    (table.folder / "lab.yaml").write_text(INVENTORY.replace("40", "40, sbatch: {gres: 'gpu:2', exclusive: 'true'}"))
    run = table.run()
    running = table.wait_running(3)
    waiting = next(job for job in range(4) if job not in running)
    wait_for(lambda: "waiting for " in table.burnish("explain", str(waiting)).stdout)
    assert f"Job {waiting} is NOT_RUNNING (waiting for " in table.burnish("explain", str(waiting)).stdout
    run.kill()
    run.wait()
    said = table.burnish("cancel", "--all").stderr
    assert "stopped after" in said, said
    shown = table.status()
    assert {job: found["state"] for job, found in shown.items() if found["state"] != "ERROR"} == {waiting: "HOLD"}
    assert {job["reason"] for job in shown.values()} == {"CANCELLED"}
    table_id = next((table.folder / "home" / ".burnish" / "slurm" / "attempts").iterdir()).name
    listed = slurm.run("squeue", "--noheader", "--array", "--states=all", "--format=%K %T %j").splitlines()
    mine = (
        f"{waiting} ",
        "N/A ",
    )  # the latter where Slurm has evaluated the last one that waits only as the rest of its array
    [state] = [line.split()[1] for line in listed if line.startswith(mine) and f"burnish-{table_id}-" in line]
    assert state == "CANCELLED", listed  # nor did its script ever run
    wait_for(lambda: not slurm.run("squeue", "--noheader"), lambda: slurm.run("squeue"))


def test_what_is_in_a_hidden_partition_is_listed_for_its_owner(slurm: Slurm) -> None:
    """Who is root, as these tests are, sees it in any case."""

    def as_owner(*argv: str, stdin: str = "") -> str:
        words = ["setpriv", "--reuid", OTHER_UID, "--regid", OTHER_UID, "--clear-groups", *argv]
        return subprocess.run(words, cwd="/", input=stdin, capture_output=True, text=True, check=True).stdout

    submit = text.sbatch("burnish-hidden-1", "", [0], {"partition": "hidden", "hold": ""}, text.Demand())
    number = text.read_sbatch(as_owner(*submit, stdin="#!/bin/sh\n"))
    listed = text.read_squeue(as_owner(*text.squeue(["burnish-hidden-1"])))
    assert listed["burnish-hidden-1", 0].job == f"{number}_0"
    slurm.run("scancel", number)


def test_what_a_run_left_in_slurms_queue_is_taken_out(slurm: Slurm, table: Gated) -> None:
    """By a cancel that has known nothing of it before, and that waits for nothing else."""
    (table.folder / "lab.yaml").write_text(INVENTORY.replace("40", "40, sbatch: {begin: now+1hour}"))
    run = table.run()
    wait_for(lambda: all("waiting for" in job["reason"] for job in table.status().values()), table.status)
    run.send_signal(signal.SIGINT)
    run.wait()
    assert "Jobs 0-3 wait in Slurm's queue." in table.said()
    assert slurm.run("squeue", "--noheader")
    table.burnish("cancel", "--all")
    assert not slurm.run("squeue", "--noheader")


def test_what_somebody_takes_out_of_slurms_queue_is_not_submitted_again(slurm: Slurm, table: Gated) -> None:
    """One of an array by its number, which Slurm then lists no longer; then the others, of which it lists one, without index."""
    (table.folder / "lab.yaml").write_text(INVENTORY.replace("40", "40, sbatch: {begin: now+1hour}"))
    before = submissions(slurm)
    run = table.run()
    wait_for(lambda: all("waiting for" in job["reason"] for job in table.status().values()), table.status)
    [array] = set(slurm.run("squeue", "--noheader", "--format=%F").split())
    slurm.run("scancel", f"{array}_1")
    wait_for(lambda: table.status()[1]["state"] == "ERROR", table.said, 60)
    assert [table.status()[job]["state"] for job in (0, 2, 3)] == ["NOT_RUNNING"] * 3
    slurm.run("scancel", *(f"{array}_{index}" for index in (0, 2, 3)))
    assert run.wait(90) == 1, table.said()
    assert {job["reason"] for job in table.status().values()} == {"not started: cancelled in Slurm"}, table.status()
    assert len(submissions(slurm)) == len(before) + 1


def test_hosts_of_a_job_say_on_which_node_it_runs(slurm: Slurm, table: Gated) -> None:
    (table.folder / "more.csv").write_text(
        'HOSTS,n\n--nodelist=n2,4\n"hpc,--constraint=of_n1",5\n--nodelist=n9,6\n--constraint=warp,7\n'
    )
    table.burnish("create", "--csv", "more.csv", "--append")
    assert "Of Slurm it asks for --nodelist=n2 (its HOSTS)." in table.burnish("explain", "4").stdout
    run = table.run("--job_id", "4-7")
    table.wait_running(2)
    where = dict(line.split()[-2:] for line in slurm.run("squeue", "--noheader", "--format=%k %N").splitlines())
    assert where == {"4": "n2", "5": "n1"}
    table.open(4, 5)
    assert run.wait(60) == 1, table.said()
    shown = table.status()
    assert "Invalid node name" in shown[6]["reason"] and "Invalid feature" in shown[7]["reason"], shown
    assert [shown[job]["state"] for job in range(4, 8)] == ["COMPLETE", "COMPLETE", "ERROR", "ERROR"]


def test_check_says_what_sbatch_would_not_take(slurm: Slurm, table: Gated) -> None:
    """Each mistake in `sbatch:` in the words of sbatch; nothing is submitted, and nothing left behind."""
    before = submissions(slurm)
    for options, code, said in (
        ("{gres: 'gpu:1', time: '1:00:00'}", 0, "Slurm answers, and would take a job"),
        (
            "{partition: nope}",
            3,
            "would not take a job: Invalid partition name specified (invalid partition specified: nope)",
        ),
        ("{partitoin: main}", 3, "would not take a job: unrecognized option '--partitoin=main'"),
        ("{constraint: warp}", 3, "would not take a job: Invalid feature specification"),
        ("{gres: 'gpu:9'}", 0, "could not place a job now: Requested node configuration is not available"),
    ):
        (table.folder / "lab.yaml").write_text(INVENTORY.replace("40", f"40, sbatch: {options}"))
        assert said in table.burnish("check", "lab.yaml", code=code).stdout
    assert submissions(slurm) == before
    assert not list((table.folder / "home" / ".burnish" / "slurm" / "attempts").glob("check-*"))


def test_what_would_be_submitted_is_shown(slurm: Slurm, table: Gated) -> None:
    (table.folder / "lab.yaml").write_text(INVENTORY.replace("40", "40, sbatch: {gres: 'gpu:1'}"))
    before = submissions(slurm)
    shown = table.burnish("run", *HPC, "--command", "python3 job.py", "--dry_run").stdout
    assert "sbatch --parsable" in shown and "--array=0-3" in shown and "--gres=gpu:1" in shown, shown
    assert "3) attempt=" in shown and 'supervise "$PWD/$attempt"' in shown, shown
    assert submissions(slurm) == before


def test_a_host_without_slurm_says_so_in_one_line(table: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    python = table.folder / "bin"
    python.mkdir()
    for name in ("python3", "sh", "bash"):
        (python / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(python))
    said = table.burnish("run", *HPC, "--command", "python3 job.py", code=3).stderr
    assert re.search(r"^hpc is not used: `engine: slurm`, but there is no scontrol .* no Slurm there\.$", said, re.M), (
        said
    )
