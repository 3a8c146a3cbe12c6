"""Where the processor time of one short job goes, as a table that adds up, beside minimal programs that do one step and no more.

1. A run of many jobs of `true`, and one of few, each held open by a last job that waits: what coordinator, agent and supervisors
   have used by then, in Python and in the kernel, and their jobs. A job's share is the difference between the two runs.
2. Two such runs under strace: how many calls of each kind a job adds.
3. Each kind of call in a loop of its own: what it costs the kernel where nothing else is done.
4. `minimal.py`, a program of the same three parts that does what cannot be left out, and nothing else: what its Python takes.

What the calls cost, alone, and the minimal parts' Python, is physical: no program of these parts does without. The rest is
burnish's own. What the minimal program and xargs need for the same jobs in all is measured in the same minutes. Files are dear
on ext4 for minutes after many were deleted: measure before.

Needs strace. Usage: `python benchmarks/steps.py [--jobs N] [--rounds N] [--json FILE]`. Writes its table of docs/performance.md.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import resource
import select
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import measure
import page
from idle import below, name_of
from local import with_xargs

FEW, WORKERS = 40, 8
LIMIT = 600.0  # s
LOOPS = 2000
TICK = os.sysconf("SC_CLK_TCK")
PARTIES = ("coordinator", "agent", "supervisors")
LINE = re.compile(r"(\d+) +(\w+)\((.*)")
RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>")

# Kinds of calls, by what a minimal program of each does. What is in none costs about as much as the cheapest call there is.
KINDS = {
    "make a file": ("openat+",),
    "link, rename, remove": ("link", "linkat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "symlinkat"),
    "make a folder": ("mkdir", "mkdirat"),
    "sync": ("fsync", "fdatasync"),
    "open": ("openat",),
    "list a folder": ("getdents64",),
    "write": ("write", "pwrite64"),
    "read": ("read", "pread64"),
    "send and receive": ("sendto", "recvfrom", "sendmsg", "recvmsg"),
    "wait for a descriptor": ("poll", "select", "pselect6", "epoll_wait"),
    "wake a thread": ("futex",),
    "reserve room": ("fallocate",),
    "start a process": ("clone", "clone3", "vfork", "fork"),
}


@dataclass
class Used:
    """Processor time, s: of the interpreter, of the kernel."""

    python: float = 0.0
    kernel: float = 0.0

    def __sub__(self, other: Used) -> Used:
        return Used(self.python - other.python, self.kernel - other.kernel)

    def __add__(self, other: Used) -> Used:
        return Used(self.python + other.python, self.kernel + other.kernel)

    def __truediv__(self, jobs: int) -> Used:
        return Used(self.python / jobs, self.kernel / jobs)


# -- a run that is held open ---------------------------------------------------------------------------------------


@contextmanager
def held_open(folder: Path, jobs: int, *before: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run of so many jobs of `true`, all of which have ended; one more waits until the end."""
    folder.mkdir()
    os.mkfifo(folder / "go")
    (folder / "last").write_text("#!/bin/sh\nread line <go\n")
    (folder / "last").chmod(0o755)
    rows = ["/bin/true"] * jobs + ["./last"]
    (folder / "sweep.csv").write_text("\n".join(["program", *rows]) + "\n")
    measure.timed([*measure.BURNISH, "create", "--csv", "sweep.csv", "--max_jobs", str(jobs + 1)], folder)
    command = [*before, *measure.BURNISH, "run", "-q", "--num_workers", str(WORKERS + 1), "--command", "{program}"]
    run = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        while (folder / "burnish.db").read_text().count("COMPLETE") < jobs:
            if run.poll() is not None or time.monotonic() - began > LIMIT:
                raise SystemExit(f"The run of {jobs} jobs did not get to its end; nothing was measured.")
            time.sleep(0.05)
        yield run
    finally:
        (folder / "go").write_text("\n")
        run.wait(LIMIT)


def parties(coordinator: int) -> dict[str, list[int]]:
    """The pids of a run on this machine."""
    agent = next(pid for pid in below(coordinator) if name_of(pid).startswith("python"))
    return {"coordinator": [coordinator], "agent": [agent], "supervisors": below(agent)}


def used(run: int) -> dict[str, Used]:
    """What each party has used so far, and the jobs that the supervisors have waited for."""
    found: dict[str, Used] = defaultdict(Used)
    for party, pids in parties(run).items():
        for pid in pids:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            user, system, jobs_user, jobs_system = (int(field) / TICK for field in fields[11:15])
            found[party] += Used(user, system)
            if party == "supervisors":
                found["jobs"] += Used(jobs_user, jobs_system)
    return found


def shares(folder: Path, jobs: int) -> dict[str, Used]:
    """What a job adds, by party."""
    counts = []
    for many in (FEW, FEW + jobs):
        with held_open(folder / f"used{many}", many) as run:
            counts.append(used(run.pid))
    few, more = counts
    return {party: (more[party] - few[party]) / jobs for party in more}


# -- what it calls -------------------------------------------------------------------------------------------------


def calls(folder: Path, jobs: int) -> dict[str, Counter[str]]:
    """How many calls of each name a job adds, by party."""
    counts = []
    for many in (FEW, FEW + jobs):
        place = folder / f"calls{many}"
        trace = ("strace", "-f", "-qq", "-o", str(folder / f"trace{many}"), "-e", "signal=none")
        with held_open(place, many, *trace):
            pass
        counts.append(counted(folder / f"trace{many}"))
    few, more = counts
    return {
        party: Counter({call: (number - few[party][call]) / jobs for call, number in more[party].items()})
        for party in PARTIES
    }


def counted(trace: Path) -> dict[str, Counter[str]]:
    """Calls by party; a process is a job, or its own party's, from its execve on."""
    party_of: dict[str, str] = {}
    counts: dict[str, Counter[str]] = {party: Counter() for party in (*PARTIES, "jobs")}
    began: dict[str, str] = {}  # pid -> arguments of a call that was interrupted by another's line
    for line in trace.read_text(errors="replace").splitlines():
        if resumed := RESUMED.match(line):
            pid, call, rest = resumed[1], resumed[2], began.pop(resumed[1], "") + line
        elif told := LINE.match(line):
            pid, call, rest = told[1], told[2], told[3]
        else:
            continue
        party = party_of.setdefault(pid, "coordinator" if not party_of else "supervisors")
        if "<unfinished ...>" in line:
            began[pid] = rest
            continue
        if call == "execve":
            party_of[pid] = "jobs" if "/bin/true" in rest or "last" in rest else "agent" if '"-I"' in rest else party
        elif call in ("clone", "clone3", "fork", "vfork") and (child := re.search(r"= (\d+)$", line)):
            party_of[child[1]] = party if "CLONE_THREAD" in rest or party == "coordinator" else "supervisors"
        name = "openat+" if call == "openat" and "O_CREAT" in rest else call
        counts[party_of[pid]][name] += 1
    return counts


# -- minimal programs ----------------------------------------------------------------------------------------------


def costs(folder: Path) -> dict[str, float]:
    """Kernel seconds of one call of each kind, from a loop that does nothing else; and of the cheapest call."""
    folder.mkdir()
    many = [f"{folder}/{number}" for number in range(LOOPS)]
    one = os.open(folder / "one", os.O_RDWR | os.O_CREAT)
    os.write(one, b"x" * 400)
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    poll = select.poll()
    poll.register(one, select.POLLIN)

    def synced(number: int) -> None:
        os.pwrite(one, b"y", number % 400)
        os.fdatasync(one)

    def sent(_: int) -> None:
        left.send(b"x" * 400)
        right.recv(4096)

    made = {
        "make a file": lambda n: os.close(os.open(many[n], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)),
        "link, rename, remove": lambda n: os.rename(many[n], many[n] + "r"),
        "make a folder": lambda n: os.mkdir(many[n] + "f"),
        "sync": synced,
        "open": lambda n: os.close(os.open(folder / "one", os.O_RDONLY)),
        "list a folder": lambda n: os.listdir(many[n] + "f"),
        "write": lambda n: os.pwrite(one, b"x" * 400, 0),
        "read": lambda n: os.pread(one, 400, 0),
        "send and receive": sent,
        "wait for a descriptor": lambda n: poll.poll(0),
        "reserve room": lambda n: os.posix_fallocate(one, 0, 4096),
        "any other call": lambda n: fcntl.fcntl(one, fcntl.F_GETFD),
    }
    found = {kind: kernel_time(step) / LOOPS for kind, step in made.items()}
    found["send and receive"] /= 2
    found["wake a thread"] = found["any other call"]
    os.close(one)
    return found


def kernel_time(step: Callable[[int], object]) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_stime
    for number in range(LOOPS):
        step(number)
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime - before


def spawned() -> tuple[float, float]:
    """Processor seconds of `true` in a loop that starts it and waits for it; kernel seconds of the loop itself."""
    before = os.times()
    for _ in range(LOOPS):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    after = os.times()
    return (sum(after[2:4]) - sum(before[2:4])) / LOOPS, (after[1] - before[1]) / LOOPS


def xargs(folder: Path, jobs: int) -> float:
    """Processor seconds of a job under xargs, whose shell captures what benchmarks/local.py has it capture."""
    folder.mkdir()
    before = sum(os.times()[2:4])
    with_xargs(folder, jobs)
    return (sum(os.times()[2:4]) - before) / jobs


def minimal(folder: Path, jobs: int) -> dict[str, Used]:
    """What a job takes of the parts of the minimal program, and the job itself."""
    program = Path(__file__).with_name("minimal.py")
    words = [sys.executable, str(program), str(folder), str(jobs), str(WORKERS)]
    said = subprocess.run(words, stdout=subprocess.PIPE, timeout=LIMIT, check=True).stdout
    return {party: Used(*both) / jobs for party, both in json.loads(said).items()}


# -- the table -----------------------------------------------------------------------------------------------------


def total(share: dict[str, Used]) -> float:
    return sum(both.python + both.kernel for both in share.values())


def by_kind(called: dict[str, Counter[str]]) -> dict[str, float]:
    """Calls per job of each kind, of all parties."""
    total: Counter[str] = sum(called.values(), Counter())
    kinds = {kind: sum(total.pop(name, 0) for name in names) for kind, names in KINDS.items()}
    kinds["any other call"] = sum(total.values())
    return kinds


def table(
    share: dict[str, Used],
    kinds: dict[str, float],
    cost: dict[str, float],
    spawn: float,
    least: dict[str, Used],
    rival: float,
) -> list[str]:
    """Lines."""
    jobs = share["jobs"].python + share["jobs"].kernel
    kernel = sum(share[party].kernel for party in PARTIES)
    explained = sum(number * cost[kind] for kind, number in kinds.items())
    lines = ["| step | times | µs each, alone | ms |", "| --- | ---: | ---: | ---: |"]
    lines.append(f"| the job itself: `true`, from its start to its end | 1 | {spawn * 1e6:.0f} | {jobs * 1e3:.2f} |")
    for kind, number in sorted(kinds.items(), key=lambda item: -item[1] * cost[item[0]]):
        lines.append(f"| {kind} | {number:.1f} | {cost[kind] * 1e6:.1f} | {number * cost[kind] * 1e3:.2f} |")
    lines.append(f"| more of the kernel, than these calls cost alone | | | {(kernel - explained) * 1e3:.2f} |")
    lines += [
        f"| Python: {party} (and {share[party].kernel * 1e3:.2f} of the kernel above) | 1 | {least[party].python * 1e6:.0f} "
        f"| {share[party].python * 1e3:.2f} |"
        for party in PARTIES
    ]
    lines.append(f"| **sum** | | | **{total(share) * 1e3:.2f}** |")
    lines.append(f"| the minimal program of these parts, in the same minutes | | | {total(least) * 1e3:.2f} |")
    lines.append(f"| xargs, whose shell captures, in the same minutes | | | {rival * 1e3:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000, help="what a job adds, over so many")
    parser.add_argument("--rounds", type=int, default=3, help="of these, the one with least")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    measure.require("strace")
    where = page.machine()
    with measure.place() as base:
        rounds = []
        for number in range(options.rounds):
            (place := base / str(number)).mkdir()
            least = minimal(place / "minimal", options.jobs)
            rounds.append((shares(place, options.jobs), least, xargs(place / "xargs", options.jobs)))
        share, least, rival = min(rounds, key=lambda found: total(found[0]))
        cost = costs(base / "costs")
        spawn, cost["start a process"] = spawned()
        called = calls(base, options.jobs // 10)
    lines = table(share, by_kind(called), cost, spawn, least, rival)
    words = (
        f"`python benchmarks/steps.py --jobs {options.jobs}`: processor time of one job of `true`, {WORKERS} at a time; "
        f"of {options.rounds} rounds, the one with least."
    )
    lines = ["", where, "", words, "", *lines, ""]
    print("\n".join(lines))
    if options.json is not None:
        figures = {
            "used": {party: vars(both) for party, both in share.items()},
            "calls": called,
            "seconds of a call": cost,
            "spawn": spawn,
            "minimal": {party: vars(both) for party, both in least.items()},
            "xargs": rival,
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    page.write("measured step by step", lines)


if __name__ == "__main__":
    main()
