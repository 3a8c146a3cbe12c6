"""What grows with the table: tables of 1 000, 10 000 and 100 000 jobs, made, looked at, and run for a while.

A run's cost per job is that of `burnish run --num_jobs N` less that of `--num_jobs 0`, which opens and closes the same table. A
cost that grew with the square of the table would show as a cost per job that grows with it.

Usage: `python benchmarks/growth.py [--started N]`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import measure

SIZES = (1_000, 10_000, 100_000)
STARTED = 500
RUN = [*measure.BURNISH, "run", "-q", "--num_workers", "8", "--command", "/bin/true", "--num_jobs"]


def table(started: int = STARTED) -> list[str]:
    """Lines of the table of growth."""
    return [
        f"`python benchmarks/growth.py --started {started}`: one table after the other; cost per job over {started} jobs.",
        "",
        "| jobs in the table | create, s | status, s | run that starts nothing, s | run, ms per job |",
        "| ---: | ---: | ---: | ---: | ---: |",
        *(row(jobs, started) for jobs in SIZES),
    ]


def row(jobs: int, started: int) -> str:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        create = measure.timed(measure.sweep(folder, jobs), folder)
        measure.let_rest()
        status = measure.median_time([*measure.BURNISH, "status"], folder, 3)
        nothing = measure.median_time([*RUN, "0"], folder, 3)
        some = measure.timed([*RUN, str(started)], folder)
    return f"| {jobs:,} | {create:.2f} | {status:.2f} | {nothing:.2f} | {1000 * (some - nothing) / started:.1f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--started", type=int, default=STARTED)
    print("\n".join(table(parser.parse_args().started)))
