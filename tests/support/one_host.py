"""One host for tests of the agent: a state folder, a lock folder, links to it, and a promise that nothing outlives the test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from burnish.remote import transport as transport_module
from burnish.remote.agent.place import IDLE, Place, host_folder_name
from burnish.remote.agent.processes import read_process
from burnish.remote.agent.records import read_record
from burnish.remote.bundle import bundle
from burnish.remote.transport import LocalTransport, Transport
from tests.support.agent_client import AgentClient, Frame
from tests.support.waiting import wait_for

# What runs agents on hosts: the tests' own Python, unless the environment names another one, say a 3.8.
PYTHON = os.environ.get("BURNISH_TEST_PYTHON") or sys.executable
TABLE = "table-1"


def oldest_python() -> str | None:
    """A Python 3.8 that works, on the PATH or kept by pyenv, if there is one."""
    kept = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions").glob("3.8.*/bin/python3.8")
    for found in (shutil.which("python3.8"), *map(str, kept)):
        if found and subprocess.run([found, "-c", "0"], capture_output=True).returncode == 0:
            return found
    return None


def change_agent(monkeypatch: pytest.MonkeyPatch, *changes: tuple[bytes, bytes]) -> None:
    """Until the test is over, links bring an agent whose text has the second of each pair where it had the first."""
    agent = bundle()
    for old, new in changes:
        assert agent.count(old) == 1
        agent = agent.replace(old, new)
    monkeypatch.setattr(transport_module, "bundle", lambda: agent)
    monkeypatch.setattr(transport_module, "_upload", transport_module._upload.__wrapped__)  # it is made once


class OneHost:
    """A host that lives in `folder`. Use as a context manager; BURNISH_LOCK_DIR must name `locks` by then."""

    def __init__(self, folder: Path, transport: Transport | None = None) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.locks = folder / "locks"
        self.ledger = folder / "ledger"
        self.transport = transport or LocalTransport(PYTHON)
        self.links: list[AgentClient] = []

    def connect(self, transport: Transport | None = None) -> AgentClient:
        """A new link, with an agent of its own."""
        link = AgentClient(transport or self.transport, TABLE, str(self.state_dir))
        self.links.append(link)
        return link

    def place(self, attempt: str) -> Place:
        return Place(str(self.home / "attempts"), TABLE, attempt)

    @property
    def home(self) -> Path:
        return self.state_dir / host_folder_name()

    def folder_of(self, attempt: str) -> Path:
        return Path(self.place(attempt).folder)

    def record(self, attempt: str, name: str) -> dict[str, Any]:
        """A record of an attempt, such as start.json."""
        record = read_record(str(self.folder_of(attempt) / name))
        assert record is not None, f"{attempt} has no {name}"
        return record

    def ledger_job(self, then: str = "") -> list[str]:
        """An argv that notes in the ledger that it was run, and goes on with the shell lines `then`."""
        return ["/bin/sh", "-c", f"echo ran >> '{self.ledger}'\n{then}"]

    def runs(self) -> int:
        """How often a ledger job was run on this host."""
        return len(self.ledger.read_text().splitlines()) if self.ledger.exists() else 0

    def processes(self, idle: bool = False) -> list[int]:
        """Pids of what belongs to attempts: jobs by their environment, supervisors and others by an open lock.

        With `idle`, also supervisors between two attempts.
        """
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and read_process(int(name)) and self._owns(Path("/proc", name), idle):
                found.append(int(name))
        return found

    def lock_names(self) -> list[str]:
        """The files of attempts' and slots' locks."""
        return [name for name in os.listdir(self.locks) if not name.startswith(IDLE)]

    def _owns(self, process: Path, idle: bool) -> bool:
        try:
            if f"BURNISH_RESULT={self.state_dir}".encode() in (process / "environ").read_bytes():
                return True
            opened = [Path(os.readlink(fd)) for fd in (process / "fd").iterdir()]
        except OSError:
            return False  # gone meanwhile
        return any(path.parent == self.locks and (idle or not path.name.startswith(IDLE)) for path in opened)

    def __enter__(self) -> OneHost:
        return self

    def __exit__(self, *_: object) -> None:
        for link in self.links:
            link.close()
        for pid in self.processes():
            with suppress(ProcessLookupError):  # it was on its way out
                os.kill(pid, 9)
        wait_for(lambda: not self.processes(idle=True), lambda: self.processes(idle=True))


@contextmanager
def one_host(folder: Path, transport: Transport | None = None) -> Iterator[OneHost]:
    """A host in `folder`, whose agents and this process look for locks there."""
    before = os.environ.get("BURNISH_LOCK_DIR")
    os.environ["BURNISH_LOCK_DIR"] = str(folder / "locks")
    try:
        with OneHost(folder, transport) as host:
            yield host
    finally:
        if before is None:
            del os.environ["BURNISH_LOCK_DIR"]
        else:
            os.environ["BURNISH_LOCK_DIR"] = before


def python_under(host: OneHost, words: str) -> LocalTransport:
    """A way to an agent that runs, with all that descends from it, under a command."""
    wrapper = host.folder / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {words} {PYTHON} "$@"\n')
    wrapper.chmod(0o755)
    return LocalTransport(str(wrapper))


def supervisor_pid(status: Frame) -> int:
    """The supervisor's pid, from a status that says running."""
    return int(status["start"]["go"]["supervisor"]["pid"])


def job_pid(status: Frame) -> int:
    """The job's pid, from a status that says running, which has to know it."""
    pid = int(status["start"]["go"]["pid"])
    assert pid > 0, status
    return pid
