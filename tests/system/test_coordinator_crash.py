"""SIGKILL of a run at any system call by which its loop changes something: one more run ends the sweep, nothing ran twice.

`strace` follows the loop's thread alone, so neither links nor agents are slowed or hit. BURNISH_TEST_SWEEP=all tries every call.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import strace
from support.sweeps import Sweep

JOBS = 3
AT_ONCE = 3  # sweeps beside each other
TRIED = 12
CHANGING = (
    "linkat",
    "rename",
    "renameat",
    "renameat2",
    "mkdirat",
    "fsync",
    "unlink",
    "unlinkat",
    "pwrite64",
    "flock",
    "link",
)
LOUD = ("write", "openat", "futex")  # too many to try each


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    folder = tmp_path / "fresh"
    folder.mkdir()
    made = Sweep.of(folder, JOBS)
    yield made
    made.stop()


def copy_of(sweep: Sweep, name: str) -> Sweep:
    return Sweep(Path(shutil.copytree(sweep.folder, sweep.folder.parent / name)))


def run(sweep: Sweep, *options: str) -> int:
    """One run under strace; its exit code."""
    command = ["strace", "-qq", *options, sys.executable, "-m", "burnish", *sweep.command, "--num_workers", "2"]
    return subprocess.run(command, cwd=sweep.folder, env=sweep.environment, capture_output=True, timeout=120).returncode


def points(sweep: Sweep) -> list[strace.Point]:
    """Where an unharmed run may be hit, from the beginning of its work on."""
    log = sweep.folder / "calls"
    assert run(sweep, "-e", f"trace={','.join(CHANGING + LOUD)}", "-o", str(log)) == 0
    assert sweep.check() == {"1": JOBS}
    counts: dict[str, int] = {}
    found, begun = [], False
    for line in log.read_text(errors="replace").splitlines():
        call = line.partition("(")[0]
        counts[call] = counts.get(call, 0) + 1
        begun = begun or "/coordinators/" in line
        if begun and (call in CHANGING or (call in LOUD and counts[call] % 20 == 0)):
            found.append(strace.Point(call, counts[call]))
    if os.environ.get("BURNISH_TEST_SWEEP") == "all" or len(found) <= TRIED:
        return found
    return [found[number * len(found) // TRIED] for number in range(TRIED)]


def test_run_killed_at_any_call_of_its_loop(sweep: Sweep) -> None:
    def harm(point: strace.Point) -> tuple[bool, Sweep]:
        harmed = copy_of(sweep, str(point))
        inject = f"inject={point.syscall}:signal=KILL:when={point.number}"
        killed = run(harmed, "-o", "/dev/null", "-e", f"trace={point.syscall}", "-e", inject) != 0
        return killed, harmed

    tried = points(copy_of(sweep, "unharmed"))
    with ThreadPoolExecutor(AT_ONCE) as threads:
        outcomes = list(threads.map(harm, tried))
        codes = list(threads.map(lambda outcome: outcome[1].finish("--num_workers", "2"), outcomes))
    assert codes == [0] * len(codes)
    for _, harmed in outcomes:
        assert harmed.check() == {"1": JOBS}
    assert sum(killed for killed, _ in outcomes) > TRIED // 2, "most were hit too late to prove anything"
