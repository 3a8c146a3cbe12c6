"""Each folder that burnish writes to, on a disk that is full or broken in each way, at each moment: burnish's word stays true.

A matrix of real sweeps on this machine, whose jobs keep a ledger on another disk. Whatever is refused: no verdict is invented or
lost and nothing starts twice; what is refused is said, with its path and the reason; and when the trouble is over all completes,
without another run. Two runs may end with that sentence: one that finds its folder refused when it starts, and one whose work is
done, and of which the disk takes the journal and not the table. The same command goes on when the trouble is over.

`make test` takes the share below; BURNISH_TEST_SWEEP=all takes everything but what has no meaning (`meaningless`).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from tests.support.bad_disks import Closed, Full, ReadOnly, Refusing, Target, Trouble, descendants
from tests.support.records import contents
from tests.support.sweeps import ENDS, Sweep
from tests.support.waiting import wait_for

PLACES = ("state", "locks", "table", "logs")
TROUBLES: dict[str, Callable[[], Trouble]] = {
    "tmpfs full": lambda: Full("tmpfs"),
    "ext4 full": lambda: Full("ext4"),
    "no inodes": lambda: Full("tmpfs", files=True),
    "quota": lambda: Refusing("EDQUOT", ("quota",)),
    "read-only": ReadOnly,
    "bad sector": lambda: Refusing("EIO", ("nput/output error",), "fsync,fdatasync"),
    "mode 0500": Closed,
}
MOMENTS = ("before", "running", "exit", "store")

FOLDERS = {"state": "home/.burnish", "locks": "locks", "table": "disk", "logs": "burnish_log"}
SIZES = {"state": 2 << 20, "locks": 64 << 10, "table": 1 << 20, "logs": 64 << 10}  # bytes
CALLS = {
    "state": "mkdir,mkdirat,link,linkat,symlink,symlinkat,fallocate",
    "locks": "rename,renameat,renameat2,pwrite64",
    "table": "mkdir,mkdirat,link,linkat,symlink,symlinkat,rename,renameat,renameat2",
    "logs": "write",
}

# What a run that starts does not wait for: its own folders, and a host that turns it away.
ENDS_AT_ONCE = {*product(("table", "logs"), TROUBLES), *product(("state", "locks"), ("read-only", "mode 0500"))}


def meaningless(place: str, trouble: str, moment: str) -> str:
    """Why this case is left out; "" for one that is not."""
    if (place, moment) == ("logs", "store"):
        return (
            "jobs of this machine write their logs themselves, and nothing is made of them when the verdict is stored"
        )
    if (place, trouble) == ("locks", "bad sector"):
        return "nothing of the locks is synced"
    if (place, moment) == ("logs", "before") and TROUBLES[trouble]().injected:
        return "it is injected on the logs' files, whose names are not known before"
    return ""


Case = tuple[str, str, str]
ALL: list[Case] = [case for case in product(PLACES, TROUBLES, MOMENTS) if not meaningless(*case)]
SHARE: list[Case] = [
    ("state", "tmpfs full", "before"),
    ("state", "no inodes", "running"),
    ("state", "ext4 full", "exit"),
    ("state", "read-only", "exit"),
    ("state", "quota", "store"),
    ("locks", "mode 0500", "before"),
    ("locks", "tmpfs full", "running"),
    ("locks", "quota", "exit"),
    ("table", "ext4 full", "before"),
    ("table", "read-only", "running"),
    ("table", "bad sector", "exit"),
    ("table", "mode 0500", "store"),
    ("logs", "no inodes", "before"),
    ("logs", "read-only", "running"),
    ("logs", "quota", "exit"),
]

JOBS = 8
FATES = ("ok", "fail", "kill")
JOB = """\
import fcntl, os, signal, sys, time
job, attempt = os.environ["BURNISH_JOB_ID"], os.environ["BURNISH_ATTEMPT"]
def say(stream, text):
    try:
        os.write(stream, text)
    except OSError:
        pass  # a job that goes on though its log is refused
ledger = open("ledger/" + job, "ab", 0)
try:
    fcntl.flock(ledger, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    ledger.write(b"DOUBLE\\n")
ledger.write(f"{attempt} start\\n".encode())
say(1, f"job {job} attempt {attempt}\\n".encode())
while not os.path.exists("gates/" + job):
    time.sleep(0.02)
say(2, b"the end\\n")
ledger.write(f"{attempt} end\\n".encode())
if sys.argv[1] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(3 if sys.argv[1] == "fail" else 0)
"""
# burnish in a hurry, whose agents begin when the test lets them.
PROGRAM = """\
from burnish import coordinator, orders, projection
from burnish.remote import transport
coordinator.TROUBLE = orders.AGAIN = projection.AGAIN = 1.0
transport.LocalTransport.__init__.__defaults__ = ({python!r}, "localhost")
from burnish.cli.main import main
main()
"""
AGENT = """\
#!/bin/sh
test -e {folder}/may || echo $$ > {folder}/agent
until test -e {folder}/may; do sleep 0.05; done
exec {python} "$@"
"""
# Root's files are its own, but it has no power over their modes: an ordinary user.
ORDINARY = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override", "--")


@dataclass
class Bench:
    """A sweep of jobs behind gates, one of whose folders is on a disk of its own."""

    sweep: Sweep
    place: str
    trouble: Trouble
    begun: bool = False

    @property
    def disk(self) -> Path:
        return self.sweep.folder / FOLDERS[self.place]

    def run(self) -> subprocess.Popen[str]:
        """Start a run, as an ordinary user."""
        command = [sys.executable, *self.sweep.program, *self.sweep.command, "--num_workers", "2"]
        said = self.sweep.folder / f"run{len(self.sweep.running)}.txt"
        with said.open("w") as file:
            run = subprocess.Popen(
                [*ORDINARY, *command], cwd=self.sweep.folder, env=self.sweep.environment, stdin=subprocess.DEVNULL,
                stdout=file, stderr=file, text=True,
            )  # fmt: skip
        self.sweep.running.append(run)
        return run

    def open(self, *jobs: int) -> None:
        """Let these jobs end."""
        for job in jobs:
            (self.sweep.folder / "gates" / str(job)).touch()

    def ended(self, *jobs: int) -> bool:
        """True if each of these jobs has come to its end."""
        return all(any(line.endswith("end") for line in self.sweep.ledger(job)) for job in jobs)

    def started(self) -> int:
        return len(list((self.sweep.folder / "ledger").iterdir()))

    def begin(self, run: subprocess.Popen[str] | None = None) -> None:
        """The trouble begins."""
        self.begun = True
        self.trouble.begin(self._target(run))

    def _target(self, run: subprocess.Popen[str] | None) -> Target:
        if run is None or not self.trouble.injected:
            return Target(self.disk)
        if self.place == "table":
            return Target(self.disk, (run.pid,), False, CALLS["table"])
        files = list(self.disk.rglob("*_job_*")) if self.place == "logs" else []
        return Target(self.disk, descendants(run.pid), True, CALLS[self.place], files)

    def told(self, run: subprocess.Popen[str]) -> bool:
        """True if a sentence names the path and the reason."""
        paths = (str(self.disk), "burnish.db:") if self.place == "table" else (str(self.disk),)
        lines = self.sweep.said(run).splitlines()
        return any(any(path in line for path in paths) and any(w in line for w in self.trouble.words) for line in lines)

    def check_word(self) -> None:
        """While the trouble lasts: what can be seen of verdicts is true."""
        done = self.sweep.burnish("status", "--json", check=False)
        assert "Traceback" not in done.stderr, done.stderr
        for job in json.loads(done.stdout)["jobs"] if done.returncode == 0 else ():
            if job["state"] in ("COMPLETE", "ERROR"):
                assert job["reason"] == ENDS[FATES[job["id"] % 3]] and self.ended(job["id"]), job

    def check(self, logs: bool) -> None:
        """At the end: each job was started once, ran to its end, and has the verdict that it deserves, in the table, too."""
        table = (self.sweep.folder / "burnish.db").read_text().splitlines()[1:]
        for number, job in self.sweep.status().items():
            lines = self.sweep.ledger(number)
            assert len(lines) == 2 and lines[1] == lines[0].replace("start", "end"), (job, lines)
            assert job["reason"] == ENDS[FATES[number % 3]], (job, lines)
            assert table[number].split(",")[1] == job["state"], (job, table[number])
            if logs:
                assert self.sweep.log(job) == f"job {number} attempt {lines[0].split()[0]}\n".encode()
                assert self.sweep.log(job, ".err") == b"the end\n"


@pytest.fixture
def bench(tmp_path: Path, case: Case) -> Iterator[Bench]:
    place, trouble, _ = case
    sweep = Sweep(tmp_path)
    for name in ("gates", "home", "ledger"):
        (tmp_path / name).mkdir()
    rows = [f"{FATES[number % 3]},0" for number in range(JOBS)]
    (tmp_path / "jobs.csv").write_text("\n".join(["fate,work", *rows]) + "\n")
    (tmp_path / "job.py").write_text(JOB)
    sweep.burnish("create", "--csv", "jobs.csv")
    agent = tmp_path / "python"
    agent.write_text(AGENT.format(folder=tmp_path, python=sys.executable))
    agent.chmod(0o755)
    made = Bench(sweep, place, TROUBLES[trouble]())
    made.disk.mkdir(mode=0o700)
    made.trouble.lay(made.disk, SIZES[place])
    try:
        if place == "table":
            for name in ("burnish.db", ".burnish"):
                shutil.move(tmp_path / name, made.disk / name)
            (tmp_path / "burnish.db").symlink_to(made.disk / "burnish.db")
        yield made
    finally:
        made.trouble.end()
        sweep.stop()
        made.trouble.clear(made.disk)


@pytest.mark.parametrize("case", ALL if os.environ.get("BURNISH_TEST_SWEEP") == "all" else SHARE, ids=", ".join)
def test_bad_disk_costs_no_start_and_no_verdict(bench: Bench, case: Case) -> None:
    place, trouble, moment = case
    sweep = bench.sweep
    sweep.program = ("-c", PROGRAM.format(python=str(sweep.folder / "python")))
    run = MEETS[moment](bench)
    bench.check_word()
    unstarted, done = bench.started() == 0, bench.ended(*range(JOBS))
    bench.trouble.end()
    assert bench.trouble.hit, "nothing was refused"
    bench.open(*range(JOBS))
    wait_for(lambda: run.poll() is not None, lambda: sweep.said(run), deadline=60)
    refused = run.returncode in (2, 3) and bench.told(run)
    if refused:
        at_once = unstarted and moment == "before" and (place, trouble) in ENDS_AT_ONCE
        assert at_once or (done and place == "table"), sweep.said(run)
        run = bench.run()
        wait_for(lambda: run.poll() is not None, lambda: sweep.said(run), deadline=60)
    assert "Traceback" not in sweep.said(run), sweep.said(run)
    assert run.returncode == (0 if refused and done else 1), sweep.said(run)
    bench.check(logs=place != "logs" or refused)


def before(bench: Bench) -> subprocess.Popen[str]:
    """The run finds the trouble there. Nothing waits behind a gate."""
    bench.open(*range(JOBS))
    may = bench.sweep.folder / "may"
    if not bench.trouble.injected:
        bench.begin()
        may.touch()
        run = bench.run()
    else:
        run = bench.run()
        agent = bench.sweep.folder / "agent"
        wait_for(lambda: agent.exists() and agent.read_text().strip(), lambda: bench.sweep.said(run))
        bench.begin(run)
        may.touch()
    wait_for(lambda: run.poll() is not None or bench.told(run), lambda: bench.sweep.said(run))
    return run


def under_way(bench: Bench) -> subprocess.Popen[str]:
    """A run whose first two jobs run when it comes."""
    (bench.sweep.folder / "may").touch()
    run = bench.run()
    wait_for(lambda: bench.started() == 2, lambda: bench.sweep.said(run))
    bench.begin(run)
    return run


def running(bench: Bench) -> subprocess.Popen[str]:
    """It comes while one job runs and others start and end beside it."""
    run = under_way(bench)
    bench.open(*range(1, JOBS))
    wait_for(lambda: bench.told(run) or bench.ended(*range(1, JOBS)), lambda: bench.sweep.said(run))
    return run


def at_exit(bench: Bench) -> subprocess.Popen[str]:
    """It comes while jobs run, and they end in it."""
    run = under_way(bench)
    bench.open(0, 1)
    wait_for(lambda: bench.ended(0, 1) and (bench.told(run) or bench.started() == 4), lambda: bench.sweep.said(run))
    return run


def at_store(bench: Bench) -> subprocess.Popen[str]:
    """It comes when their host has recorded how jobs ended, and the run, which stood still, has not."""
    (bench.sweep.folder / "may").touch()
    run = bench.run()
    wait_for(lambda: bench.started() == 2, lambda: bench.sweep.said(run))
    os.kill(run.pid, signal.SIGSTOP)
    bench.open(0, 1)
    home = bench.sweep.folder / "home" / ".burnish"
    wait_for(lambda: len(list(contents(home, "final.json"))) == 2, lambda: list(home.rglob("*")))
    bench.begin(run)
    bench.open(*range(JOBS))
    os.kill(run.pid, signal.SIGCONT)
    wait_for(lambda: bench.told(run) or bench.ended(*range(JOBS)), lambda: bench.sweep.said(run))
    return run


MEETS = {"before": before, "running": running, "exit": at_exit, "store": at_store}


def test_the_share_has_each_place_trouble_and_moment() -> None:
    assert set(SHARE) <= set(ALL)
    assert [set(column) for column in zip(*SHARE, strict=True)] == [set(PLACES), set(TROUBLES), set(MOMENTS)]
