"""What burnish costs while nothing happens, and what a job costs besides time.

1. A run whose jobs all sleep, on this machine and over four real sshds, is watched for a while: how often each of its processes
   wakes up (the kernel's counts of context switches, of all their threads), their processor time, the bytes on the hosts' cables,
   and the memory of agent and supervisor. Of memory, PSS: pages that several processes share are counted in parts.
2. What a job of `true` adds, the difference between a run of many and one of few: syncs and new processes, as strace sees them
   where one job runs at a time and where eight do, and bytes on the hosts' cables.

Needs root, openssh-server and strace. Usage: `python benchmarks/idle.py [--seconds S] [--jobs N] [--json FILE]`. Writes its
tables of docs/performance.md between its marks.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import measure
import page
from lab import HOSTS, SLOTS, Bench, Site

SECONDS = 30.0
FEW, MANY = 20, 100
LIMIT = 60.0  # s
SETTLE = 3.0  # s from the last start to the first count
WORKERS = 8
PARTS = ("coordinator", "agent", "a supervisor", "sshd")

# The job says so when it runs, and sleeps as it is: no shell waits beside it.
JOB = "#!/bin/sh\necho >>{folder}/started\nexec sleep 1000\n"
CALLS = "fsync,fdatasync,fork,vfork,clone,clone3"
CALL = re.compile(r"\d+ +(\w+)\((.*)")

Pids = dict[str, list[int]]


@dataclass
class Count:
    """What processes have used so far: wake-ups, processor time (s), bytes on the cables to and from the hosts."""

    woken: dict[str, int] = field(default_factory=dict)
    used: dict[str, float] = field(default_factory=dict)
    wire: int = 0

    @classmethod
    def of(cls, pids: Pids, wire: Callable[[], int]) -> Count:
        woken = {part: sum(map(wake_ups, those)) for part, those in pids.items()}
        return cls(woken, {part: sum(map(processor_time, those)) for part, those in pids.items()}, wire())


Row = dict[str, float]


# -- a run whose jobs sleep ----------------------------------------------------------------------------------------


def idle_here(folder: Path, seconds: float) -> dict[str, Row]:
    """The parts of a run on this machine."""
    with sleeping(folder, SLOTS, "--num_workers", str(SLOTS)) as run:
        return watched(lambda: parts_here(run.pid), lambda: 0, seconds, hosts=1)


def idle_over_ssh(site: Site, folder: Path, seconds: float) -> dict[str, Row]:
    """The parts of a run over the hosts of `site`; the figures of agent, supervisor and sshd are one host's."""
    with sleeping(folder, site.slots, "--hosts", site.inventory(folder)) as run:
        return watched(lambda: parts_over_ssh(run.pid, site), lambda: bytes_on(site), seconds, hosts=len(site.names))


@contextmanager
def sleeping(folder: Path, jobs: int, *where: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run all of whose jobs sleep; they are cancelled at the end."""
    started, job = folder / "started", folder / "job"
    started.touch()
    started.chmod(0o666)
    job.write_text(JOB.format(folder=folder))
    job.chmod(0o755)
    measure.timed(measure.sweep(folder, jobs), folder)
    command = [*measure.BURNISH, "run", "-q", *where, "--command", str(job)]
    run = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        while len(started.read_text()) < jobs:
            if run.poll() is not None or time.monotonic() - began > LIMIT:
                raise SystemExit(f"{len(started.read_text())} of {jobs} jobs started; nothing was measured.")
            time.sleep(0.05)
        yield run
    finally:
        measure.timed([*measure.BURNISH, "cancel", "--all"], folder)
        run.wait(LIMIT)


def watched(pids: Callable[[], Pids], wire: Callable[[], int], seconds: float, hosts: int) -> dict[str, Row]:
    """What the parts do in the next `seconds`, per second; of those on hosts, what one host's do."""
    time.sleep(SETTLE)
    those = pids()
    before, began = Count.of(those, wire), time.monotonic()
    time.sleep(seconds)
    after, took = Count.of(those, wire), time.monotonic() - began
    rows = {}
    for part, members in those.items():
        share = took * (1 if part == "coordinator" else len(members) if part == "a supervisor" else hosts)
        rows[part] = {
            "woken": (after.woken[part] - before.woken[part]) / share,
            "milliseconds": 1000 * (after.used[part] - before.used[part]) / share,
            "pss": sum(map(pss, members)) / len(members),
            "threads": float(measure.status_of(members[0])["Threads"]),
        }
    rows["the cable"] = {"bytes": (after.wire - before.wire) / (took * hosts)}
    return rows


def parts_here(coordinator: int) -> Pids:
    agent = next(pid for pid in below(coordinator) if name_of(pid).startswith("python"))
    return {"coordinator": [coordinator], "agent": [agent], "a supervisor": with_a_job(below(agent))}


def parts_over_ssh(coordinator: int, site: Site) -> Pids:
    found: Pids = {"coordinator": [coordinator], "agent": [], "a supervisor": [], "sshd": []}
    for name in site.names:
        host = site.bench.hosts[name]
        sessions = host.sessions()[1:]  # the first is the one that listens
        found["sshd"] += sessions
        found["agent"] += [pid for session in sessions for pid in below(session) if name_of(pid).startswith("python")]
        found["a supervisor"] += with_a_job(host.processes())
    return found


def with_a_job(pids: list[int]) -> list[int]:
    """Those that wait for a job."""
    return [pid for pid in pids if any(name_of(child) == "sleep" for child in below(pid))]


# -- what /proc says -----------------------------------------------------------------------------------------------


def below(pid: int) -> list[int]:
    """The processes that `pid`, in whichever of its threads, has started and that are its own still."""
    return [int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in file.read_text().split()]


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def wake_ups(pid: int) -> int:
    """How often a thread of the process was given a processor."""
    lines = (line for file in Path(f"/proc/{pid}/task").glob("*/status") for line in file.read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)


def processor_time(pid: int) -> float:
    """Seconds that the threads of the process have used, to the nanosecond."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def pss(pid: int) -> float:
    """Its memory in MiB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def bytes_on(site: Site) -> int:
    """The bytes that the cables to the hosts have carried, headers of packets included."""
    cables = {site.bench.hosts[name].cable for name in site.names}
    total = 0
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]:
        name, _, counts = line.partition(":")
        if name.strip() in cables:
            total += int(counts.split()[0]) + int(counts.split()[8])
    return total


# -- what a job adds -----------------------------------------------------------------------------------------------


def per_job(folder: Path, workers: int, many: int) -> Row:
    """Syncs of the coordinator and on the host, and processes, that a job adds, with so many workers."""
    few, more = calls(folder / "few", workers, FEW), calls(folder / "many", workers, FEW + many)
    return {what: (more[what] - few[what]) / many for what in more}


def calls(folder: Path, workers: int, jobs: int) -> dict[str, int]:
    """The calls of a whole run of so many jobs."""
    (folder / "home").mkdir(parents=True)
    measure.timed(measure.sweep(folder, jobs), folder)
    run = [*measure.BURNISH, "run", "-q", "--num_workers", str(workers), "--command", "/bin/true"]
    trace = ["strace", "-f", "-y", "-qq", "-o", "calls", "-e", f"trace={CALLS}", "-e", "signal=none"]
    measure.timed(["env", f"HOME={folder}/home", f"BURNISH_LOCK_DIR={folder}/locks", *trace, *run], folder)
    counts: defaultdict[str, int] = defaultdict(int, {"at home": 0, "on the host": 0, "processes": 0})
    for line in (folder / "calls").read_text(errors="replace").splitlines():
        if (call := CALL.match(line)) is None:
            continue  # the end of one that was interrupted by another's line
        if call[1] in ("fsync", "fdatasync"):
            counts["on the host" if f"{folder}/home/" in call[2] else "at home"] += 1
        elif "CLONE_THREAD" not in call[2]:
            counts["processes"] += 1
    return counts


def wire_per_job(site: Site, folder: Path, many: int) -> float:
    """Bytes on the cables that a job adds."""

    def carried(jobs: int) -> int:
        (place := folder / str(jobs)).mkdir(0o755, parents=True)
        measure.timed(measure.sweep(place, jobs), place)
        before = bytes_on(site)
        measure.timed(
            [*measure.BURNISH, "run", "-q", "--hosts", site.inventory(place), "--command", "/bin/true"], place
        )
        return bytes_on(site) - before

    few = carried(FEW)
    return (carried(FEW + many) - few) / many


# -- the tables ----------------------------------------------------------------------------------------------------


def table(found: dict[str, dict[str, Row]], jobs: dict[str, Row], wire: float, words: str) -> list[str]:
    """Lines of both."""
    lines = [
        f"`{words}`: every slot has a job that sleeps, {SLOTS} here, and {HOSTS} × {SLOTS} over SSH; agent and sshd of one host.",
        "",
        "| | wakes up, per s | ms of processor, per s | PSS, MiB | threads |",
        "| --- |" + " ---: |" * 4,
    ]
    for where, rows in found.items():
        for part in PARTS:
            if part in rows:
                row = rows[part]
                cells = [
                    f"{row['woken']:.1f}",
                    f"{row['milliseconds']:.2f}",
                    f"{row['pss']:.1f}",
                    f"{row['threads']:.0f}",
                ]
                lines.append(f"| {where}: {part} | {' | '.join(cells)} |")
    ssh = found["over SSH"]
    lines += [
        "",
        f"For each host, the coordinator wakes up {ssh['coordinator']['woken'] / HOSTS:.1f} times a second. On the cable to it "
        f"are {ssh['the cable']['bytes']:.0f} bytes/s while its jobs sleep, and {wire / 1000:.1f} kB for each `true`.",
        "",
        "| a job of `true` adds | syncs of the coordinator | syncs on the host | processes |",
        "| --- | ---: | ---: | ---: |",
    ]
    for title, row in jobs.items():
        lines.append(f"| {title} | {row['at home']:.2f} | {row['on the host']:.2f} | {row['processes']:.2f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="watch each run for so long")
    parser.add_argument("--jobs", type=int, default=MANY, help="what a job adds, over so many")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    measure.require("strace")
    where = page.machine()
    with measure.place() as base:
        base.chmod(0o755)
        (base / "lab").mkdir()
        bench = Bench(base / "lab")
        try:
            for place in ("here", "ssh"):
                (base / place).mkdir(0o755)
            site = Site(bench, tuple(bench.add(f"host{number}").name for number in range(1, HOSTS + 1)))
            found = {
                "here": idle_here(base / "here", options.seconds),
                "over SSH": idle_over_ssh(site, base / "ssh", options.seconds),
            }
            wire = wire_per_job(site, base / "wire", options.jobs)
        finally:
            bench.close()
        jobs = {
            "one at a time": per_job(base / "alone", 1, options.jobs),
            f"{WORKERS} at a time": per_job(base / "together", WORKERS, options.jobs),
        }
    words = f"python benchmarks/idle.py --seconds {options.seconds:g} --jobs {options.jobs}"
    lines = ["", where, "", *table(found, jobs, wire, words), ""]
    print("\n".join(lines))
    if options.json is not None:
        figures = {"idle": found, "a job adds": jobs, "bytes of a job": wire}
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    page.write("measured at rest", lines)


if __name__ == "__main__":
    main()
