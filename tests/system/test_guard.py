"""What a batch script runs is a supervisor and its guard: whichever is killed, no job goes on that nobody answers for."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from burnish.remote.agent import guard as guard_module
from burnish.remote.agent.pulse import Pulse
from burnish.remote.agent.records import read_record, write_once
from tests.support.agent_client import make_spec, new_attempt
from tests.support.hosts import children, descendants
from tests.support.one_host import PYTHON, OneHost, one_host
from tests.support.proc import processes
from tests.support.sweeps import wait_until_gone
from tests.support.waiting import wait_for

HIDES = "trap '' TERM; setsid env -i sleep 1000 & (setsid sleep 1000 &) ; sleep 1000"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    with one_host(tmp_path) as made:
        made.connect()  # it brings the agent's text
        yield made


@contextmanager
def guarded(host: OneHost, shell: str, *below: str, **more: Any) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """What runs this line of shell as a batch script does, which is the guard, and the attempt's folder.

    `below`: a command that runs it.
    """
    folder = host.folder_of(new_attempt())
    folder.mkdir(mode=0o700)
    write_once(str(folder / "spec.json"), {**make_spec("/bin/sh", "-c", shell), **more})
    (source,) = host.home.glob("agent-*.py")
    argv = [*below, PYTHON, "-I", str(source), "supervise", str(folder)]
    guard = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    try:
        yield guard, folder
    finally:
        guard.kill()
        guard.communicate()


def supervisor_of(guard: subprocess.Popen[str], folder: Path) -> int:
    """The supervisor's pid, once it has a job: the one that start.json names, whose parent is the guard."""
    wait_for(lambda: processes(folder), "the job has not begun")
    named: int = (read_record(str(folder / "start.json")) or {})["go"]["supervisor"]["pid"]
    assert children(guard.pid) == [named]
    return named


def test_killed_supervisor_takes_its_job_with_it(host: OneHost) -> None:
    """All of it, though it ignores TERM, left its session and has no environment. Then there is no sign of life any more."""
    with guarded(host, HIDES, batch={"name": "burnish-t-1", "index": 0}) as (guard, folder):
        supervisor = supervisor_of(guard, folder)
        wait_for(lambda: len(descendants(supervisor)) == 4, lambda: descendants(supervisor))
        job = descendants(supervisor)
        os.kill(supervisor, signal.SIGSTOP)
        assert (folder / "pulse").exists()
        os.kill(supervisor, signal.SIGKILL)
        assert guard.wait(60) == 128 + signal.SIGKILL
        assert [pid for pid in job if Path(f"/proc/{pid}").exists()] == []
        assert not (folder / "final.json").exists()  # what became of it is the batch system's to say
        assert not (folder / "pulse").exists()


def test_verdict_is_synced_however_short_the_job(host: OneHost) -> None:
    """Nobody hears of it at once, as of one that an agent's supervisor has."""
    trace = host.folder / "calls"
    strace = ("strace", "-f", "-y", "-qq", "--seccomp-bpf", "-o", str(trace), "-e", "trace=fsync")
    with guarded(host, "true", *strace, batch={"name": "burnish-t-1", "index": 0}) as (guard, folder):
        assert guard.wait(60) == 0
        assert (folder / "final.json").is_symlink()
    assert f"/{folder.name}>)" in trace.read_text()


def test_what_the_kernel_cannot_end_yet_has_a_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    left, beats = iter([True, True, False]), []

    class Counted(Pulse):
        def __init__(self) -> None:
            pass

        def beat(self) -> bool:
            beats.append(True)
            return True

    monkeypatch.setattr(guard_module, "_has_children", lambda: next(left))
    monkeypatch.setattr(guard_module, "signal_descendants", lambda numbers: 0)
    guard_module._end_what_is_left(Counted())
    assert beats == [True, True]


def test_signal_to_the_script_wakes_the_supervisor(host: OneHost) -> None:
    """Of one without a pulse, which would not look again for ten minutes. TERM, INT and HUP end neither guard nor supervisor."""
    with guarded(host, "sleep 1000") as (guard, folder):
        supervisor_of(guard, folder)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            guard.send_signal(number)
        write_once(str(folder / "cancel.json"), {"by": "ann", "grace": 1})
        guard.send_signal(signal.SIGUSR1)
        assert guard.wait(60) == 0
        exit = (read_record(str(folder / "final.json")) or {})["exit"]
        assert (exit["signal"], exit["cancelled"]) == (signal.SIGTERM, "ann")


def test_killed_guard_costs_neither_job_nor_verdict(host: OneHost) -> None:
    gate = host.folder / "gate"
    with guarded(host, f"until [ -e '{gate}' ]; do sleep 0.02; done; exit 7") as (guard, folder):
        supervisor = supervisor_of(guard, folder)
        guard.kill()
        guard.wait()
        assert processes(folder)
        gate.touch()
        wait_until_gone(supervisor)
        assert (read_record(str(folder / "final.json")) or {})["exit"]["code"] == 7


def test_why_a_supervisor_cannot_begin_is_said_by_the_script(
    host: OneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BURNISH_LOCK_DIR", str(tmp_path / "file"))
    with guarded(host, "true") as (guard, folder):
        _, said = guard.communicate(timeout=60)
        assert guard.returncode == 1 and f"{tmp_path}/file" in said.splitlines()[-1], said
        assert not (folder / "start.json").exists()
