"""What a failure leads to: another host after want of memory, and what `on_failure` of the inventory says of its kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BURNISH = [sys.executable, "-m", "burnish"]
# What a job does by its cell: it runs out of memory on the host of that name, on all, lacks a module, fails, or ends well.
JOB = """\
case $1 in
  $BURNISH_HOST|everywhere) echo MemoryError >&2; exit 1 ;;
  module) echo "ModuleNotFoundError: No module named 'yaml'" >&2; exit 1 ;;
  bug) exit 3 ;;
esac
"""
HOSTS = """\
defaults: {connection: local, gpus: none, slots: 1, on_failure: {no_module: stop, exit: hold}}
hosts:
  one: {state_dir: FOLDER/one}
  two: {state_dir: FOLDER/two}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "job.sh").write_text(JOB)
    (tmp_path / "lab.yaml").write_text(HOSTS.replace("FOLDER", str(tmp_path)))
    return tmp_path


def run(folder: Path, *whats: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit code of a run with retries to spare, and the jobs after it."""
    rows = "".join(f"{number},,{what}\n" for number, what in enumerate(whats))
    (folder / "burnish.db").write_text("JOB_ID,STATE,what\n" + rows)
    command = ["run", "--hosts", "lab.yaml", "--retries", "5", "--command", "sh job.sh {what}"]
    code = subprocess.run([*BURNISH, *command], cwd=folder, capture_output=True, timeout=60).returncode
    done = subprocess.run([*BURNISH, "status", "--json"], cwd=folder, capture_output=True, text=True, check=True)
    return code, json.loads(done.stdout)["jobs"]


def test_want_of_memory_sends_a_job_to_another_host_and_to_each_once(folder: Path) -> None:
    code, jobs = run(folder, "one", "two", "everywhere")
    assert code == 1
    assert [(job["state"], job["host"]) for job in jobs[:2]] == [("COMPLETE", "two"), ("COMPLETE", "one")]
    assert (jobs[2]["state"], jobs[2]["reason"], jobs[2]["attempts"]) == ("ERROR", "exit 1 (OOM, host memory)", 2)


def test_a_kind_of_failure_has_the_policy_of_the_inventory(folder: Path) -> None:
    _, jobs = run(folder, "module", "bug")
    assert [(job["state"], job["reason"], job["attempts"]) for job in jobs] == [
        ("ERROR", "exit 1 (no module yaml)", 1),
        ("HOLD", "failed: exit 3", 1),
    ]


def test_a_job_that_was_held_for_its_failure_alone_fails_a_run(folder: Path) -> None:
    code, [job] = run(folder, "bug")
    assert (code, job["state"]) == (1, "HOLD")
