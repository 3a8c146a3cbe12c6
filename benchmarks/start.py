"""What a run of short jobs takes beside its jobs: commands that start, the libraries that they import, and burnish's own.

1. `burnish create` and `burnish run` of many jobs of `true`, and of as many as there are workers, beside `xargs` with the many.
2. Python alone, and with the libraries that the two commands import, which no program of these libraries does without.

All in turn, round by round; the parts add up to the first line, since a run of few jobs is all start and end.

Usage: `python benchmarks/start.py [--jobs N] [--rounds N] [--json FILE]`. Writes its table of docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import measure
import page
from local import WORKERS, with_xargs

CREATE, RUN = "import click, msgspec, hashlib", "import click, msgspec, hashlib, subprocess, filelock"


def python(program: str) -> Callable[[Path, int], float]:
    """Seconds of an interpreter that runs this and ends."""
    return lambda folder, jobs: measure.timed([sys.executable, "-c", program], folder)


def created(folder: Path, jobs: int) -> float:
    return measure.timed(measure.sweep(folder, jobs), folder)


def ran(folder: Path, jobs: int) -> float:
    """Of a run alone, whose table was made before."""
    measure.timed(measure.sweep(folder, jobs), folder)
    return measure.timed(
        [*measure.BURNISH, "run", "-q", "--num_workers", str(WORKERS), "--command", "/bin/true"], folder
    )


def medians(jobs: int, rounds: int) -> dict[str, float]:
    """Seconds of each part, contestants in turn."""
    parts: dict[str, tuple[Callable[[Path, int], float], int]] = {
        "pass": (python("pass"), 0),
        "libraries of create": (python(CREATE), 0),
        "libraries of run": (python(RUN), 0),
        "create": (created, jobs),
        "run of few": (ran, WORKERS),
        "run": (ran, jobs),
        "xargs": (with_xargs, jobs),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    with measure.place() as place:
        for _ in range(rounds):
            for name, (part, number) in parts.items():
                seconds[name].append(part(Path(tempfile.mkdtemp(dir=place)), number))
    return {name: statistics.median(found) for name, found in seconds.items()}


def table(found: dict[str, float], jobs: int, rounds: int) -> list[str]:
    libraries = found["libraries of create"] + found["libraries of run"] - 2 * found["pass"]
    ends = found["create"] + found["run of few"]
    own = ends - libraries - 2 * found["pass"]
    whole = found["create"] + found["run"]
    rows = {
        f"{jobs} jobs of `true`, `create` and `run`": whole,
        "of that Python's start, twice": 2 * found["pass"],
        "the libraries: click, msgspec, filelock, and what they import": libraries,
        "burnish's own start and end: its modules, the table, agent and supervisors": own,
        "the jobs": whole - ends,
        f"`xargs -P {WORKERS}` with the same, sh captures": found["xargs"],
    }
    return [
        "",
        page.machine(),
        "",
        f"`python benchmarks/start.py --jobs {jobs} --rounds {rounds}`: median of {rounds} rounds, in turn.",
        "",
        "| | s | ÷ xargs |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {seconds:.2f} | {seconds / found['xargs']:.2f} |" for name, seconds in rows.items()),
        "",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there, too")
    options = parser.parse_args()
    measure.require("xargs")
    found = medians(options.jobs, options.rounds)
    lines = table(found, options.jobs, options.rounds)
    print("\n".join(lines))
    page.write("measured at start and end", lines)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
