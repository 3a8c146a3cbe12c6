"""A real sweep on this machine: a folder with a table, burnish as a user runs it, and the ledger that its jobs keep.

A ledger job takes a lock of its own without waiting (a second living run of the same job writes DOUBLE), appends `ATTEMPT start`,
works, appends `ATTEMPT end`, and ends as its fate says. `check_ledger` holds what burnish recorded against what the jobs wrote.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.leaving import leave
from tests.support.proc import alive
from tests.support.records import contents
from tests.support.waiting import wait_for

LEDGER_JOB = """\
import fcntl, os, signal, sys, time
job, attempt = os.environ["BURNISH_JOB_ID"], os.environ["BURNISH_ATTEMPT"]
fate, work = sys.argv[1], float(sys.argv[2])
ledger = open(os.path.join("ledger", job), "ab", 0)
try:
    fcntl.flock(ledger, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    ledger.write(b"DOUBLE\\n")
ledger.write(f"{attempt} start\\n".encode())
os.fsync(ledger.fileno())
print("job", job, "attempt", attempt, flush=True)
print("warning on stderr", file=sys.stderr, flush=True)
time.sleep(work)
if fate == "large":
    sys.stdout.write("x" * 3_000_000 + "\\n")
if fate == "binary":
    sys.stdout.buffer.write(bytes(range(256)) * 40)
sys.stdout.flush()
ledger.write(f"{attempt} end\\n".encode())
if fate == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if fate == "segv":
    os.kill(os.getpid(), signal.SIGSEGV)
sys.exit(3 if fate == "fail" else 0)
"""
FATES = ("ok", "ok", "ok", "fail", "kill", "segv", "large", "binary", "ok", "ok")
ENDS = {
    "ok": "exit 0",
    "large": "exit 0",
    "binary": "exit 0",
    "fail": "exit 3",
    "kill": "signal 9",
    "segv": "signal 11",
}


@dataclass
class Sweep:
    """A folder with a table of ledger jobs. `home` keeps the host's state folder out of the developer's own."""

    folder: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    python: str = sys.executable
    program: tuple[str, ...] = ("-m", "burnish")  # what Python runs as burnish
    fates: Sequence[str] = FATES  # of the jobs, in turn

    @classmethod
    def of(cls, folder: Path, jobs: int, work: str | Sequence[str] = "0.05", fates: Sequence[str] = FATES) -> Sweep:
        """A fresh table of `jobs` ledger jobs of all `fates`, each working `work` s, or one of these in turn."""
        works = [work] if isinstance(work, str) else work
        rows = [f"{fates[number % len(fates)]},{works[number % len(works)]}" for number in range(jobs)]
        return cls.from_csv(folder, ["fate,work", *rows], fates)

    @classmethod
    def from_csv(cls, folder: Path, lines: Sequence[str], fates: Sequence[str] = FATES) -> Sweep:
        """A fresh table made of these lines of a CSV, which has `fate` and `work`."""
        sweep = cls(folder, fates=fates)
        (folder / "ledger").mkdir()
        (folder / "home").mkdir()
        (folder / "job.py").write_text(LEDGER_JOB)
        (folder / "jobs.csv").write_text("\n".join(lines) + "\n")
        sweep.burnish("create", "--csv", "jobs.csv")
        return sweep

    @property
    def command(self) -> list[str]:
        return ["run", "--command", f"{self.python} job.py {{fate}} {{work}}"]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.folder / "home"), "BURNISH_LOCK_DIR": str(self.folder / "locks")}

    def burnish(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. With `check`, any exit code but 0 fails the test with what was said."""
        done = subprocess.run(
            [sys.executable, *self.program, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, (
            f"burnish {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Start a `burnish run` and leave it running."""
        return self.start_command(*self.command, *options)

    def start_command(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command and leave it running."""
        said = self.folder / f"run{len(self.running)}.txt"
        process = leave([sys.executable, *self.program, *arguments], self.folder, self.environment, said)
        self.running.append(process)
        return process

    def said(self, process: subprocess.Popen[str]) -> str:
        """What a started command has said so far."""
        return (self.folder / f"run{self.running.index(process)}.txt").read_text()

    def finish(self, *options: str, timeout: float = 300) -> int:
        """One quiet run to the end; its exit code."""
        return self.burnish(*self.command, *options, check=False, timeout=timeout).returncode

    def stop(self) -> None:
        """End what `start` left, and every supervisor and job: by recorded pid."""
        for process in self.running:
            if process.poll() is None:
                process.kill()
                process.wait()
        for record in self.starts():
            kill_if_alive(record["go"]["supervisor"])

    # -- what there is ---------------------------------------------------------------------------------------------

    def status(self) -> dict[int, dict[str, Any]]:
        """`status --json` by job id."""
        shown = json.loads(self.burnish("status", "--json").stdout)
        return {job["id"]: job for job in shown["jobs"]}

    def ledger(self, job: int) -> list[str]:
        """The lines that a job wrote, in order."""
        path = self.folder / "ledger" / str(job)
        return path.read_text().splitlines() if path.exists() else []

    def starts(self) -> list[dict[str, Any]]:
        """Every start.json with a `go` that its host still keeps."""
        return [record for record in contents(self.folder / "home" / ".burnish", "start.json") if "go" in record]

    def log(self, job: dict[str, Any], suffix: str = ".log") -> bytes:
        """The newest log of a job."""
        logs = sorted((self.folder / "burnish_log" / "burnish").glob(f"*_job_{job['id']}{suffix}"))
        return logs[-1].read_bytes()

    def check(self, *, attempts: int = 1) -> Counter[str]:
        """Hold the end of the sweep against the ledger; how many attempts jobs needed, counted by attempts.

        Every job ended as its fate says; no two runs of a job lived together; no attempt started twice; the newest attempt ran to
        its end, and its logs are whole; at most `attempts` started.
        """
        status = self.status()
        table = (self.folder / "burnish.db").read_text().splitlines()[1:]
        needed: Counter[str] = Counter()
        for number, job in status.items():
            fate = self.fates[number % len(self.fates)]
            lines = self.ledger(number)
            assert job["reason"] == ENDS[fate], (job, lines)
            assert table[number].split(",")[1] == job["state"], table[number]
            assert "DOUBLE" not in lines, (job, lines)
            begun = [line for line in lines if line.endswith("start")]
            assert len(begun) == len(set(begun)), (job, lines)
            assert 1 <= len(begun) <= attempts, (job, lines)
            assert lines[-1] == begun[-1].replace("start", "end"), (job, lines)
            assert self.log(job).startswith(f"job {number} attempt {begun[-1].split()[0]}\n".encode())
            assert self.log(job, ".err") == b"warning on stderr\n"
            if fate == "large":
                assert self.log(job).endswith(b"x" * 3_000_000 + b"\n")
            if fate == "binary":
                assert self.log(job).endswith(bytes(range(256)) * 40)
            needed[str(len(begun))] += 1
        return needed


def children(pid: int) -> list[int]:
    """Pids of the processes whose parent is `pid`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found.append(int(path.parent.name))
    return found


def kill_if_alive(process: dict[str, int]) -> bool:
    """SIGKILL a process that is still the one that was recorded (pid and start time). True if it was."""
    try:
        stat = Path(f"/proc/{process['pid']}/stat").read_text()
        if int(stat.rpartition(")")[2].split()[19]) != process["starttime"]:
            return False
        os.kill(process["pid"], signal.SIGKILL)
        return True
    except (OSError, ValueError):
        return False


def wait_until_gone(pid: int) -> None:
    """Wait until no process has this pid any more (or it is a zombie that nobody reaps)."""
    wait_for(lambda: not alive(pid), f"pid {pid} lives")
