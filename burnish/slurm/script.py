"""The script that Slurm runs: one text for all tasks of an array, each of which becomes the supervisor of its attempt. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from burnish.core.hosts import Host
from burnish.core.ids import name_ids
from burnish.core.jobs import AttemptId, JobId
from burnish.slurm import text
from burnish.slurm.text import Demand


def shown(host: Host, table: str, jobs: Mapping[JobId, Demand]) -> Iterator[str]:
    """For people: the argv and the script that would be submitted for these jobs, one for each kind of demand.

    `…` stands for what is known only then: random digits, and a hash of the agent's text.
    """
    source = f"{host.state_dir.rstrip('/')}/slurm/agent-….py"
    for demand in dict.fromkeys(jobs.values()):
        attempts = {index: f"{job}.1-…" for index, job in enumerate(job for job in jobs if jobs[job] == demand)}
        argv = text.sbatch(
            f"burnish-{table}-…", comment(table, attempts.values()), list(attempts), dict(host.sbatch), demand
        )
        yield f"{shlex.join(argv)} << 'EOF'\n{script(source, host.python, table, attempts)}EOF"


def trial(host: Host, table: str, source: str) -> tuple[list[str], str]:
    """The argv and the stdin that ask whether sbatch would take a job of this host as it is submitted; nothing is."""
    argv = text.sbatch(f"burnish-{table}", "burnish check", [0], dict(host.sbatch), Demand())
    return [argv[0], "--test-only", *argv[1:]], script(source, host.python, table, {0: "0.1-check"})


def comment(table: str, attempts: Iterable[str]) -> str:
    """What `squeue --format=%k` and `sacct` tell people of an array."""
    return (
        f"burnish, table {table}: jobs {name_ids([AttemptId.parse(name.partition('-')[0]).job for name in attempts])}"
    )


def script(source: str, python: str, table: str, attempts: Mapping[int, str]) -> str:
    """`source`: where the host keeps the agent's text; `attempts`: index of a task -> the attempt's name.

    `python` is as the inventory allows it, a word that a shell takes as it is. The supervisor's guard takes the shell's place, so
    that a signal for the script reaches it.
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
cd {_word(str(folder))} || exit 2
exec {python} -I {_word(source)} supervise "$PWD/$attempt" 2>>"$attempt/batch.err"
"""


def _word(path: str) -> str:
    """A path as a shell is to take it: of a host that was not asked, where its home is remains the shell's to say."""
    home, slash, rest = path.partition("/")
    return f"~/{shlex.quote(rest)}" if (home, slash) == ("~", "/") else shlex.quote(path)
