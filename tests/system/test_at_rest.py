"""A run that rests is woken by what changes: a commit of another command, and a save of the table."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sweeps import Sweep
from tests.support.waiting import wait_for

# Looks are so rare here that nothing happens in time but by a word of the kernel.
SLEEPER = """
import burnish.changes as changes
changes.REST, changes.QUIET, changes._is_own = 1000.0, 1.0, lambda path: True
from burnish.__main__ import main
main()
"""
LOOKS = 4  # in a row, in which its loop was not woken


def cancel(sweep: Sweep) -> None:
    sweep.burnish("cancel", "--all")


def save(sweep: Sweep) -> None:
    table = sweep.folder / "burnish.db"
    edited = sweep.folder / "edited"
    edited.write_text(table.read_text().replace("RUNNING", "CANCEL"))
    os.rename(edited, table)


@pytest.mark.parametrize("change", [cancel, save])
def test_run_that_rests_is_woken_by_a_change(tmp_path: Path, change: Callable[[Sweep], None]) -> None:
    sweep = Sweep.of(tmp_path, 1, work="1000", fates=("ok",))
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    program, sweep.program = sweep.program, ("sleeper.py",)
    try:
        run = sweep.start("--num_workers", "1")
        sweep.program = program
        wait_for(lambda: ",RUNNING," in (tmp_path / "burnish.db").read_text())
        counts: list[int] = []

        def rests() -> bool:
            counts.append(woken(run.pid))
            return len(counts) > LOOKS and len(set(counts[-LOOKS:])) == 1

        wait_for(rests, lambda: counts)
        change(sweep)
        wait_for(lambda: run.poll() is not None, lambda: sweep.burnish("status", check=False).stdout)
    finally:
        sweep.stop()
    assert "CANCELLED" in sweep.burnish("status", check=False).stdout.upper()


def woken(pid: int) -> int:
    """How often the loop's thread was given a processor."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)
