"""Each command pays for its own imports alone: held by what is imported, never by how long it takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

from burnish.cli.commands import LISTED, NAMES
from burnish.cli.main import cli

AT_END = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); sys.argv[0] = 'burnish'; "
LIBRARIES = {"fabric", "paramiko", "rich", "yaml", "filelock", "asyncio", "ssl", "email", "http"}


def imported_by(folder: Path, typed: str) -> set[str]:
    """The modules that are loaded when the command ends."""
    command = [sys.executable, "-c", f"{AT_END}from burnish.__main__ import main; main()", *typed.split()]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("name", LISTED)
def test_what_is_listed_of_a_command_is_what_it_says_of_itself(name: str) -> None:
    whole = 1000  # characters
    says = cli.named(name).get_short_help_str(whole)
    assert click.Command(name, help=LISTED[name][1]).get_short_help_str(whole) == says


def test_every_name_is_that_of_its_command() -> None:
    assert [cli.named(name).name for name in NAMES] == list(NAMES)
    assert [cli.named(name).hidden for name in NAMES] == [name not in LISTED for name in NAMES]


@pytest.mark.parametrize(
    ("typed", "same"),
    [("help", "--help"), ("help help", "--help"), ("help status", "status --help"), ("help run", "run --help")],
)
def test_help_may_be_typed_as_a_command(typed: str, same: str) -> None:
    def shown(words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "burnish", *words.split()], capture_output=True, text=True, check=True, timeout=60
        ).stdout

    assert shown(typed) == shown(same)


def test_help_imports_no_command(tmp_path: Path) -> None:
    modules = imported_by(tmp_path, "--help")
    own = {module for module in modules if module.startswith("burnish")}
    assert own == {
        "burnish",
        "burnish.__main__",
        "burnish.cli",
        "burnish.cli.commands",
        "burnish.cli.main",
        "burnish.errors",
    }
    assert not modules & (LIBRARIES | {"json", "pathlib", "subprocess", "socket", "hashlib"})


def test_a_look_imports_nothing_that_runs_jobs(tmp_path: Path) -> None:
    (tmp_path / "burnish.db").write_text("JOB_ID,STATE,--lr\n0,,1e-4\n")
    imported_by(tmp_path, "status")  # which writes the ids that the table gives, and has more to import for that
    modules = imported_by(tmp_path, "status")
    assert modules & (LIBRARIES | {"subprocess", "ctypes", "difflib", "shlex"}) == set()
    for package in ("remote", "slurm", "runners", "coordinator", "plan", "roster", "core.hosts", "core.placement"):
        assert not [module for module in modules if f"{module}.".startswith(f"burnish.{package}.")]


def test_a_run_on_this_machine_imports_nothing_of_other_machines(tmp_path: Path) -> None:
    (tmp_path / "burnish.db").write_text("JOB_ID,STATE,--lr\n0,,1e-4\n")
    modules = imported_by(tmp_path, "run --quiet --command true")
    alone = [sys.executable, "-c", "import sys, filelock; print(*sys.modules)"]  # an older one imports asyncio
    locks = set(subprocess.run(alone, capture_output=True, text=True, check=True).stdout.split())
    assert modules & (LIBRARIES - locks) == set()
    for package in ("remote.ssh", "remote.known_hosts", "slurm", "roster", "dry_run", "views.status", "views.hosts"):
        assert not [module for module in modules if f"{module}.".startswith(f"burnish.{package}.")]
