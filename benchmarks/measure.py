"""Seconds and mebibytes of a command, and the tables that commands are measured on."""

from __future__ import annotations

import compileall
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BURNISH = [sys.executable, "-m", "burnish"]
SOURCES = Path(__file__).resolve().parent.parent / "burnish"
AT_REST = 2.0  # s after which nobody is taken to be writing a table

# As they are wherever burnish ran once; with PYTHONDONTWRITEBYTECODE each command would compile them anew.
compileall.compile_dir(SOURCES, quiet=1)


def require(*programs: str) -> None:
    """End the benchmark unless all of these are on the PATH."""
    for program in programs:
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not on the PATH; nothing was measured.")


@contextmanager
def place() -> Iterator[Path]:
    """A folder where TMPDIR says, for all that a benchmark has made: also what burnish keeps at home, and its locks.

    So that all contestants use one disk. Nothing in it is removed before the end: ext4 makes files several times more slowly for
    minutes after many were deleted.
    """
    before = {name: os.environ.get(name) for name in ("HOME", "BURNISH_LOCK_DIR")}
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        base = Path(name)
        for variable, own in zip(before, (base / ".home", base / ".locks"), strict=True):
            own.mkdir(0o700)
            os.environ[variable] = str(own)
        try:
            yield base
        finally:
            for variable, value in before.items():
                os.environ.pop(variable)
                if value is not None:
                    os.environ[variable] = value


def timed(command: list[str], folder: Path, stdin: str = "") -> float:
    """Seconds that `command` takes in `folder`. One that fails ends the benchmark."""
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-500:]}")
    return seconds


def median_time(command: list[str], folder: Path, rounds: int) -> float:
    """Median seconds of `rounds` calls, after one that is not counted."""
    timed(command, folder)
    return statistics.median(timed(command, folder) for _ in range(rounds))


def peak_memory(command: list[str], folder: Path) -> float:
    """Most memory that `command` held, in MiB."""
    program = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True); "
    program += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run(
        [sys.executable, "-c", program, *command], cwd=folder, capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1024


def status_of(pid: int) -> dict[str, str]:
    """The numbers of a process, by their names in /proc; memory in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.split()[0] for name, _, value in (line.partition(":") for line in lines) if value.split()}


def sweep(folder: Path, jobs: int) -> list[str]:
    """Put a CSV of `jobs` jobs into `folder`; the command that makes a table of it."""
    (folder / "sweep.csv").write_text("--n\n" + "".join(f"{n}\n" for n in range(jobs)), encoding="utf-8")
    return [*BURNISH, "create", "--csv", "sweep.csv", "--max_jobs", str(max(jobs, 1))]


def let_rest() -> None:
    """Wait until the table is old enough that a look at it does not ask whether an editor is still writing."""
    time.sleep(AT_REST)
