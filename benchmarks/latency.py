"""How long one waits for burnish on this machine: for a first job, for a cancelled one to end, between two jobs of a slot.

1. From typing `burnish run` until the first job's program runs.
2. From typing `burnish cancel`, and from saving CANCEL in the table, until a job is gone that TERM ends.
3. How long a slot stands idle between two jobs of 100 ms, by their own clocks, as in benchmarks/ssh.py.

Each is measured ROUNDS times, one after the other. Usage: `python benchmarks/latency.py [--rounds N] [--json FILE]`. Writes its
table in docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import measure
import page
from ssh import utilisation

WORKERS = 4
SHORT_JOBS = 120
LIMIT = 60.0  # s for anything that is waited for
CLOSE = 0.0005  # s between two looks

# What a job writes when it begins: its pid. The shell becomes the sleep, so TERM ends it.
LONG_JOB = "#!/bin/bash\necho $$ >began$BURNISH_JOB_ID.part; mv began$BURNISH_JOB_ID.part began$BURNISH_JOB_ID; exec sleep 600\n"
SHORT_JOB = "#!/bin/bash\nbegan=$EPOCHREALTIME\nsleep 0.1\necho here $began $EPOCHREALTIME >>records\n"


@contextmanager
def table_of(jobs: int, job: str) -> Iterator[Path]:
    """A folder with a table of so many jobs, and a program `job`."""
    with measure.place() as folder:
        (folder / "job").write_text(job)
        (folder / "job").chmod(0o755)
        measure.timed(measure.sweep(folder, jobs), folder)
        yield folder


@contextmanager
def running(folder: Path) -> Iterator[float]:
    """A run of the table while the context lasts, and when it was typed (s, monotonic)."""
    typed = time.perf_counter()
    command = [*measure.BURNISH, "run", "-q", "--num_workers", str(WORKERS), "--command", str(folder / "job")]
    run = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield typed
    finally:
        measure.timed([*measure.BURNISH, "cancel", "--job_id", "all"], folder)
        run.wait()


def began(folder: Path, job: int) -> int:
    """The pid of a job, once it runs."""
    path = folder / f"began{job}"
    wait_until(path.exists)
    return int(path.read_text())


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(holds: Callable[[], bool]) -> float:
    """Wait until `holds()`; the time then, s, monotonic."""
    end = time.perf_counter() + LIMIT
    while not holds():
        if time.perf_counter() > end:
            raise SystemExit(f"Nothing happened in {LIMIT:.0f} s; nothing was measured.")
        time.sleep(CLOSE)
    return time.perf_counter()


def one_round() -> dict[str, float]:
    """Seconds of each latency, once."""
    found: dict[str, float] = {}
    with table_of(WORKERS, LONG_JOB) as folder, running(folder) as typed:
        found["first job"] = wait_until(lambda: (folder / "began0").exists()) - typed
        pids = [began(folder, job) for job in range(WORKERS)]
        measure.let_rest()  # the table was written when they began, and is written again when they end
        asked = time.perf_counter()
        measure.timed([*measure.BURNISH, "cancel", "--job_id", "0"], folder)
        found["cancel, its command's end"] = time.perf_counter() - asked
        asked = time.perf_counter()
        cancel = subprocess.Popen([*measure.BURNISH, "cancel", "--job_id", "1"], cwd=folder, stdout=subprocess.DEVNULL)
        found["cancel"] = wait_until(lambda: gone(pids[1])) - asked
        cancel.wait()
        measure.let_rest()
        edited = (folder / "burnish.db").read_text().replace("\n2,RUNNING", "\n2,CANCEL")
        (folder / "new.db").write_text(edited)
        asked = time.perf_counter()
        os.replace(folder / "new.db", folder / "burnish.db")
        found["CANCEL saved in the table"] = wait_until(lambda: gone(pids[2])) - asked
    with table_of(SHORT_JOBS, SHORT_JOB) as folder:
        command = [*measure.BURNISH, "run", "-q", "--num_workers", str(WORKERS), "--command", str(folder / "job")]
        measure.timed(command, folder)
        use = utilisation((folder / "records").read_text(), WORKERS)
        found["gap between two jobs of a slot"] = use["gap"]
    return found


def table(rounds: list[dict[str, float]]) -> list[str]:
    """Lines of the table of latencies."""
    return [
        f"`python benchmarks/latency.py --rounds {len(rounds)}`: on this machine, with {WORKERS} workers.",
        "",
        "| from … until … | median, ms | most, ms |",
        "| --- | ---: | ---: |",
        *(line(title, [1000 * one[key] for one in rounds]) for key, title in TITLES.items()),
    ]


TITLES = {
    "first job": "`burnish run` is typed · the first job runs",
    "cancel": "`burnish cancel` is typed · the job is gone",
    "cancel, its command's end": "the same · the command says so and ends",
    "CANCEL saved in the table": "CANCEL is saved in the table · the job is gone",
    "gap between two jobs of a slot": "a job of 100 ms ends · the next one begins in its slot",
}


def line(title: str, values: list[float]) -> str:
    return f"| {title} | {statistics.median(values):.0f} | {max(values):.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round there, too")
    options = parser.parse_args()
    where = page.machine()
    rounds = [one_round() for _ in range(options.rounds)]
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": where, "rounds": rounds}, indent=1) + "\n")
    lines = ["", where, "", *table(rounds), ""]
    page.write("measured latencies", lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
