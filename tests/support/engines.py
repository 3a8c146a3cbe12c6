"""The engines that start jobs, each as one host `there` of an inventory: this machine, one over SSH, a Slurm cluster from its own
machine, and one from the desk, over SSH to its login node.

What a test says of `there` must hold on all of them.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import plain
from tests.support.gated import Gated
from tests.support.hosts import ACCOUNT, Bench
from tests.support.one_host import PYTHON
from tests.support.proc import processes, tenants
from tests.support.removing import remove_with_tenants
from tests.support.slurm import PROGRAMS, Slurm
from tests.support.sshd_here import SshdHere
from tests.support.waiting import wait_for

DIRECT = ("local", "ssh", "slurm")
ENGINES = (*DIRECT, "slurm over ssh")
ON = ("--hosts", "lab.yaml")
GONE = 30.0  # s until nothing of a sweep is left that was cancelled


@dataclass(frozen=True)
class Engine:
    """One engine, and what its entry of the inventory says of it.

    `home`: of the account there; "" where it is that of the table. `left`: tells what the engine has yet to run or to end.
    """

    name: str
    words: dict[str, object]
    home: str = ""
    left: Callable[[], object] = str

    def inventory(self, table: Gated, **settings: object) -> None:
        """Save the table's lab.yaml, as editors do: the host `there` with four slots, unless `settings` say otherwise.

        Its state folder is the table's own, so that slots of one test are not another's.
        """
        common = {"workdir": str(table.folder), "state_dir": str(table.folder / "state"), "slots": 4}
        fresh = table.folder / "lab.new"
        fresh.write_text(json.dumps({"hosts": {"there": {**self.words, **common, **settings}}}))
        fresh.replace(table.folder / "lab.yaml")

    @contextmanager
    def table(self, jobs: int) -> Iterator[Gated]:
        """A table of gated jobs and its inventory. In the end nothing is left of its jobs, and none ran beside itself."""
        made = Gated.of(None, jobs)
        try:
            self.inventory(made)
            yield made
            made.burnish("cancel", "--all")
            wait_for(lambda: not any(self._remains(made)), lambda: self._remains(made), GONE)
            assert not list(made.folder.glob("doubled-*"))
        finally:
            made.stop()

    def _remains(self, table: Gated) -> tuple[object, ...]:
        """What goes on of a table: its jobs, whatever else has to do with its folder, and what the engine knows."""
        return processes(table.folder), tenants(table.folder), self.left()


@contextmanager
def engine(name: str) -> Iterator[Engine]:
    """One of ENGINES, for as long as its tests run; whoever runs sbatch meanwhile runs that of the cluster."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))
        stack.callback(remove_with_tenants, folder)
        folder.chmod(0o755)  # others may enter it, which pytest's own are closed to
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        plain.clear(environment)
        if name == "local":
            yield Engine(name, {"connection": "local", "gpus": "none"})
        elif name == "ssh":
            bench = stack.enter_context(closing(Bench(folder)))
            bench.add("there")
            yield Engine(name, {"ssh_config": str(bench.config), "gpus": "none"}, f"/home/{ACCOUNT}")
        else:
            cluster = stack.enter_context(closing(Slurm(folder / "cluster")))
            environment.setenv("PATH", f"{PROGRAMS}{os.environ['PATH']}")
            for variable, value in cluster.environment.items():
                environment.setenv(variable, value)
            words, home = {"connection": "local"}, ""
            if name == "slurm over ssh":
                words, home = _login_node(stack, folder), f"{folder}/home"
            yield Engine(name, {"engine": "slurm", **words}, home, lambda: cluster.run("squeue", "--noheader"))


def _login_node(stack: ExitStack, folder: Path) -> dict[str, str]:
    """A machine among the cluster's own, which knows its commands; its account has its home and its locks in `folder`."""
    for made in ("sshd", "home"):
        (folder / made).mkdir()
    sshd = stack.enter_context(closing(SshdHere(folder / "sshd", "there")))
    with pytest.MonkeyPatch.context() as account:
        account.setenv("HOME", f"{folder}/home")
        account.setenv("BURNISH_LOCK_DIR", f"{folder}/locks")
        entry = sshd.entry(PYTHON)
    return {"ssh_config": str(entry.ssh_config), "python": entry.python}
