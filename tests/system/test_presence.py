"""Who lives: a coordinator killed on this machine is noticed at once, one on another machine by its silence alone."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import strace
from support.piped import Piped

from burnish.core.jobs import CoordinatorId
from burnish.errors import StoreError
from burnish.store import presence
from burnish.store.presence import BEAT, SILENT, Presence

OTHER = CoordinatorId("other")
SCRIPT = "presence_process.py"


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def watcher(folder: Path, clock: Clock | None = None) -> Presence:
    return Presence(folder, CoordinatorId("me"), clock or Clock())


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Piped]:
    process = Piped(SCRIPT, str(tmp_path), "other")
    assert process.hear() == "here"
    yield process
    process.end()


def test_a_process_that_is_there_is_seen_until_it_is_killed(tmp_path: Path, other: Piped) -> None:
    me = watcher(tmp_path)
    assert me.alive(OTHER)
    assert me.others() == ["other"]
    assert other.kill() == -9
    assert not me.alive(OTHER)
    assert me.others() == []
    assert (tmp_path / "other").exists(), "it was told by its lock, not by its file"


def test_a_process_that_is_frozen_is_there(tmp_path: Path, other: Piped) -> None:
    os.kill(other.pid, 19)
    clock = Clock()
    me = watcher(tmp_path, clock)
    assert me.alive(OTHER)
    clock.now += 10 * SILENT
    assert me.alive(OTHER)


def test_who_leaves_is_gone(tmp_path: Path, other: Piped) -> None:
    assert other.ask("") == "left"
    assert not watcher(tmp_path).alive(OTHER)
    assert list(tmp_path.iterdir()) == []


def test_one_sees_oneself_only_while_one_is_there(tmp_path: Path) -> None:
    me = watcher(tmp_path)
    assert not me.alive(me.me)
    me.enter()
    assert me.alive(me.me)
    assert me.others() == []
    me.leave()
    me.leave()
    assert not me.alive(me.me)


def test_two_in_one_process_see_each_other(tmp_path: Path) -> None:
    me, other = watcher(tmp_path), Presence(tmp_path, OTHER)
    me.enter()
    other.enter()
    assert (me.others(), other.others()) == (["other"], ["me"])
    other.leave()
    assert me.others() == []
    me.leave()


def test_who_looks_never_keeps_anybody_from_entering_nor_takes_a_beginner_for_dead(tmp_path: Path) -> None:
    stop = threading.Event()
    looks = 0

    def look() -> None:
        nonlocal looks
        me = watcher(tmp_path)
        while not stop.is_set():
            me.others()
            looks += 1

    looker = threading.Thread(target=look)
    looker.start()
    try:
        number = 0
        while looker.is_alive() and (number < 500 or looks < 10):
            other = Presence(tmp_path, CoordinatorId(f"other-{number}"))
            other.enter()
            assert watcher(tmp_path).alive(other.me)
            other.leave()
            number += 1
    finally:
        stop.set()
        looker.join()
    assert number >= 500 and looks >= 10


def test_who_is_not_held_yet_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[list[CoordinatorId]] = []
    looker, real = watcher(tmp_path), presence._lock
    monkeypatch.setattr(looker, "alive", lambda other: True)

    def look_and_lock(descriptor: int) -> None:
        found.append(looker.others())
        real(descriptor)

    monkeypatch.setattr(presence, "_lock", look_and_lock)
    beginner = Presence(tmp_path, OTHER)
    beginner.enter()
    assert (found, looker.others()) == ([[]], [OTHER])
    beginner.leave()


# -- on another machine ----------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The file of a coordinator on another machine; the lock of it, if there is one, tells nothing here."""
    path = tmp_path / "other"
    path.write_text(json.dumps({"machine": "another", "pid": 7, "host": "desk2"}))
    os.utime(path, (500, 500))
    return path


def test_silence_on_another_machine_is_measured_on_ones_own_clock(elsewhere: Path) -> None:
    clock = Clock()
    me = watcher(elsewhere.parent, clock)
    assert me.alive(OTHER)  # its time is long ago, but clocks differ
    clock.now += SILENT - 1
    assert me.alive(OTHER)
    clock.now += 1
    assert not me.alive(OTHER)
    os.utime(elsewhere, (501, 501))
    assert me.alive(OTHER)
    clock.now += SILENT
    assert not me.alive(OTHER)


def test_a_beat_moves_the_files_time_but_not_too_often(tmp_path: Path) -> None:
    clock = Clock()
    me = watcher(tmp_path, clock)
    me.enter()
    path = tmp_path / "me"
    os.utime(path, (500, 500))
    clock.now += BEAT - 1
    me.beat()
    assert path.stat().st_mtime == 500
    clock.now += 1
    me.beat()
    assert path.stat().st_mtime > 500
    me.leave()
    me.beat()


def test_a_damaged_file_is_told_by_its_lock(tmp_path: Path, other: Piped) -> None:
    (tmp_path / "other").write_bytes(b"\0\0")
    assert watcher(tmp_path).alive(OTHER)
    other.kill()
    assert not watcher(tmp_path).alive(OTHER)


# -- what the disk refuses -------------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        watcher(tmp_path / "none").enter()
    assert str(caught.value) == f"{tmp_path / 'none'}: there is no such file or folder. Nothing was started."
    assert watcher(tmp_path / "none").others() == []
    assert not watcher(tmp_path / "none").alive(OTHER)


def test_a_file_system_without_locks_leaves_it_to_silence(tmp_path: Path) -> None:
    command = strace.script(SCRIPT, str(tmp_path), "other")
    done = strace.run(command, "-e", "trace=flock", "-e", "inject=flock:error=ENOLCK")
    assert (done.returncode, done.stdout, done.stderr) == (0, "here\nleft\n", "")


def test_a_folder_that_went_away_meanwhile_breaks_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "coordinators"
    folder.mkdir()
    clock = Clock()
    me = watcher(folder, clock)
    me.enter()
    (folder / "me").unlink()
    folder.rmdir()
    clock.now += BEAT
    me.beat()
    me.leave()
