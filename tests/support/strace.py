"""Running a process of the tests under strace: which system calls it makes between two marks, and harm done at one of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60  # s


@dataclass(frozen=True)
class Point:
    """The `number`th call (from 1) of `syscall` since the process began."""

    syscall: str
    number: int

    def __str__(self) -> str:
        return f"{self.syscall}#{self.number}"


def environment() -> dict[str, str]:
    """So that every run of a script makes the same calls."""
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    return {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}


def script(name: str, *arguments: str) -> list[str]:
    """The command line of a script in tests/support."""
    return [sys.executable, str(ROOT / "tests" / "support" / name), *arguments]


def run(command: Sequence[str], *options: str, log: str = "/dev/null") -> subprocess.CompletedProcess[str]:
    """`command` under strace."""
    traced = ["strace", "-f", "-qq", "-o", log, *options, *command]
    return subprocess.run(traced, capture_output=True, text=True, env=environment(), timeout=LIMIT)


def points(command: Sequence[str], syscalls: Sequence[str], begin: str, end: str, log: Path) -> list[Point]:
    """The calls of `syscalls` that `command` makes between its marks. It must succeed."""
    every = f"trace={','.join(sorted({*syscalls, 'stat', 'newfstatat', 'access'}))}"
    done = run(command, "-e", every, log=str(log))
    assert done.returncode == 0, done.stdout + done.stderr
    return list(_between(log.read_text(errors="replace").splitlines(), set(syscalls), begin, end))


def changes(command: Sequence[str], syscalls: Sequence[str], within: str, log: Path) -> list[Point]:
    """The calls of `syscalls` by which `command` changes a file in the folder `within`, from its first such change on."""
    done = run(command, "-y", "-e", f"trace={','.join(syscalls)}", log=str(log))
    assert done.returncode == 0, done.stdout + done.stderr
    counted: Counter[str] = Counter()
    found = []
    for line in log.read_text(errors="replace").splitlines():
        if called := re.match(r"(?:\d+ +)?(\w+)\(", line):
            counted[called[1]] += 1
            if within in line:
                found.append(Point(called[1], counted[called[1]]))
    return found


def _between(lines: Sequence[str], syscalls: set[str], begin: str, end: str) -> Iterator[Point]:
    counted: Counter[str] = Counter()
    within = False
    for line in lines:
        called = re.match(r"(?:\d+ +)?(\w+)\(", line)
        if called is None:
            continue
        counted[called[1]] += 1
        if begin in line:
            within = True
        elif end in line:
            return
        elif within and called[1] in syscalls and "write(1," not in line:  # what it says to us is not its work
            yield Point(called[1], counted[called[1]])


def harmed(command: Sequence[str], point: Point, harm: str) -> subprocess.CompletedProcess[str]:
    """`command` with `harm` (`signal=KILL`, `error=EIO`) at `point`."""
    return run(command, "-e", f"trace={point.syscall}", "-e", f"inject={point.syscall}:{harm}:when={point.number}")
