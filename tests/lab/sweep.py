"""A sweep of ledger jobs on a lab: burnish is typed on one machine, jobs run on others over SSH; what they share is on NFS."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

from tests.lab.machines import ROOT, Lab, Machine
from tests.support.sweeps import FATES, LEDGER_JOB, Sweep
from tests.support.waiting import wait_for

SHARED = "/mnt/nfs/project"
COMMAND = "python3 job.py {fate} {work}"


@dataclass
class Run:
    """A `burnish run` that was started on a machine and lives on without us. What it says is on the machine's disk."""

    node: Machine
    files: str

    def said(self) -> str:
        return self.node.run(f"cat {self.files}.said", check=False).stdout

    def over(self) -> bool:
        return bool(self.node.run(f"cat {self.files}.code", check=False).stdout)

    def wait(self, deadline: float = 240) -> int:
        """Wait for its end; its exit code."""
        wait_for(self.over, self.said, deadline)
        return int(self.node.says(f"cat {self.files}.code"))


@dataclass
class LabSweep(Sweep):
    """`desk` is where the table is, and `SHARED` where jobs run and keep their ledger; by default they are the same folder.

    `folder` is a copy of both, made by `check`.
    """

    lab: Lab = field(kw_only=True)
    desk: str = SHARED
    runs: list[Run] = field(default_factory=list)

    @classmethod
    def on(cls, lab: Lab, jobs: int, work: str, slots: int = 2, desk: str = SHARED) -> LabSweep:
        """A fresh table of `jobs` ledger jobs of all fates, each working `work` s, and an inventory of node2 and node3."""
        sweep = cls(lab.folder / "project", lab=lab, desk=desk)
        node = lab.nodes[1]
        node.run(f"mkdir -p {desk} {SHARED}/ledger")
        node.write(f"{SHARED}/job.py", LEDGER_JOB)
        rows = [f"{FATES[number % len(FATES)]},{work}" for number in range(jobs)]
        node.write(f"{desk}/jobs.csv", "\n".join(["fate,work", *rows]) + "\n")
        defaults = f"{{workdir: {SHARED}, gpus: none, slots: {slots}}}"
        node.write(f"{desk}/lab.yaml", f"defaults: {defaults}\nhosts: [node2, node3]\n")
        node.run("sync")  # what we wrote; burnish looks after its own
        sweep.burnish("create", "--csv", "jobs.csv")
        return sweep

    def burnish(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command on node1 to its end."""
        return self.lab.nodes[1].run(f"cd {self.desk} && {_typed(*arguments)}", check=check, timeout=timeout)

    def begin(self, node: int, desk: str = "") -> Run:
        """Start a `burnish run` on a machine. `desk`: another name of that folder."""
        run = Run(self.lab.nodes[node], f"/root/run{len(self.runs)}")
        command = _typed("run", "--hosts", "lab.yaml", "--command", COMMAND)
        run.node.write(
            run.files,
            f"cd {desk or self.desk}\n{command} >{run.files}.said 2>&1 </dev/null\necho $? >{run.files}.code\n",
        )
        run.node.run(f"rm -f {run.files}.code; setsid -f sh {run.files} >/dev/null 2>&1 </dev/null")
        self.runs.append(run)
        return run

    def wait_until_started(self, jobs: int, node: int = 1) -> None:
        """Wait until so many jobs have begun."""

        def enough() -> bool:
            return int(self.lab.nodes[node].says(f"ls {SHARED}/ledger | wc -l")) >= jobs

        wait_for(enough, lambda: self.runs[-1].said(), deadline=120)

    def facts(self, kind: str) -> list[str]:
        """The journal's facts of that kind, as text."""
        found = self.lab.nodes[1].run(f'grep -rh \'"fact":"{kind}"\' {self.desk}/.burnish/burnish.db/log', check=False)
        return found.stdout.splitlines()

    def check(self, *, attempts: int = 1) -> Counter[str]:
        """`Sweep.check`, of what is there now."""
        copied = " ".join(sorted({f"{SHARED}/.", f"{self.desk}/."}))
        self.lab.nodes[1].run(f"rm -rf /mnt/lab/project; mkdir /mnt/lab/project; cp -r {copied} /mnt/lab/project")
        return super().check(attempts=attempts)


def _typed(*arguments: str) -> str:
    """The shell command for `burnish ARGUMENTS`."""
    return f"PYTHONPATH={ROOT} {sys.executable} -m burnish {shlex.join(arguments)}"
