"""A sweep of ledger jobs on a lab: burnish is typed on one machine, jobs run on others over SSH; what they share is on NFS."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
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
    runner: Sequence[str] = ("--command", COMMAND)
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
        command = _typed("run", "--hosts", "lab.yaml", *self.runner)
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


class DigitsSweep(LabSweep):
    """The README's sweep of test_dir/ with the README's runner. Each start of a job is noted in the ledger, by its `python3`."""

    @classmethod
    def on(cls, lab: Lab, workers: Sequence[Machine]) -> DigitsSweep:  # type: ignore[override]
        """A fresh table of the grid, and an inventory of one slot on each of `workers`."""
        sweep = cls(lab.folder / "project", lab=lab, runner=("--func", "example.runner"))
        node = lab.nodes[1]
        node.run(f"mkdir -p {SHARED}/ledger {SHARED}/bin && cp {ROOT}/test_dir/*.py {ROOT}/test_dir/*.yaml {SHARED}")
        noted = f'#!/bin/sh\necho "$BURNISH_ATTEMPT" >>{SHARED}/ledger/$BURNISH_JOB_ID\nexec {sys.executable} "$@"\n'
        node.write(f"{SHARED}/bin/python3", noted)
        node.run(f"chmod +x {SHARED}/bin/python3")
        defaults = f"{{workdir: {SHARED}, gpus: none, slots: 1, env: {{PATH: '{SHARED}/bin:/usr/bin:/bin'}}}}"
        names = ", ".join(worker.name for worker in workers)
        node.write(f"{SHARED}/lab.yaml", f"defaults: {defaults}\nhosts: [{names}]\n")
        node.run("sync")
        sweep.burnish("create", "--yaml", "test.yaml")
        return sweep

    def check_digits(self) -> None:
        """Every job is COMPLETE with a result and a whole log; one was started again only where an attempt was lost."""
        lost = [json.loads(fact)["attempt"] for fact in self.facts("AttemptLost")]
        ledger = self.lab.nodes[1].says(f"cd {SHARED}/ledger && grep . *").splitlines()
        starts = Counter(line.partition(":")[0] for line in ledger)
        assert len(set(ledger)) == len(ledger), "an attempt was started twice"
        status = self.status()
        assert len(status) == 12
        for job, row in status.items():
            assert row["state"] == "COMPLETE", row
            assert row["result"]["accuracy"] > 0.5, row
            again = sum(attempt.partition(".")[0] == str(job) for attempt in lost)
            assert 1 <= starts[str(job)] <= 1 + again, (
                f"job {job} was started {starts[str(job)]} times, lost {again} times"
            )
            assert "accuracy" in self.burnish("view", str(job), "--tail", "1").stdout


def _typed(*arguments: str) -> str:
    """The shell command for `burnish ARGUMENTS`."""
    return f"PYTHONPATH={ROOT} {sys.executable} -m burnish {shlex.join(arguments)}"
