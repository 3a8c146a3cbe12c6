"""Real shells complete words of a command line, with nothing on the terminal that was not asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.editors import Terminal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table, an inventory, and a `burnish` to be found on PATH."""
    (tmp_path / "burnish.db").write_text("JOB_ID,STATE,--lr\n0,HOLD,0.1\n1,ERROR,0.2\n12,,0.3\n13,HOLD,0.4\n")
    (tmp_path / "hosts").mkdir()
    (tmp_path / "hosts" / "lab.yaml").write_text("groups: {a100: {hosts: {gpu01: , gpu02: }}}\n")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "burnish"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m burnish "$@"\n')
    command.chmod(0o755)
    return tmp_path


def asked(folder: Path, words: str) -> list[str]:
    """What completes the last word of a line, as bash asks for it; nothing is said on stderr."""
    environment = {
        **os.environ,
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "_BURNISH_COMPLETE": "bash_complete",
    }
    done = subprocess.run([folder / "bin" / "burnish"], cwd=folder, env=environment, capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 0)
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("burnish rel", ["release"]),
        ("burnish help rel", ["release"]),
        ("burnish view 1", ["1", "12", "13"]),
        ("burnish view --job_id 1", ["1", "12", "13"]),
        ("burnish release --job_id ", ["0", "13"]),
        ("burnish cancel --job_id 0,1", ["0,12"]),
        ("burnish release --job_id 0-", ["0-0", "0-13"]),
        ("burnish run --limit ", ["gpu01", "gpu02", "a100"]),
        ("burnish drain gpu", ["gpu01", "gpu02"]),
        ("burnish run --limit --hosts=hosts/no.yaml ", []),
        ("burnish status --db_file no.db --job_id ", []),
        ("burnish status --state E", ["ERROR"]),
        ("burnish nope --x", []),
        ("burnish view --job_id x --tail ", []),
    ],
)
def test_what_may_come_next(folder: Path, words: str, found: list[str]) -> None:
    assert [line.removeprefix("plain,") for line in asked(folder, words)] == found


@pytest.mark.parametrize("text", ["", "JOB_ID\n", "\x00", "JOB_ID,STATE\n0", 'JOB_ID,STATE\n0,"open', "\udcff"])
def test_a_table_that_cannot_be_read_gives_no_words(folder: Path, text: str) -> None:
    (folder / "burnish.db").write_text(text, errors="surrogateescape")
    assert asked(folder, "burnish view ") == []


def test_a_question_that_makes_no_sense_is_not_answered(folder: Path) -> None:
    environment = {**os.environ, "COMP_WORDS": "burnish", "COMP_CWORD": "x", "_BURNISH_COMPLETE": "bash_complete"}
    done = subprocess.run([folder / "bin" / "burnish"], cwd=folder, env=environment, capture_output=True)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 1)


def test_a_file_is_left_to_the_shell(folder: Path) -> None:
    assert asked(folder, "burnish create --yaml gr") == ["file,gr"]


def test_ids_are_completed_without_the_journal_and_what_talks_to_hosts(folder: Path) -> None:
    environment = {**os.environ, "COMP_WORDS": "burnish view ", "COMP_CWORD": "2", "_BURNISH_COMPLETE": "bash_complete"}
    end = "import atexit, sys; sys.argv = ['burnish']; atexit.register(lambda: print(*sys.modules))"
    code = f"{end}; from burnish.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    words, modules = done.stdout.splitlines()[:-1], set(done.stdout.splitlines()[-1].split())
    assert len(words) == 4 and "burnish.completing" in modules
    assert not modules & {"burnish.session", "burnish.store.journal", "yaml", "fabric", "paramiko", "asyncio"}


@contextmanager
def shell(folder: Path, *command: str) -> Iterator[Terminal]:
    path = f"PATH={folder / 'bin'}:{os.environ['PATH']}"
    made = Terminal(folder / "tmux", ["env", "-C", str(folder), path, f"PYTHONPATH={os.getcwd()}", *command])
    try:
        yield made
    finally:
        made.end()


def test_bash_completes_at_the_tabulator(folder: Path) -> None:
    with shell(folder, "PS1=> ", "bash", "--norc", "--noprofile") as bash:
        bash.shows(">")
        bash.type('eval "$(_BURNISH_COMPLETE=bash_source burnish)"; clear; echo re""ady', "Enter")
        bash.shows("ready\n>")
        bash.type("burnish nope --x", "C-i", "C-u", "burnish release --job_id 1", "C-i")
        bash.shows("> burnish release --job_id 13")
        assert [line.strip() for line in bash.screen.splitlines() if line] == ["ready", "> burnish release --job_id 13"]


def test_zsh_completes_at_the_tabulator(folder: Path) -> None:
    with shell(folder, "PS1=> ", "zsh", "-f") as zsh:
        zsh.shows(">")
        zsh.type("autoload -U compinit; compinit -D", "Enter")
        zsh.type('eval "$(_BURNISH_COMPLETE=zsh_source burnish)"; clear; echo re""ady', "Enter")
        zsh.shows("ready")
        zsh.type("burnish release --job_id 1", "C-i")
        zsh.shows("> burnish release --job_id 13")


def test_fish_offers_the_words(folder: Path) -> None:
    code = '_BURNISH_COMPLETE=fish_source burnish | source; complete -C "burnish release --job_id "'
    environment = {**os.environ, "HOME": str(folder), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(["fish", "-N", "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert [line.split() for line in done.stdout.splitlines()] == [["0", "HOLD", "0.1"], ["13", "HOLD", "0.4"]]
