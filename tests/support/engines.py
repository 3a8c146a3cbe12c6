"""The engines that start jobs, each as one host `there` of an inventory: this machine, one over SSH, a Slurm cluster.

What a test says of `there` must hold on all of them.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.gated import Gated
from tests.support.hosts import Bench
from tests.support.slurm import PROGRAMS, Slurm
from tests.support.waiting import wait_for

ENGINES = ("local", "ssh", "slurm")
ON = ("--hosts", "lab.yaml")
GONE = 30.0  # s until nothing of a sweep is left that was cancelled


@dataclass(frozen=True)
class Engine:
    """One engine, and what its entry of the inventory says of it."""

    name: str
    words: dict[str, object]

    def inventory(self, table: Gated, **settings: object) -> None:
        """Save the table's lab.yaml, as editors do: the host `there` with four slots, unless `settings` say otherwise.

        Its state folder is the table's own, so that slots of one test are not another's.
        """
        common = {"workdir": str(table.folder), "state_dir": str(table.folder / "state"), "slots": 4}
        fresh = table.folder / "lab.new"
        fresh.write_text(json.dumps({"hosts": {"there": {**self.words, **common, **settings}}}))
        fresh.replace(table.folder / "lab.yaml")

    @contextmanager
    def table(self, jobs: int, **settings: object) -> Iterator[Gated]:
        """A table of gated jobs and its inventory. In the end nothing is left of its jobs, and none ran beside itself."""
        made = Gated.of(None, jobs)
        self.inventory(made, **settings)
        try:
            yield made
            made.burnish("cancel", "--all")
            wait_for(lambda: not processes(made.folder), lambda: processes(made.folder), GONE)
            assert not list(made.folder.glob("doubled-*"))
        finally:
            made.stop()


def processes(folder: Path) -> dict[int, str]:
    """Pid -> command line of every job, whatever the machine, whose state folder is in `folder`."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"BURNISH_RESULT={folder}/".encode() in (process / "environ").read_bytes():
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # gone meanwhile
    return found


def environment_of(pid: int) -> dict[str, str]:
    """What a process was started with; empty if it is gone."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def parent_of(pid: int) -> int:
    """Raises OSError if it is gone."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def engine(name: str) -> Iterator[Engine]:
    """One of ENGINES, for as long as its tests run; whoever runs sbatch meanwhile runs that of the cluster."""
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    folder.chmod(0o755)  # others may enter it, which pytest's own are closed to
    try:
        if name == "local":
            yield Engine(name, {"connection": "local", "gpus": "none"})
        elif name == "ssh":
            bench = Bench(folder)
            try:
                bench.add("there")
                yield Engine(name, {"ssh_config": str(bench.config), "gpus": "none"})
            finally:
                bench.close()
        else:
            cluster = Slurm(folder / "cluster")
            try:
                with pytest.MonkeyPatch.context() as environment:
                    environment.setenv("PATH", f"{PROGRAMS}{os.environ['PATH']}")
                    for variable, value in cluster.environment.items():
                        environment.setenv(variable, value)
                    yield Engine(name, {"engine": "slurm", "connection": "local"})
            finally:
                cluster.close()
    finally:
        shutil.rmtree(folder)
