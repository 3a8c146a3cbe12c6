"""The functions that runner files of the first burnish call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import burnish
from burnish.util import as_arguments, create_grid_search, default_runner, run_subprocess_job


def test_a_grid_search_is_a_dict_of_equally_long_lists_in_the_order_of_itertools_product() -> None:
    assert create_grid_search({"--env": ["e1", "e2"], "--seed": (1, 2), "--lr": ["x"]}) == {
        "--env": ["e1", "e1", "e2", "e2"],
        "--seed": [1, 2, 1, 2],
        "--lr": ["x", "x", "x", "x"],
    }


def test_a_command_is_a_list_as_it_is_or_a_text_for_the_shell() -> None:
    made = run_subprocess_job({}, {}, ["python", Path("t.py"), "--lr", 0.1, 3])
    assert made == burnish.Command(("python", "t.py", "--lr", "0.1", "3"))
    assert run_subprocess_job({}, {}, "a | b").argv == ("sh", "-c", "a | b")


@pytest.mark.parametrize("cmd", [None, 3, b"run", {"run"}, ["run", None]])
def test_anything_else_is_no_command(cmd: object) -> None:
    with pytest.raises(TypeError, match="cmd"):
        run_subprocess_job({}, {}, cmd)  # type: ignore[arg-type]


def test_the_arguments_of_a_job_follow_the_rule_of_the_table() -> None:
    job = {"JOB_ID": "3", "STATE": "RUNNING", "--lr": "1e-4", "--amp": "--amp", "--off": ""}
    assert as_arguments(job) == ["--lr", "1e-4", "--amp"]
    assert default_runner("t.py", {}, job).argv == ("python", "t.py", "--lr", "1e-4", "--amp")


def test_import_burnish_is_light() -> None:
    """A runner file pays for it in every process, so it brings none of the libraries that the commands use."""
    heavy = "{'click', 'yaml', 'rich', 'fabric', 'paramiko', 'filelock', 'subprocess', 'difflib', 'shlex'}"
    program = (
        f"import sys; before = set(sys.modules); import burnish; print(sorted((set(sys.modules) - before) & {heavy}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
