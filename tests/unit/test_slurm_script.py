"""The script of an array, as a shell takes it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from burnish.core.hosts import Host
from burnish.core.jobs import HostName, JobId
from burnish.slurm.script import script, shown
from burnish.slurm.text import Demand

HPC = Host(HostName("hpc"), engine="slurm", python="echo")


def said_by(text: str, home: Path) -> str:
    """What `echo` prints in place of the agent's python, for the first task."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "SLURM_ARRAY_TASK_ID": "0"}
    return subprocess.run(
        ["sh"], input=text, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_what_dry_run_shows_finds_the_home_as_it_is_typed(tmp_path: Path) -> None:
    attempt = tmp_path / ".burnish" / "slurm" / "attempts" / "t" / "7.1-…"
    attempt.mkdir(parents=True)
    [command] = shown(HPC, "t", {JobId(7): Demand()})
    assert "'--comment=burnish, table t: jobs 7'" in command
    text = command.partition("<< 'EOF'\n")[2].removesuffix("EOF")
    assert said_by(text, tmp_path) == f"-I {tmp_path}/.burnish/slurm/agent-….py supervise {attempt}"


@pytest.mark.parametrize("folder", ["of ann's", "~ann", "$HOME"])
def test_a_folder_is_what_it_is_called(tmp_path: Path, folder: str) -> None:
    home = tmp_path / folder / "slurm"
    attempt = home / "attempts" / "t" / "7.1-abcd"
    attempt.mkdir(parents=True)
    text = script(f"{home}/agent-1.py", "echo", "t", {0: attempt.name})
    assert said_by(text, tmp_path) == f"-I {home}/agent-1.py supervise {attempt}"
