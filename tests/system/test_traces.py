"""What lives of an attempt without a supervisor is found at any moment: while it starts a program, opens files, or dies."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.remote.agent.place import Place
from burnish.remote.agent.processes import has_open, incarnation
from burnish.remote.agent.standing import read_status
from burnish.remote.agent.traces import PAUSES, kin, traces
from tests.support.waiting import wait_for

LOOKS = 300
# Becomes another program some hundred times a second, and each time shows no environment for a moment.
EXECS = '#!/bin/sh\ni=0; while [ $i -lt 500 ]; do i=$((i+1)); done; exec "$0"\n'
# Each of its processes starts the next and ends, some hundred times a second: of the first look none lives at the second.
HOPS = '#!/bin/sh\n[ -e "$0.stop" ] || exec "$0" & i=0; while [ $i -lt 500 ]; do i=$((i+1)); done\n'


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path), "table", f"1.1-{os.urandom(4).hex()}")


@pytest.fixture
def executing(place: Place, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    script = tmp_path / "execs"
    script.write_text(EXECS)
    script.chmod(0o700)
    process = subprocess.Popen([str(script)], env={**os.environ, "BURNISH_RESULT": place.file("result.json")})
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who shows no environment may have been interrupted as it was about to."""
    monkeypatch.setattr("burnish.remote.agent.traces.PAUSES", (*PAUSES, 0.1, 0.5, 2.0))


def test_process_that_is_starting_a_program_is_found(
    place: Place, executing: subprocess.Popen[bytes], patient: None
) -> None:
    wait_for(lambda: traces(place))
    assert [[found.pid for found in traces(place)] for _ in range(LOOKS)] == [[executing.pid]] * LOOKS
    assert executing.poll() is None


@pytest.fixture
def hopping(place: Place, tmp_path: Path) -> Iterator[None]:
    script = tmp_path / "hops"
    script.write_text(HOPS)
    script.chmod(0o700)
    subprocess.run([str(script)], env={**os.environ, "BURNISH_RESULT": place.file("result.json")}, check=True)
    yield
    (tmp_path / "hops.stop").touch()
    wait_for(lambda: not traces(place))


def test_attempt_that_goes_from_process_to_process_is_not_over(place: Place, hopping: None, patient: None) -> None:
    here = incarnation()
    ended = subprocess.Popen(["true"])
    ended.wait()
    os.makedirs(place.folder)
    go = {"incarnation": here, "supervisor": {"pid": ended.pid, "starttime": 1}}
    Path(place.file("start.json")).write_text(json.dumps({"go": go}))
    looks = [read_status(place, here) for _ in range(LOOKS // 3)]
    assert {(look.status, look.dead) for look in looks} == {("running", "")}


def test_process_that_closes_files_is_known_by_the_lock_it_keeps_open(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    stop = threading.Event()

    def open_and_close() -> None:
        while not stop.is_set():
            for descriptor in [os.open(path.parent, os.O_RDONLY) for _ in range(20)]:
                os.close(descriptor)

    busy = threading.Thread(target=open_and_close)
    with open(path) as lock:
        last = fcntl.fcntl(lock, fcntl.F_DUPFD, 200)  # seen after all those that come and go
    busy.start()
    try:
        missed = [look for look in range(LOOKS) if not has_open(os.getpid(), str(path))]
    finally:
        stop.set()
        busy.join()
        os.close(last)
    assert missed == []


def test_process_that_only_looks_at_the_lock_is_none_of_the_attempt(place: Place) -> None:
    """Every agent looks at it, and all that an agent has started descends from it."""
    os.makedirs(os.path.dirname(place.lock), exist_ok=True)
    with open(place.lock, "w") as lock, open(place.lock) as read:
        looking = subprocess.Popen(["sleep", "1000"], stdin=read)
        holding = subprocess.Popen(["sleep", "1000"], pass_fds=[lock.fileno()])
    try:
        assert [found.pid for found in traces(place)] == [holding.pid]
        os.unlink(place.lock)
        assert [found.pid for found in traces(place)] == [holding.pid]
    finally:
        for process in (looking, holding):
            process.kill()
            process.wait()


def test_all_of_a_process_is_of_one_family_with_its_threads(place: Place) -> None:
    """The first thread of the process has ended, so that it looks like a zombie; it is found by its other threads, and lives."""
    program = (
        "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(1000,)).start();"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "BURNISH_RESULT": place.file("result.json")}
    )
    try:
        wait_for(lambda: b") Z " in Path(f"/proc/{process.pid}/stat").read_bytes())
        assert [found.pid for found in kin(place)] == [process.pid]
    finally:
        process.kill()
        process.wait()
