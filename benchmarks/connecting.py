"""What many hosts cost a run: seconds until a job runs on each, memory and threads of the coordinator, memory on each host.

Each host is an sshd of its own with the usual MaxStartups. Usage: `python benchmarks/connecting.py [hosts …]`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import measure
from lab import Bench, Site

LIMIT = 120.0  # s for all jobs to start
JOB = """#!/bin/sh
echo >>{folder}/started
while [ ! -e {folder}/over ]; do sleep 0.5; done
"""

Crowd = dict[str, Any]


def measured(counts: tuple[int, ...] = (1, 10, 50)) -> list[Crowd]:
    """One dictionary of figures for each number of hosts."""
    with tempfile.TemporaryDirectory(prefix="bench-") as base:
        Path(base).chmod(0o755)
        (lab := Path(base) / "lab").mkdir()
        bench = Bench(lab)
        try:
            names = tuple(bench.add(f"host{number}").name for number in range(1, max(counts) + 1))
            return [_crowd(Site(bench, names[:count]), Path(base) / f"run{count}") for count in counts]
        finally:
            bench.close()


def _crowd(site: Site, folder: Path) -> Crowd:
    """One run with a job on each host of the site."""
    folder.mkdir(0o755)
    started, job = folder / "started", folder / "job"
    started.touch()
    started.chmod(0o666)
    job.write_text(JOB.format(folder=folder))
    job.chmod(0o755)
    hosts = len(site.names)
    measure.timed(measure.sweep(folder, hosts), folder)
    command = [*measure.BURNISH, "run", "-q", "--hosts", site.inventory(folder, slots=1), "--command", str(job)]
    began = time.perf_counter()
    run = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        while len(started.read_text()) < hosts:
            if run.poll() is not None or time.perf_counter() - began > LIMIT:
                raise SystemExit(f"{len(started.read_text())} of {hosts} jobs started; nothing was measured.")
            time.sleep(0.005)
        seconds = time.perf_counter() - began
        status = measure.status_of(run.pid)
        agents = [_agents(site.bench, name) for name in site.names]
    finally:
        (folder / "over").touch()
        run.wait()
    return {
        "hosts": hosts,
        "seconds": seconds,
        "memory": int(status["VmRSS"]) / 1024,
        "threads": int(status["Threads"]),
        "on_host": sum(agents) / hosts,
    }


def _agents(bench: Bench, name: str) -> float:
    """MiB that agent and supervisor take on a host; pages they share count once."""
    kib = 0
    for pid in bench.hosts[name].processes():
        if Path(f"/proc/{pid}/comm").read_text().startswith("python"):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))
    return kib / 1024


def table(crowds: list[Crowd]) -> list[str]:
    """Lines of a table of figures."""
    lines = [
        "`python benchmarks/connecting.py`: from typing `burnish run` until a job runs on each host; the coordinator's memory",
        "and threads then, and what agent and supervisor take on a host that they do not share.",
        "",
        "| hosts | s | coordinator, MiB | threads | on each host, MiB |",
        "| ---: |" + " ---: |" * 4,
    ]
    for crowd in crowds:
        lines.append(
            f"| {crowd['hosts']} | {crowd['seconds']:.1f} | {crowd['memory']:.0f} | {crowd['threads']} | {crowd['on_host']:.0f} |"
        )
    return lines


if __name__ == "__main__":
    print("\n".join(table(measured(tuple(int(count) for count in sys.argv[1:]) or (1, 10, 50)))))
