"""How many CPU instructions a job costs burnish, here and in another commit: a regression shows on any machine, busy or not.

Valgrind counts what every process of a local run executes, but for the jobs' own (/bin/true). A job's share is the difference
between a run of many jobs and one of few, so that the start of Python and of the run is in neither. A process that forks puts its
count on file before, and goes on from zero: what is inherited would be counted twice. Two counts of the same tree differ by a per
cent or so, as processes meet each other at other moments.

Usage: `python benchmarks/instructions.py [COMMIT] [--jobs N] [--json FILE]`; ends with 1 if a job costs over a fifth more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import measure

ROOT = Path(__file__).resolve().parent.parent
FEW = 20
WORKERS = 4
ALLOWED = 1.2  # times what a job cost before
COUNTED = "BENCH_COUNTED"  # the variable by which the processes of a run are known
LIMIT = 120.0  # s that they may take to end
PARTS = ("coordinator", "host")  # the run itself; its agent and the supervisors

CALLGRIND = [
    *("valgrind", "-q", "--tool=callgrind", "--dump-before=fork"),
    *("--trace-children=yes", "--trace-children-skip=*/true", "--callgrind-out-file=counts/%p"),
]
RUN = [*measure.BURNISH, "run", "-q", "--num_workers", str(WORKERS), "--command", "/bin/true"]


def per_job(tree: Path, jobs: int) -> dict[str, float]:
    """Instructions that each of PARTS executes for one job, with the burnish that lies in `tree`."""
    few, many = counted(tree, FEW), counted(tree, FEW + jobs)
    return {part: (many[part] - few[part]) / jobs for part in PARTS}


def counted(tree: Path, jobs: int) -> dict[str, int]:
    """Instructions of each of PARTS in a whole run of so many jobs."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        # The hashes of texts, and with them the order of sets, are the same in each run.
        environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0", COUNTED: name}
        (folder / "counts").mkdir()
        for command in (measure.sweep(folder, jobs), [*CALLGRIND, *RUN]):
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        wait_for_the_last(f"{COUNTED}={name}".encode())
        counts = dict.fromkeys(PARTS, 0)
        for file in (folder / "counts").iterdir():
            lines = dict(
                line.partition(":")[::2] for line in file.read_text(errors="replace").splitlines() if ":" in line
            )
            counts["coordinator" if "-m burnish" in lines["cmd"] else "host"] += int(lines["totals"])
    return counts


def wait_for_the_last(mark: bytes) -> None:
    """A run ends before its agent has: until no process has `mark` in its environment, one may still have a count to write."""
    until = time.monotonic() + LIMIT
    while any(mark in environment_of(process) for process in Path("/proc").glob("[0-9]*")):
        if time.monotonic() > until:
            raise SystemExit("A process of the run has not ended; nothing was measured.")
        time.sleep(0.1)


def environment_of(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # it has ended, or is somebody else's


def checked_out(commit: str, folder: Path) -> Path:
    """The burnish of a commit, laid into `folder`."""
    archive = subprocess.run(["git", "archive", commit, "burnish"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder


def row(title: str, costs: dict[str, float]) -> str:
    parts = " | ".join(f"{costs[part] / 1e6:.2f}" for part in PARTS)
    return f"| {title} | {parts} | {sum(costs.values()) / 1e6:.2f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", nargs="?", help="compare with this one")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there, too")
    options = parser.parse_args()
    measure.require("valgrind")
    costs: dict[str, dict[str, float]] = {}
    if options.commit is not None:
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            costs[options.commit] = per_job(checked_out(options.commit, Path(name)), options.jobs)
    costs["this tree"] = per_job(ROOT, options.jobs)
    print(f"Millions of instructions per job, over {options.jobs} jobs:\n")
    print(f"| | {' | '.join(PARTS)} | both |\n| --- |{' ---: |' * 3}")
    for title, cost in costs.items():
        print(row(title, cost))
    if options.json is not None:
        options.json.write_text(json.dumps(costs, indent=2) + "\n", encoding="utf-8")
    before, now = sum(next(iter(costs.values())).values()), sum(costs["this tree"].values())
    if now <= ALLOWED * before:
        return 0
    print(f"\nA job costs {now / before:.2f} times as much as in {options.commit}; up to {ALLOWED} would pass.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
