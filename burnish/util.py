"""What runner files import: the two functions that runner files of the first burnish already call.

def creator():
    return burnish.util.create_grid_search({"--lr": ["1e-3", "1e-4"], "--seed": [1, 2]})

def runner(runner_args, job_dict):
    return burnish.util.run_subprocess_job(runner_args, job_dict, ["python", "train.py", "--lr", job_dict["--lr"]])
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from burnish.core.command import Command, arguments, for_python_file

Value = TypeVar("Value")


def create_grid_search(params: Mapping[str, Iterable[Value]]) -> dict[str, list[Value]]:
    """Every combination of the lists in `params`, as equally long lists: row i is one job. The last key varies fastest."""
    combinations = list(itertools.product(*params.values()))
    return {key: [row[index] for row in combinations] for index, key in enumerate(params)}


def run_subprocess_job(
    runner_args: Mapping[str, object],
    job_dict: Mapping[str, str],
    cmd: Sequence[str | os.PathLike[str] | int | float] | str,
) -> Command:
    """The command for this job, to be returned to burnish, which runs it on the slot it chose and writes down how it ended.

    `cmd` is a list of arguments, run as it is, or one text, run by `sh -c`. Raises TypeError for anything else.
    """
    if isinstance(cmd, str):
        return Command(("sh", "-c", cmd))
    if isinstance(cmd, bytes) or not isinstance(cmd, Sequence):
        raise TypeError(f"cmd is a list of arguments or one text for the shell, not {type(cmd).__name__}")
    return Command(tuple(_argument(part) for part in cmd))


def as_arguments(job_dict: Mapping[str, str]) -> list[str]:
    """`KEY VALUE …` for the arguments of a job, by the rule of the table: an empty cell is left out, a cell that equals its
    column's name is a bare flag, JOB_ID and STATE are not arguments."""
    return list(arguments(list(job_dict), list(job_dict.values())))


def default_runner(python_file: str, runner_args: Mapping[str, object], job_dict: Mapping[str, str]) -> Command:
    """What `burnish run --python_file` does: `python python_file KEY VALUE …`."""
    return Command(for_python_file("python", python_file, list(job_dict), list(job_dict.values())))


def _argument(part: str | os.PathLike[str] | int | float) -> str:
    if isinstance(part, os.PathLike):
        return os.fspath(part)
    if isinstance(part, (str, int, float)):
        return str(part)
    raise TypeError(f"cmd holds {part!r}; each argument is a text, a number or a path")
