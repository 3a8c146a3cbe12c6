"""The disk of the table does not answer for a while: the run says so, and goes on when the disk does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.sweeps import Sweep

# burnish, but a standstill is told after a second.
WATCHFUL = "from burnish.watchdog import Watchdog; Watchdog.__init__.__defaults__ = (1 / 12,); "
WATCHFUL += "from burnish.cli.main import main; main()"
# The loop's second commit takes three seconds; its other threads, and the agent, go on.
HANGS = ["-e", "trace=linkat", "-e", "inject=linkat:delay_enter=3000000:when=2"]


def test_standstill_is_told_while_it_lasts(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 10)
    try:
        command = ["strace", "-qq", "-o", "/dev/null", *HANGS, sys.executable, "-c", WATCHFUL, *sweep.command]
        done = subprocess.run(command, cwd=tmp_path, env=sweep.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1, done.stderr
        told = [line for line in done.stderr.splitlines() if line.startswith("The disk of burnish.db")]
        assert len(told) >= 2, done.stderr  # more where the disk of this machine keeps it waiting, too
        assert "has not answered for" in told[0] and "Running jobs go on" in told[0]
        assert told[1].endswith("answers again.")
        assert sweep.check() == {"1": 10}
    finally:
        sweep.stop()
