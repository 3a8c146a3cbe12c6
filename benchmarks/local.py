"""How fast burnish is on this machine, beside what people use for the same today.

1. Jobs per second: 1000 × `true` with 8 workers, output and exit code of each recorded, by burnish, by `xargs -P 8` with a
   shell that captures them, and by GNU parallel with --joblog and --results. The contestants take turns, so that whatever
   else the machine does meets all of them; medians, and each as a ratio to xargs, are reported.
2. Wall time and peak memory of `burnish --help`, and of `burnish status` on tables of 100, 10 000 and 100 000 jobs.

Usage: `python benchmarks/local.py [--jobs N] [--rounds N]`. Writes the tables of docs/performance.md between its marks.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
WORKERS = 8
BURNISH = [sys.executable, "-m", "burnish"]

# What burnish keeps of a job: stdout, stderr, exit code. The fair opponent keeps the same.
XARGS_JOB = 'true >"out/$1.log" 2>"out/$1.err"; echo "$1 $?" >>codes'


def with_burnish(folder: Path, jobs: int) -> float:
    table(folder, jobs)
    return timed([*BURNISH, "run", "-q", "--num_workers", str(WORKERS), "--command", "true"], folder)


def with_xargs(folder: Path, jobs: int) -> float:
    (folder / "out").mkdir()
    command = ["xargs", "-P", str(WORKERS), "-n", "1", "sh", "-c", XARGS_JOB, "sh"]
    return timed(command, folder, numbers(jobs))


def with_parallel(folder: Path, jobs: int) -> float:
    options = ["--will-cite", "-j", str(WORKERS), "--joblog", "codes", "--results", "out"]
    return timed(["parallel", *options, "true #"], folder, numbers(jobs))


CONTESTANTS: dict[str, Callable[[Path, int], float]] = {
    "`xargs -P 8`, sh captures": with_xargs,
    "GNU parallel": with_parallel,
    "burnish": with_burnish,
}


def numbers(jobs: int) -> str:
    return "".join(f"{n}\n" for n in range(jobs))


def table(folder: Path, jobs: int) -> None:
    """burnish.db with `jobs` waiting jobs."""
    rows = "".join(f"{n},NOT_RUNNING,{n}\n" for n in range(jobs))
    (folder / "burnish.db").write_text(f"JOB_ID,STATE,--n\n{rows}", encoding="utf-8")


def timed(command: list[str], folder: Path, stdin: str = "") -> float:
    """Seconds that `command` takes. A contestant that fails ends the benchmark."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
    return seconds


def peak_memory(command: list[str], folder: Path) -> float:
    """Most memory that `command` held, in MiB."""
    program = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True); "
    program += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-c", program, *command], cwd=folder, capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1024


def throughput(jobs: int, rounds: int) -> list[str]:
    """Lines of the table of jobs per second."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(rounds):
        for name, contestant in CONTESTANTS.items():
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                seconds[name].append(contestant(Path(folder), jobs))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    base = medians[next(iter(CONTESTANTS))]
    return [
        f"{jobs} × `true`, {WORKERS} workers, output and exit code of each recorded; median of {rounds}.",
        "",
        "| | jobs/s | time, as a multiple of xargs |",
        "| --- | ---: | ---: |",
        *(f"| {name} | {jobs / median:.0f} | {median / base:.2f} |" for name, median in medians.items()),
    ]


def commands(rounds: int) -> list[str]:
    """Lines of the table of quick commands."""
    lines = [
        f"Wall time and peak memory; median of {rounds}.",
        "",
        "| | s | MiB |",
        "| --- | ---: | ---: |",
    ]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        lines.append(figures("`burnish --help`", [*BURNISH, "--help"], Path(name), rounds))
    for jobs in (100, 10_000, 100_000):
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            table(Path(name), jobs)
            title = f"`burnish status`, {jobs:,} jobs"
            lines.append(figures(title, [*BURNISH, "status"], Path(name), rounds))
    return lines


def figures(title: str, command: list[str], folder: Path, rounds: int) -> str:
    timed(command, folder)  # once unmeasured: what the first look at a table writes is there for the others
    seconds = statistics.median(timed(command, folder) for _ in range(rounds))
    return f"| {title} | {seconds:.2f} | {peak_memory(command, folder):.0f} |"


def machine() -> str:
    return f"Python {platform.python_version()}, {platform.system()} {platform.release()}, {os.cpu_count()} cores."


def write(lines: list[str]) -> None:
    """Put `lines` between the marks of the page, or at the end of a page that has none yet."""
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text("\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"]), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for program in ("xargs", "parallel"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not on the PATH; nothing was measured.")
    lines = [machine(), "", *throughput(options.jobs, options.rounds), "", *commands(options.rounds)]
    write(lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
