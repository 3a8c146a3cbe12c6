"""A job that writes as fast as its disk takes it: its log comes home whole, and no other host and no memory pays for it."""

from __future__ import annotations

import hashlib
import time
from itertools import pairwise
from pathlib import Path

from tests.support.gated import Gated
from tests.support.hosts import Bench
from tests.support.waiting import wait_for

JOBS = 200
LINE = b"x" * 199 + b"\n"
FLOOD = 200_000_000  # bytes
MEMORY = 150 << 20  # bytes: what a coordinator may take, which is less than the flood

# The first job on gpu1 is the flood, and stays until the test has seen enough. The others note when they end.
JOB = f"""\
import os, sys, time
if os.uname().nodename == "gpu1" and not os.path.exists("gates/flood"):
    os.mkdir("gates/flood")
    for _ in range({FLOOD // len(LINE) // 1000}):
        sys.stdout.buffer.write({LINE!r} * 1000)
    sys.stdout.flush()
    while not os.path.exists("gates/seen"):
        time.sleep(0.02)
else:
    with open("gates/ended", "a") as file:
        file.write(f"{{time.time()}}\\n")
"""


def peak_memory(pid: int) -> int:
    """The most that a process has had in memory so far, in bytes."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def test_flood_on_one_host_slows_no_other_and_grows_no_memory(bench: Bench) -> None:
    for name in ("gpu1", "gpu2"):
        bench.add(name)
    table = Gated.of(bench, JOBS)
    (table.folder / "gates").chmod(0o777)
    (table.folder / "job.py").write_text(JOB)
    table.inventory("gpu1", "gpu2", slots=1)
    try:
        run = table.run()

        def home() -> int:
            logs = (table.folder / "burnish_log").rglob("*.log")
            return max((log.stat().st_size for log in logs), default=0)

        wait_for(lambda: home() > 0, table.said)
        began = time.time()
        wait_for(lambda: home() == FLOOD, lambda: f"{home()} bytes\n{table.said()}", deadline=300)
        over = time.time()
        ends = [float(line) for line in (table.folder / "gates" / "ended").read_text().split()]
        meanwhile = [began, *(end for end in ends if began < end < over)]
        pauses = [later - earlier for earlier, later in pairwise(meanwhile)]
        assert peak_memory(run.pid) < MEMORY
        assert len(meanwhile) > 5 or len(ends) == JOBS - 1, f"{len(meanwhile)} jobs in {over - began:.1f} s"
        assert max(pauses) < 10, "gpu2 stood still"
        (table.folder / "gates" / "seen").touch()
        assert run.wait(120) == 0, table.said()
        [flood] = [log for log in (table.folder / "burnish_log").rglob("*.log") if log.stat().st_size]
        whole = hashlib.sha256(LINE * (FLOOD // len(LINE)))
        assert hashlib.sha256(flood.read_bytes()).digest() == whole.digest()
    finally:
        table.stop()
