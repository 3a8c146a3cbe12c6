"""A table of jobs that wait behind gates, here or on hosts of the bench: each runs until the test lets it end.

A gated job says where it is, notes in `ran/` that it runs, waits until its file in `gates/` is there, says one thing more and
ends. It holds a lock on its note: one that finds it held runs beside itself, and leaves the file `doubled-` and its job.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.hosts import Bench
from tests.support.leaving import leave
from tests.support.removing import remove_with_tenants
from tests.support.waiting import wait_for

JOB = """\
import fcntl, os, sys, time
job = os.environ["BURNISH_JOB_ID"]
print("job", job, "on", os.uname().nodename, flush=True)
print("warning of", job, file=sys.stderr, flush=True)
ran = open("ran/" + job, "a")
print(*sys.argv[1:], file=ran, flush=True)
try:
    fcntl.flock(ran, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open("doubled-" + job, "w").close()
while not os.path.exists("gates/" + job):
    time.sleep(0.02)
print("the end of", job, flush=True)
"""


# burnish, but jobs of whatever length count as short: so one successor is claimed ahead, and waits as long as a test does. A run
# that is stopped has the time to take it back, however slow the machine.
PATIENT = "from burnish.core import ahead; ahead.SHORTEST_TRIP, ahead.LONGEST_LINE = 1000, 1; "
PATIENT += "from burnish import coordinator; coordinator.FAREWELL = 30; "
PATIENT += "from burnish.cli.main import main; main()"


@dataclass
class Gated:
    """A folder with the table and `lab.yaml`; commands as a user types them. `enter`: words that run a command elsewhere."""

    bench: Bench | None
    folder: Path
    enter: tuple[str, ...] = ()
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @classmethod
    def of(cls, bench: Bench | None, jobs: int, **cells: Mapping[int, str]) -> Gated:
        """A fresh table. The folder is where the hosts' account may write: pytest's own are closed to others.

        `cells`: of each column besides `n`, what some jobs have there.
        """
        made = cls(bench, Path(tempfile.mkdtemp(prefix="burnish-test-")))
        for name in ("gates", "home", "ran"):
            (made.folder / name).mkdir()
            (made.folder / name).chmod(0o777)
        made.folder.chmod(0o777)
        (made.folder / "job.py").write_text(JOB)
        rows = [["n", *cells]] + [
            [str(job), *(column.get(job, "") for column in cells.values())] for job in range(jobs)
        ]
        (made.folder / "jobs.csv").write_text("".join(",".join(row) + "\n" for row in rows))
        made.burnish("create", "--csv", "jobs.csv")
        return made

    def inventory(self, *names: str, gpus: str = "none", slots: int = 2) -> None:
        """Save `lab.yaml` as editors do."""
        assert self.bench is not None
        defaults = f"ssh_config: {self.bench.config}, gpus: {gpus}, slots: {slots}, workdir: {self.folder}"
        fresh = self.folder / "lab.new"
        fresh.write_text(f"defaults: {{{defaults}}}\nhosts: [{', '.join(names)}]\n")
        fresh.replace(self.folder / "lab.yaml")

    def burnish(
        self, *arguments: str, code: int | None = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which must be `code`, or any if None."""
        done = subprocess.run(
            [sys.executable, "-m", "burnish", *arguments],
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert code in (None, done.returncode), f"burnish {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def start(
        self, *arguments: str, into: str = "said.txt", patient: bool = False, program: str = ""
    ) -> subprocess.Popen[str]:
        """Start a command and leave it running; what it says goes to the file `into`. `program`: Python that calls burnish."""
        program = program or (PATIENT if patient else "")
        words = [*self.enter, sys.executable, *(("-c", program) if program else ("-m", "burnish")), *arguments]
        process = leave(words, self.folder, self.environment, self.folder / into)
        self.running.append(process)
        return process

    def run(self, *options: str, program: str = "") -> subprocess.Popen[str]:
        """Start `burnish run` over lab.yaml. `program`: Python that calls burnish."""
        return self.start("run", "--hosts", "lab.yaml", "--command", "python3 job.py", *options, program=program)

    def orphan(self, jobs: int) -> None:
        """Let a run start `jobs` jobs, and kill it."""
        run = self.run("--num_jobs", str(jobs))
        running = self.wait_running(jobs)
        wait_for(lambda: all(map(self.ran, running)), self.said)  # each has done its first lines
        run.kill()
        run.wait()

    def open(self, *jobs: int) -> None:
        """Let these jobs end."""
        for job in jobs:
            (self.folder / "gates" / str(job)).touch()

    def ran(self, job: int) -> list[str]:
        """The arguments of each time that a job ran."""
        path = self.folder / "ran" / str(job)
        return path.read_text().splitlines() if path.exists() else []

    def said(self, file: str = "said.txt") -> str:
        """What a started command has said so far."""
        return (self.folder / file).read_text()

    def status(self) -> dict[int, dict[str, Any]]:
        """`status --json` by job id."""
        shown = json.loads(self.burnish("status", "--json").stdout)
        return {job["id"]: job for job in shown["jobs"]}

    def running_jobs(self) -> dict[int, str]:
        """Job -> host, of those that run."""
        return {number: job["host"] for number, job in self.status().items() if job["state"] == "RUNNING"}

    def wait_running(self, count: int) -> dict[int, str]:
        """Wait until `count` jobs run; where."""
        wait_for(lambda: len(self.running_jobs()) >= count, lambda: f"{self.status()}\n{self.said()}")
        return self.running_jobs()

    def stop(self) -> None:
        """End what was started, and what that started here. Hosts end with the bench."""
        for process in self.running:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        remove_with_tenants(self.folder)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "HOME": str(self.folder / "home"),
            "BURNISH_LOCK_DIR": str(self.folder / "locks"),
            "BURNISH_GPU_LOCK_DIR": str(self.folder / "gpu-locks"),
        }
