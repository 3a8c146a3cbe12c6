"""A run with many jobs, whose agent dies again and again, holds no more descriptors, threads and memory than at first."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from support.sweeps import Sweep, children
from support.waiting import wait_for

JOBS, RECONNECTS = map(int, os.environ.get("BURNISH_TEST_SOAK", "80,5").split(","))  # `make soak` takes larger ones
LAST = JOBS - 4  # from here on jobs are there to the end
GROWTH = (8 << 20) + JOBS * 4096  # bytes: Python's own habits, and what is known of each job


def usage(pid: int) -> tuple[int, int]:
    """Descriptors and threads of a process."""
    return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


def memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def given(folder: Path) -> int:
    """How many attempts agents were given."""
    return len(list(folder.glob("home/.burnish/*/attempts/*/*")))


def test_reconnects_and_jobs_leave_nothing_behind(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, JOBS, "0")
    try:
        wait = f"until [ -e end ] || [ $BURNISH_JOB_ID -lt {LAST} ]; do sleep 0.05; done"
        run = sweep.start_command("run", "--num_workers", "4", "--command", f"sh -c '{wait}'")
        wait_for(lambda: len(sweep.starts()) > 20, lambda: sweep.said(run))
        first, grown_from = usage(run.pid), memory(run.pid)
        for _ in range(RECONNECTS):
            agent, before = wait_for(lambda: children(run.pid))[0], given(tmp_path)
            # One that is killed before it has said a word is tried again ever more patiently.
            wait_for(
                lambda before=before: given(tmp_path) > before or before > LAST, lambda: sweep.said(run), deadline=90
            )
            os.kill(agent, signal.SIGKILL)
            wait_for(lambda agent=agent: [pid for pid in children(run.pid) if pid != agent], lambda: sweep.said(run))
        wait_for(lambda: sweep.status()[LAST]["state"] == "RUNNING", lambda: sweep.said(run), deadline=60 + JOBS / 4)
        wait_for(
            lambda: all(now <= then for now, then in zip(usage(run.pid), first, strict=True)),
            lambda: f"descriptors and threads: {usage(run.pid)}, at first {first}",
        )
        assert memory(run.pid) - grown_from < GROWTH
        (tmp_path / "end").touch()
        assert run.wait(60) == 0, sweep.said(run)
        folder = tmp_path / ".burnish" / "burnish.db"
        assert [*(folder / "tmp").iterdir(), *(folder / "coordinators").iterdir()] == []
        wait_for(lambda: list((tmp_path / "locks").iterdir()) == [])
        wait_for(lambda: not list(tmp_path.glob("home/.burnish/*/attempts/room.*")))
    finally:
        sweep.stop()
