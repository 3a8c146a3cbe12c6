"""This machine's agent starts while the rest of a run is imported: it is the run's only one, and goes with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from burnish.cli.main import outcome
from burnish.errors import UsageError
from burnish.remote.transport import LocalTransport
from burnish.session import Session
from tests.support.hosts import children

# `burnish` with the arguments that follow; says at its end how many agents it has started.
COUNTING = (
    "import atexit, sys; from burnish.remote.transport import LocalTransport; start, made = LocalTransport._start, []; "
    "LocalTransport._start = lambda way, *how: made.append(way) or start(way, *how); atexit.register(lambda: print(len(made))); "
    "sys.argv[0] = 'burnish'; from burnish.__main__ import main; main()"
)


def test_it_starts_before_the_table_is_opened_and_goes_with_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before, seen = children(os.getpid()), []

    def refuse(*_: Any) -> Session:
        seen.extend(set(children(os.getpid())) - set(before))
        raise UsageError("There is no table here. Nothing was started.")

    monkeypatch.setattr(Session, "open", refuse)
    assert outcome(["run", "--command", "true"]) == 2
    assert capsys.readouterr().err == "error: There is no table here. Nothing was started.\n"
    assert len(seen) == 1 and children(os.getpid()) == before


def test_none_is_prepared_for_other_hosts_or_a_mistaken_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[LocalTransport] = []
    monkeypatch.setattr(LocalTransport, "prepare", prepared.append)
    hosts = tmp_path / "hosts.yaml"
    hosts.write_text("hosts: {gpu1: {slots: 1}}\n")
    monkeypatch.chdir(tmp_path)
    assert outcome(["run", "--command", "true", "--hosts", str(hosts)]) == 2  # there is no table
    assert outcome(["run"]) == outcome(["run", "--command", "true", "--python", "python3"]) == 2
    assert not prepared


@pytest.mark.parametrize(("typed", "agents"), [(["run"], 1), (["run", "--dry_run"], 0)])
def test_it_is_the_only_one(tmp_path: Path, typed: list[str], agents: int) -> None:
    (tmp_path / "jobs.csv").write_text("--n\n1\n2\n")
    burnish = [sys.executable, "-m", "burnish"]
    subprocess.run([*burnish, "create", "--csv", "jobs.csv"], cwd=tmp_path, check=True, capture_output=True)
    command = [sys.executable, "-c", COUNTING, *typed, "--command", "true"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == f"{agents}"
