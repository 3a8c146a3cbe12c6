"""How fast burnish is on this machine, beside what people use for the same today.

1. Jobs per second: 1000 × `/bin/true` with 8 workers, output and exit code of each recorded, by burnish, by `xargs -P 8` with a
   shell that captures them, and by GNU parallel with --joblog and --results. The contestants take turns, so that whatever
   else the machine does meets all of them; medians are reported, and ratios of them.
2. Wall time and peak memory of `burnish --help`, and of `burnish status` on tables of 100, 10 000 and 100 000 jobs.
3. What grows with the table: benchmarks/growth.py.

Usage: `python benchmarks/local.py [--jobs N] [--rounds N] [--json FILE]`. Writes the tables of docs/performance.md between its
marks; FILE gets all that was measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import growth
import measure
import page

WORKERS = 8

# What burnish keeps of a job: stdout, stderr, exit code. The fair opponent keeps the same.
XARGS_JOB = '/bin/true >"out/$1.log" 2>"out/$1.err"; echo "$1 $?" >>codes'


def with_burnish(folder: Path, jobs: int) -> float:
    measure.timed(measure.sweep(folder, jobs), folder)
    command = [*measure.BURNISH, "run", "-q", "--num_workers", str(WORKERS), "--command", "/bin/true"]
    return measure.timed(command, folder)


def with_xargs(folder: Path, jobs: int) -> float:
    (folder / "out").mkdir()
    command = ["xargs", "-P", str(WORKERS), "-n", "1", "sh", "-c", XARGS_JOB, "sh"]
    return measure.timed(command, folder, numbers(jobs))


def with_parallel(folder: Path, jobs: int) -> float:
    options = ["--will-cite", "-j", str(WORKERS), "--joblog", "codes", "--results", "out"]
    return measure.timed(["parallel", *options, "/bin/true #"], folder, numbers(jobs))


CONTESTANTS: dict[str, Callable[[Path, int], float]] = {
    "`xargs -P 8`, sh captures": with_xargs,
    "GNU parallel `--joblog --results`": with_parallel,
    "burnish": with_burnish,
}


def numbers(jobs: int) -> str:
    return "".join(f"{n}\n" for n in range(jobs))


def throughput(jobs: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each contestant in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    with measure.place() as place:
        for _ in range(rounds):
            for name, contestant in CONTESTANTS.items():
                seconds[name].append(contestant(Path(tempfile.mkdtemp(dir=place)), jobs))
    return seconds


def table_of_throughput(seconds: dict[str, list[float]], jobs: int, rounds: int) -> list[str]:
    """Lines of the table of jobs per second."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    xargs, parallel, _ = medians.values()
    return [
        f"`python benchmarks/local.py --jobs {jobs} --rounds {rounds}`: {jobs} × `/bin/true`, {WORKERS} workers, "
        f"output and exit code of each recorded; median of {rounds} rounds, contestants in turn.",
        "",
        "| | jobs/s | time ÷ xargs | time ÷ parallel |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {jobs / median:.0f} | {median / xargs:.2f} | {median / parallel:.2f} |"
            for name, median in medians.items()
        ),
    ]


def commands(rounds: int) -> dict[str, dict[str, float]]:
    """Seconds and MiB of quick commands."""
    found: dict[str, dict[str, float]] = {}
    with measure.place() as folder:
        found["`python -c pass`"] = figures([measure.BURNISH[0], "-c", "pass"], folder, rounds)
        found["`burnish --help`"] = figures([*measure.BURNISH, "--help"], folder, rounds)
    for jobs in (100, 10_000, 100_000):
        with measure.place() as folder:
            measure.timed(measure.sweep(folder, jobs), folder)
            measure.let_rest()
            found[f"`burnish status`, {jobs:,} jobs"] = figures([*measure.BURNISH, "status"], folder, rounds)
    return found


def figures(command: list[str], folder: Path, rounds: int) -> dict[str, float]:
    seconds = measure.median_time(command, folder, rounds)
    return {"seconds": seconds, "memory": measure.peak_memory(command, folder)}


def table_of_commands(found: dict[str, dict[str, float]], rounds: int) -> list[str]:
    """Lines of the table of quick commands."""
    return [
        f"The same run: wall time (median of {rounds}) and peak memory of one command, Python's start included.",
        "",
        "| | s | MiB |",
        "| --- | ---: | ---: |",
        *(f"| {title} | {of['seconds']:.3f} | {of['memory']:.0f} |" for title, of in found.items()),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    options = parser.parse_args()
    measure.require("xargs", "parallel")
    found: dict[str, Any] = {
        "machine": page.machine(),
        "throughput": throughput(options.jobs, options.rounds),
        "commands": commands(options.rounds),
        "growth": growth.measured(),
    }
    lines = [
        *("", found["machine"], ""),
        *table_of_throughput(found["throughput"], options.jobs, options.rounds),
        "",
        *table_of_commands(found["commands"], options.rounds),
        "",
        *growth.table(found["growth"]),
        "",
    ]
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page.write("measured", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
