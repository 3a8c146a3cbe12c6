"""A real cluster for the tests of this folder, and tables that are run on it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gated import Gated
from tests.support.removing import remove_with_tenants
from tests.support.slurm import PROGRAMS, Slurm

INVENTORY = "hosts: {hpc: {engine: slurm, connection: local, slots: 40}}\n"
HIDDEN = "PartitionName=hidden Nodes=ALL Hidden=YES MaxTime=INFINITE State=UP\n"


@pytest.fixture(autouse=True)
def its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who runs sbatch runs that of the cluster."""
    monkeypatch.setenv("PATH", f"{PROGRAMS}{os.environ['PATH']}")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Slurm]:
    """In a folder that other accounts may enter: pytest's own are closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    folder.chmod(0o755)
    made = Slurm(folder / "cluster", partitions=HIDDEN)
    yield made
    made.close()
    remove_with_tenants(folder)


@pytest.fixture
def slurm(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """The cluster, as whoever is logged in here has it."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    return cluster


@pytest.fixture
def table(slurm: Slurm) -> Iterator[Gated]:
    made = Gated.of(None, 4)
    (made.folder / "lab.yaml").write_text(INVENTORY)
    yield made
    for job in slurm.run("squeue", "--noheader", "--format=%A").split():
        slurm.run("scancel", "--signal=KILL", "--full", job)
        slurm.run("scancel", job)
    made.stop()
    slurm.wait_until_idle()
