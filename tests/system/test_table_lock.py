"""The lock of the table: who dies with it is in nobody's way, nor is who never gives it back. Without locks it goes, too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import pytest
from filelock import FileLock
from support.kept_table import KeptTable, kept_table
from support.sweeps import Sweep

from burnish.core.events import HoldRequested
from burnish.core.jobs import JobId
from burnish.session import Session
from burnish.store.paths import Paths

HOLD = """\
import fcntl, sys
lock = open(sys.argv[1], "a")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def table(tmp_path: Path) -> Iterator[KeptTable]:
    with kept_table(tmp_path, processes=1) as kept:
        yield kept


@pytest.fixture
def holder(table: KeptTable) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock."""
    lock = table.path.parent / ".burnish" / "burnish.db" / "lock"
    command = [sys.executable, "-c", HOLD, str(lock)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_who_dies_with_the_lock_is_in_nobodys_way(table: KeptTable, holder: subprocess.Popen[str]) -> None:
    before = table.text
    table.ask(0, "run 0")
    for _ in range(5):
        table.turn()
    assert table.text == before, "it writes although somebody has the lock"
    holder.kill()
    holder.wait()
    table.ask(0, "render")
    assert table.row(0).startswith("0,COMPLETE")


def test_who_makes_a_table_that_is_missing_waits_for_the_lock(table: KeptTable, holder: subprocess.Popen[str]) -> None:
    """Whom it keeps out may hold a text that is older: named after this one, it would count as a save."""
    table.path.unlink()
    table.ask(0, "run 0")
    table.until(lambda _: "the file is gone" in "".join(table.said[0]))
    for _ in range(5):
        table.turn()
    assert not table.path.exists(), "it writes although somebody has the lock"
    holder.kill()
    holder.wait()
    table.until(lambda _: table.path.exists())
    assert table.row(0).startswith("0,COMPLETE")


def test_no_text_is_named_where_somebody_saves_while_the_lock_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "burnish.db").write_text("JOB_ID,STATE,n\n0,NOT_RUNNING,1\n")
    monkeypatch.chdir(tmp_path)
    session = Session.open(Paths.of("burnish.db", "burnish_log"), print)
    session.journal.commit(lambda state: [HoldRequested(JobId(0))])
    session.projection.mark(session.state.take_touched())
    named = dict(session.state.rendered)

    class Late(FileLock):
        def acquire(self, *how: Any, **more: Any) -> Any:
            (tmp_path / "burnish.db").write_text("JOB_ID,STATE,n\n0,NOT_RUNNING,2\n")
            return super().acquire(*how, **more)

    monkeypatch.setattr(filelock, "FileLock", Late)
    assert not session.projection.render()
    assert dict(session.state.rendered) == named


def test_who_never_gives_the_lock_back_is_not_waited_for_at_the_end(
    table: KeptTable, holder: subprocess.Popen[str]
) -> None:
    table.ask(0, "run 0")
    table.ask(0, "finish")
    assert table.row(0).startswith("0,COMPLETE")
    assert holder.poll() is None


def test_file_system_without_locks_costs_nothing(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 10)
    try:
        no_locks = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", "inject=flock:error=ENOLCK"]
        command = [*no_locks, sys.executable, "-m", "burnish", *sweep.command, "--num_workers", "2"]
        done = subprocess.run(command, cwd=tmp_path, env=sweep.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert sweep.check() == {"1": 10}
    finally:
        sweep.stop()
