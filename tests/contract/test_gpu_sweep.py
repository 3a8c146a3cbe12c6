"""Sweeps over hosts with GPUs, by the user's own commands: each job has a GPU to itself, and bad places are left alone.

A job makes a folder for each GPU that CUDA may see, works, and removes it: two jobs on one GPU would meet there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support import gpus
from tests.support.hosts import Bench
from tests.support.records import contents
from tests.support.removing import remove_with_tenants
from tests.support.sweeps import kill_if_alive

JOB = """\
set -e
for gpu in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do mkdir "at/$BURNISH_HOST-$gpu"; done
echo "$CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER"
sleep 0.3
for gpu in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do rmdir "at/$BURNISH_HOST-$gpu"; done
"""


@dataclass
class Lab:
    """A folder that every host can write to, with an inventory, and tables below it."""

    folder: Path
    runs: list[subprocess.Popen[str]] = field(default_factory=list)

    def table(self, name: str, jobs: int, wanted: str = "") -> None:
        """`wanted`: the GPUS cell of each job, one character each."""
        (self.folder / name).mkdir()
        rows = [f"{number},{wanted[number : number + 1]}" for number in range(jobs)]
        (self.folder / name / "jobs.csv").write_text("n,GPUS\n" + "\n".join(rows) + "\n")
        self.burnish(name, "create", "--csv", "jobs.csv")

    def inventory(self, text: str) -> None:
        (self.folder / "lab.yaml").write_text(text)

    def burnish(self, table: str, *arguments: str) -> str:
        command = [sys.executable, "-m", "burnish", *arguments]
        done = subprocess.run(
            command, cwd=self.folder / table, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, table: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "burnish", "run", "--hosts", "../lab.yaml", "--command", "sh job.sh {n}"]
        run = subprocess.Popen(
            command,
            cwd=self.folder / table,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.runs.append(run)
        return run

    def run(self, table: str) -> str:
        """What a run says, to its end."""
        return self.start(table).communicate(timeout=120)[0]

    def claims(self, table: str) -> list[str]:
        """The host of each claim."""
        commits = (self.folder / table / ".burnish").rglob("log/*/*.jsonl")
        facts = [json.loads(line) for commit in commits for line in commit.read_text().splitlines()[1:]]
        return [fact["host"] for fact in facts if fact["fact"] == "AttemptClaimed"]

    def jobs(self, table: str) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = json.loads(self.burnish(table, "status", "--json"))["jobs"]
        return shown

    def masks(self, table: str) -> Counter[str]:
        """What its jobs saw, as `<mask> <order>`, and how many saw it."""
        logs = (self.folder / table / "burnish_log" / "burnish").glob("*.log")
        return Counter(log.read_text().strip() for log in logs)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.folder / "home"), "BURNISH_LOCK_DIR": str(self.folder / "locks")}

    def stop(self) -> None:
        for run in self.runs:
            if run.poll() is None:
                run.kill()
                run.wait()
        for record in contents(self.folder / "home", "start.json"):
            if "go" in record:
                kill_if_alive(record["go"]["supervisor"])


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Where the hosts' account may write: pytest's own folders are closed to others."""
    made = Lab(Path(tempfile.mkdtemp(prefix="burnish-test-")))
    for name in ("", "at", "home"):
        (made.folder / name).mkdir(exist_ok=True)
        (made.folder / name).chmod(0o777)
    (made.folder / "job.sh").write_text(JOB)
    try:
        yield made
    finally:
        made.stop()
        remove_with_tenants(made.folder)


@pytest.fixture
def local(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """This machine as the one host, with two GPUs."""
    monkeypatch.setenv("PATH", f"{gpus.FAKES}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_GPUS", str(lab.folder / "gpus"))
    monkeypatch.setenv("BURNISH_GPU_LOCK_DIR", str(lab.folder / "gpu-locks"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus.write(lab.folder / "gpus", gpus.cards(2))
    lab.inventory(f"defaults: {{workdir: {lab.folder}}}\nhosts: {{desk: {{connection: local}}}}\n")
    return lab


def words(jobs: list[dict[str, Any]]) -> Counter[str]:
    return Counter(str(job["state"]) for job in jobs)


def test_two_tables_share_the_gpus_of_ssh_hosts_but_no_gpu(lab: Lab, bench: Bench, tmp_path: Path) -> None:
    gpus.write(tmp_path / "recording", gpus.cards(2))
    for name in ("gpu1", "gpu2"):
        bench.add(name, gpus=tmp_path / "recording")
    lab.inventory(f"defaults: {{ssh_config: {bench.config}, workdir: {lab.folder}}}\nhosts: [gpu1, gpu2]\n")
    for table in ("one", "two"):
        lab.table(table, 12)
    runs = [lab.start("one"), lab.start("two")]
    said = [run.communicate(timeout=120)[0] for run in runs]
    for table in ("one", "two"):
        assert words(lab.jobs(table)) == {"COMPLETE": 12}, said
        assert sum(lab.masks(table).values()) == 12
        assert set(lab.masks(table)) <= {"0 PCI_BUS_ID", "1 PCI_BUS_ID"}
    assert {job["host"] for table in ("one", "two") for job in lab.jobs(table)} == {"gpu1", "gpu2"}
    assert set(lab.masks("one") + lab.masks("two")) == {"0 PCI_BUS_ID", "1 PCI_BUS_ID"}


def test_gpus_that_other_people_use_or_that_are_absent_are_left_alone(local: Lab) -> None:
    busy = gpus.Card(2, bus=0x20, used=14_000, processes=[(os.getpid(), 13_900)])
    gpus.write(local.folder / "gpus", [gpus.Card(1, bus=0x10), busy])
    local.inventory(f"defaults: {{workdir: {local.folder}}}\nhosts: {{desk: {{connection: local, gpus: [0, 1, 7]}}}}\n")
    local.table("one", 4)
    said = local.run("one")
    assert local.masks("one") == {"0 PCI_BUS_ID": 4}, said
    there = f"desk has 0 ({gpus.uuid(1)}), 1 ({gpus.uuid(2)})"
    assert f"desk: there is no GPU 7; {there}. Nothing is started on GPU 7." in said


def test_sweep_over_ssh_hosts_that_say_what_real_machines_said(lab: Lab, bench: Bench, tmp_path: Path) -> None:
    """An idle H200, one cut into MIG devices of which two are ours, and eight V100S that all belong to somebody else."""
    parts = [f"MIG-0000000{number}-0000-0000-0000-00000000000{number}" for number in (2, 3)]
    for name, machine in (("gpu1", "h200-idle"), ("gpu2", "h200-mig-load"), ("gpu3", "v100s-x8")):
        gpus.replay(tmp_path / machine, machine)
        bench.add(name, gpus=tmp_path / machine)
    lab.inventory(
        f"defaults: {{ssh_config: {bench.config}, workdir: {lab.folder}}}\n"
        f"hosts: {{gpu1: {{}}, gpu2: {{gpus: [{', '.join(parts)}]}}, gpu3: {{}}}}\n"
    )
    lab.table("one", 9)
    said = lab.run("one")
    assert words(lab.jobs("one")) == {"COMPLETE": 9}, said
    assert set(lab.masks("one")) <= {f"{gpu} PCI_BUS_ID" for gpu in ("0", *parts)}
    assert {job["host"] for job in lab.jobs("one")} <= {"gpu1", "gpu2"}
    page = lab.burnish("one", "hosts", "../lab.yaml").splitlines()
    assert page[0] == "3 hosts: 10 GPUs, 2 free"
    rows = [line for line in page if "Tesla V100S-PCIE-32GB" in line]
    assert len(rows) == 8 and "30.9/32 GiB" in rows[0] and "? (30.9 GiB)" in rows[0], page
    (row,) = [line for line in page if line.startswith("gpu1")]
    assert "NVIDIA H200" in row and "0.0/140 GiB" in row


def test_card_that_must_be_reset_gets_no_job_over_ssh(lab: Lab, bench: Bench, tmp_path: Path) -> None:
    """It lists no memory in use, and nvidia-smi ends well: without a word about it, it would look like the idlest of all."""
    broken = gpus.Card(2, bus=0x20, used=0, util="[GPU requires reset]", pstate="[GPU requires reset]")
    gpus.write(tmp_path / "cards", [gpus.Card(1, bus=0x10), broken])
    bench.add("gpu1", gpus=tmp_path / "cards")
    lab.inventory(f"defaults: {{ssh_config: {bench.config}, workdir: {lab.folder}}}\nhosts: [gpu1]\n")
    lab.table("one", 4)
    said = lab.run("one")
    assert lab.masks("one") == {"0 PCI_BUS_ID": 4}, said
    assert "gpu1: nvidia-smi says of GPU 1: GPU requires reset. Nothing is started on GPU 1." in said
    shown = lab.burnish("one", "hosts", "../lab.yaml")
    assert shown.startswith("1 host: 2 GPUs, 1 free\n") and "GPU requires reset" in shown
    assert "nvidia-smi --gpu-reset -i 1" in lab.burnish("one", "check", "../lab.yaml")


def test_auto_is_narrowed_to_what_logins_see(lab: Lab, bench: Bench, tmp_path: Path) -> None:
    gpus.write(tmp_path / "recording", gpus.cards(3))
    bench.add("gpu1", shell="zsh", rc={".zshenv": "export CUDA_VISIBLE_DEVICES=2,1\n"}, gpus=tmp_path / "recording")
    lab.inventory(f"defaults: {{ssh_config: {bench.config}, workdir: {lab.folder}}}\nhosts: [gpu1]\n")
    lab.table("one", 6)
    said = lab.run("one")
    assert words(lab.jobs("one")) == {"COMPLETE": 6}, said
    assert set(lab.masks("one")) == {"1 PCI_BUS_ID", "2 PCI_BUS_ID"}
    assert "gpu1: logins there have CUDA_VISIBLE_DEVICES=2,1. Of its GPUs, used: 2, 1." in said
    shown = lab.burnish("one", "hosts", "../lab.yaml", "--free").splitlines()
    assert [line.split()[:2] for line in shown if line.startswith("gpu1")] == [["gpu1", "1"], ["gpu1", "2"]]
    assert "CUDA_VISIBLE_DEVICES=2,1: GPU 2, 1 used" in lab.burnish("one", "check", "../lab.yaml")


def test_cpu_slots_beside_gpus_see_none_of_them(local: Lab) -> None:
    local.inventory(
        f"defaults: {{workdir: {local.folder}}}\nhosts: {{desk: {{connection: local, gpus: none, slots: 1}}}}\n"
    )
    local.table("one", 2)
    local.run("one")
    assert local.masks("one") == {"PCI_BUS_ID": 2}


def test_shares_of_a_gpu_run_beside_each_other(local: Lab) -> None:
    (local.folder / "job.sh").write_text(JOB.replace('$CUDA_VISIBLE_DEVICES"', '$CUDA_VISIBLE_DEVICES-$BURNISH_SLOT"'))
    local.inventory(
        f"defaults: {{workdir: {local.folder}, slots_per_gpu: 2}}\nhosts: {{desk: {{connection: local}}}}\n"
    )
    local.table("one", 8)
    said = local.run("one")
    assert words(local.jobs("one")) == {"COMPLETE": 8}, said
    assert len(local.masks("one")) == 2


def test_host_on_which_nothing_can_run_gets_three_jobs_and_what_was_claimed_ahead(lab: Lab, bench: Bench) -> None:
    bench.add("gpu1")
    bench.add("gpu2")
    lab.inventory(
        f"defaults: {{ssh_config: {bench.config}, workdir: {lab.folder}, slots: 1}}\n"
        "hosts: {gpu1: {setup: PATH=/nowhere}, gpu2: {}}\n"
    )
    (lab.folder / "job.sh").write_text("exec sleep 0.5")
    lab.table("one", 12)
    said = lab.run("one")
    jobs = lab.jobs("one")
    assert words(jobs)["COMPLETE"] == 12 and {job["host"] for job in jobs} == {"gpu2"}, said
    assert 3 <= lab.claims("one").count("gpu1") <= 5
    assert "gpu1 gets no more jobs until this is mended: no program sh in PATH (/nowhere)." in said


def test_host_on_which_every_job_fails_does_not_eat_the_sweep(lab: Lab, bench: Bench) -> None:
    """Its python lacks a module, say: the command runs, and fails at once, faster than those elsewhere come to their end."""
    bench.add("gpu1")
    bench.add("gpu2")
    lab.inventory(
        f"defaults: {{ssh_config: {bench.config}, workdir: {lab.folder}, slots: 2}}\nhosts: {{gpu1: {{}}, gpu2: {{}}}}\n"
    )
    (lab.folder / "job.sh").write_text('if [ "$BURNISH_HOST" = gpu1 ]; then exit 1; else exec sleep 0.5; fi')
    lab.table("one", 40)
    said = lab.run("one")
    jobs = lab.jobs("one")
    assert {job["host"] for job in jobs if job["state"] == "ERROR"} == {"gpu1"}, said
    assert 3 <= words(jobs)["ERROR"] <= 7, said  # and what was on its way by then
    assert "gpu1 is drained: " in said and "while those elsewhere ended well" in said


def test_job_with_gpus_2_gets_two_devices_of_one_host_and_shares_neither(local: Lab) -> None:
    local.table("one", 6, "121210")
    said = local.start("one").communicate(timeout=120)[0]
    assert "Job 5 could not be started: it needs a slot without a GPU, and no host of this run has that." in said
    assert words(local.jobs("one")) == {"COMPLETE": 5, "NOT_RUNNING": 1}
    seen = local.masks("one")
    assert seen["0,1 PCI_BUS_ID"] == 2 and seen.total() == 5
