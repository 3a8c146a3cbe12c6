"""What grows with the table: tables of 1 000 to 100 000 jobs, or those of --jobs, made, looked at, and run for a while.

A run's cost per job is that of `burnish run --num_jobs N` less that of `--num_jobs 0`, which opens and closes the same table. A
cost that grew with the square of the table would show as a cost per job that grows with it.

The exponent of a column is the slope of a line through the logarithms, least squares: of jobs, and of the seconds beyond those
that a table of ten jobs takes. 1 is a time in proportion to the table, 2 its square. It takes two tables of 10 000 jobs or more.

Usage: `python benchmarks/growth.py [--started N] [--jobs N …] [--json FILE]`. A million jobs take minutes, and 2 GiB of memory.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path

import measure

FEW = 10  # jobs: what a command takes whatever the table's size
SIZES = (1_000, 10_000, 100_000)
GROWING = 10_000  # jobs from which on a table's part can be told from Python's start
STARTED = 500
RUN = [*measure.BURNISH, "run", "-q", "--num_workers", "8", "--command", "/bin/true", "--num_jobs"]
COLUMNS = {
    "create": "create, s",
    "status": "status, s",
    "nothing": "run that starts nothing, s",
    "memory": "and its peak, MiB",
    "job": "run, ms per job",
}
OF_ALL = ("create", "status", "nothing")  # what may grow with the table

Figures = dict[str, float]


def measured(sizes: Iterable[int] = SIZES, started: int = STARTED) -> dict[int, Figures]:
    """The figures of a table of each size; those of a table of FEW jobs come first."""
    return {jobs: figures(jobs, started) for jobs in (FEW, *sizes)}


def figures(jobs: int, started: int) -> Figures:
    """Those of one table."""
    with measure.place() as folder:
        create = measure.timed(measure.sweep(folder, jobs), folder)
        measure.let_rest()
        status = measure.median_time([*measure.BURNISH, "status"], folder, 3)
        nothing = measure.median_time([*RUN, "0"], folder, 3)
        memory = measure.peak_memory([*RUN, "0"], folder)
        some = measure.timed([*RUN, str(started)], folder)
    job = 1000 * (some - nothing) / min(started, jobs)
    return {"create": create, "status": status, "nothing": nothing, "memory": memory, "job": job}


def exponent(found: dict[int, Figures], column: str) -> float:
    """How a column grows with the table. NaN where it was not measured at two sizes at least."""
    base = found[FEW][column]
    points = [(jobs, of[column] - base) for jobs, of in found.items() if jobs >= GROWING and of[column] > base]
    if len(points) < 2:
        return math.nan
    line = statistics.linear_regression([math.log(n) for n, _ in points], [math.log(s) for _, s in points])
    return line.slope


def table(found: dict[int, Figures], started: int = STARTED) -> list[str]:
    """Lines of the table of growth."""
    sizes = [jobs for jobs in found if jobs != FEW]
    called = "" if tuple(sizes) == SIZES else f" --jobs {' '.join(map(str, sizes))}"
    growing = [f"{exponent(found, column):.2f}" if column in OF_ALL else "" for column in COLUMNS]
    return [
        f"`python benchmarks/growth.py --started {started}{called}`: one table after the other; cost per job over "
        f"{started} jobs. Exponents from {GROWING:,} jobs on, without what a table of {FEW} takes.",
        "",
        f"| jobs in the table | {' | '.join(COLUMNS.values())} |",
        "| ---: |" + " ---: |" * len(COLUMNS),
        *(row(jobs, found[jobs]) for jobs in sizes),
        f"| exponent | {' | '.join(growing)} |",
    ]


def row(jobs: int, of: Figures) -> str:
    seconds = " | ".join(f"{of[column]:.2f}" for column in OF_ALL)
    return f"| {jobs:,} | {seconds} | {of['memory']:.0f} | {of['job']:.1f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--started", type=int, default=STARTED)
    parser.add_argument("--jobs", type=int, nargs="+", default=SIZES, metavar="N", help="sizes of tables")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args()
    every = measured(options.jobs, options.started)
    if options.json is not None:
        options.json.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    print("\n".join(table(every, options.started)))
