"""A conversation with an agent, cut after each of its bytes, each way: the next link finishes it, with one start."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.support import strace

ALL = os.environ.get("BURNISH_TEST_SWEEP") == "all"
STRIDE = 1 if ALL else 397  # some forty-five cuts, of all four ways
LIMIT = 4 * 3600 if ALL else 120  # s


def test_link_cut_after_any_byte_costs_no_start_no_byte_and_no_verdict(tmp_path: Path) -> None:
    command = strace.script("cut_links.py", str(tmp_path), str(STRIDE), "0")
    done = subprocess.run(command, env=strace.environment(), capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cuts"] > 20
