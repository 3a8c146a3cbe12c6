"""The script that Slurm runs: one text for all tasks of an array, each of which becomes the supervisor of its attempt. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from burnish.core.hosts import Host
from burnish.core.jobs import JobId
from burnish.slurm import text
from burnish.slurm.text import Demand


def shown(host: Host, table: str, jobs: Mapping[JobId, Demand]) -> Iterator[str]:
    """For people: the argv and the script that would be submitted for these jobs, one for each kind of demand."""
    source = f"{host.state_dir}/slurm/agent-….py"
    for demand in dict.fromkeys(jobs.values()):
        attempts = {index: f"{job}.1-…" for index, job in enumerate(job for job in jobs if jobs[job] == demand)}
        argv = text.sbatch(f"burnish-{table}-…", "burnish, …", list(attempts), dict(host.sbatch), demand)
        yield f"{shlex.join(argv)} << 'EOF'\n{script(source, host.python, table, attempts)}EOF"


def trial(host: Host, table: str, source: str) -> tuple[list[str], str]:
    """The argv and the stdin that ask whether sbatch would take a job of this host as it is submitted; nothing is."""
    argv = text.sbatch(f"burnish-{table}", "burnish check", [0], dict(host.sbatch), Demand())
    return [argv[0], "--test-only", *argv[1:]], script(source, host.python, table, {0: "0.1-check"})


def script(source: str, python: str, table: str, attempts: Mapping[int, str]) -> str:
    """`source`: where the host keeps the agent's text; `attempts`: index of a task -> the attempt's name.

    `python` is as the inventory allows it, a word that a shell takes as it is. The supervisor takes the shell's place, so that a
    signal for the script reaches it.
    """
    folder = PurePosixPath(source).parent / "attempts" / table
    cases = "\n".join(f"{index}) attempt={shlex.quote(name)} ;;" for index, name in sorted(attempts.items()))
    return f"""\
#!/bin/sh
# burnish: an attempt of table {table} for each task of this array
case $SLURM_ARRAY_TASK_ID in
{cases}
*) exit 2 ;;
esac
cd {shlex.quote(str(folder))} || exit 2
exec {python} -I {shlex.quote(source)} supervise "$PWD/$attempt" 2>>"$attempt/batch.err"
"""
