"""Hosts that are hard to tell apart: one home for all, one machine-id for two, two names for one machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import gpus
from tests.support.gated import Gated
from tests.support.hosts import ACCOUNT, Bench
from tests.support.removing import remove
from tests.support.waiting import wait_for

JOBS = 6


@pytest.fixture
def table(bench: Bench) -> Iterator[Gated]:
    made = Gated.of(bench, JOBS)
    yield made
    made.stop()


def state_folders(home: Path) -> list[str]:
    return sorted(path.name.rpartition("-")[0] for path in (home / ".burnish").iterdir())


def test_hosts_that_share_a_home_are_hosts_of_their_own(bench: Bench, table: Gated) -> None:
    first = bench.add("gpu1")
    for name in ("gpu2", "gpu3"):
        bench.add(name, home_of=first)
    table.inventory("gpu1", "gpu2", "gpu3", slots=1)
    table.orphan(3)
    before = table.running_jobs()
    assert set(before.values()) == {"gpu1", "gpu2", "gpu3"}
    assert state_folders(first.home) == ["gpu1", "gpu2", "gpu3"]
    bench.hosts["gpu2"].stop()
    bench.hosts["gpu2"].start()
    [lost] = [job for job, host in before.items() if host == "gpu2"]
    run = table.run()
    wait_for(lambda: "host rebooted" in table.burnish("explain", str(lost)).stdout, table.status)
    assert {job: host for job, host in before.items() if job != lost}.items() <= table.running_jobs().items()
    table.open(*range(JOBS))
    assert run.wait(60) == 0, table.said()
    assert {job: status["attempt"] for job, status in table.status().items()} == {
        job: f"{job}.{2 if job == lost else 1}" for job in range(JOBS)
    }, "what ran on the others was left alone"


def test_cloned_machines_with_one_machine_id_are_two_hosts(bench: Bench, table: Gated) -> None:
    one, other = bench.add("gpu1"), bench.add("gpu2")
    (other.folder / "machine-id").write_text((one.folder / "machine-id").read_text())
    table.inventory("gpu1", "gpu2")
    run = table.run()
    assert set(table.wait_running(4).values()) == {"gpu1", "gpu2"}
    table.open(*range(JOBS))
    assert run.wait(60) == 0, table.said()


def test_machine_that_was_cloned_with_its_state_folder_is_named_and_gets_no_jobs(bench: Bench, table: Gated) -> None:
    one = bench.add("gpu1")
    table.inventory("gpu1")
    table.burnish("hosts", "lab.yaml")
    clone = bench.add("clone")
    clone.stop()
    clone.name = "gpu1"
    (clone.folder / "machine-id").write_text((one.folder / "machine-id").read_text())
    shutil.copytree(one.home / ".burnish", clone.home / ".burnish")
    for path in (clone.home / ".burnish", *(clone.home / ".burnish").rglob("*")):
        os.chown(path, one.home.stat().st_uid, one.home.stat().st_gid)
    clone.start()
    table.inventory("gpu1", "clone")
    run = table.run()
    wait_for(lambda: "is the same host as" in table.said(), table.said)
    assert "a cloned machine has a copy of the state folder: remove it there" in table.said()
    table.open(*range(JOBS))
    assert run.wait(60) == 0, table.said()
    for folder in (clone.home / ".burnish").iterdir():
        remove(folder)
    assert "2 hosts" in table.burnish("hosts", "lab.yaml").stdout
    assert "same host" not in table.burnish("check", "lab.yaml").stdout


def test_second_state_folder_of_a_machine_has_cpu_slots_and_no_gpus_of_its_own(
    bench: Bench, table: Gated, tmp_path: Path
) -> None:
    gpus.write(tmp_path / "cards", gpus.cards(2))
    host = bench.add("gpu1", gpus=tmp_path / "cards")
    bench.configure(f"Host alias\n  HostName {host.address}\n  Port {host.port}\n  User {ACCOUNT}\n")
    defaults = f"defaults: {{ssh_config: {bench.config}, workdir: {table.folder}, slots: 1}}\n"
    (table.folder / "lab.yaml").write_text(f"{defaults}hosts: {{gpu1: , alias: {{state_dir: ~/other}}}}\n")
    run = table.run()
    where = table.wait_running(4)
    assert len(where) == 4, "two GPUs, and a CPU slot under each name"
    running = [table.status()[job] for job in where]
    assert sorted(job["gpus"] for job in running) == [[], [], ["0"], ["1"]]
    assert {job["host"] for job in running if not job["gpus"]} == {"gpu1", "alias"}
    assert "same host" not in table.said()
    table.open(*range(JOBS))
    assert run.wait(60) == 0, table.said()
