"""What changes on a disk of one's own is told; on any other one looks as often as ever."""

from __future__ import annotations

import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from burnish import changes
from burnish.changes import REST, TURN, Changes
from burnish.core import events, reports
from burnish.core.jobs import HostName
from burnish.core.sighting import Sighting
from burnish.core.state import State
from burnish.store import journal as module
from burnish.store.journal import Journal
from tests.support.waiting import wait_for


class Told:
    """Changes of a folder and a file, as a loop hears of them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.table = folder / "log", folder / "burnish.db"
        self.folder.mkdir()
        self.table.write_text("text")
        self.words: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.changes = Changes(lambda: self.words.put("changed"))
        self.watch()

    def watch(self) -> None:
        self.changes.watch([self.folder, self.table])

    def hear(self) -> None:
        """Wait for one word, and no more."""
        assert self.words.get(timeout=60) == "changed"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    monkeypatch.setattr(changes, "_is_own", lambda path: True)  # whatever disk the tests are on
    monkeypatch.setattr(changes, "RENEWED", 0.0)
    told = Told(tmp_path)
    yield told
    told.changes.close()
    wait_for(lambda: not listeners(), listeners)


def drained(reason: str, _: State) -> list[events.Fact]:
    return [events.HostDrained("gpu1", reason, "you")]


def listeners() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "changes"]


def link(told: Told) -> None:
    (told.folder / "tmp").write_text("commit")
    told.watch()
    os.link(told.folder / "tmp", told.folder / "1.jsonl")


def replace(told: Told) -> None:
    (told.folder.parent / "new").write_text("edited")
    with told.table.open():  # or the end of its file would be told as well
        os.rename(told.folder.parent / "new", told.table)
        told.hear()
    told.watch()
    write(told)


def back_up(told: Told) -> None:
    """As Emacs saves: what was there gets another name."""
    os.rename(told.table, told.folder.parent / "burnish.db~")
    told.table.write_text("edited")


def write(told: Told) -> None:
    told.table.write_text("edited")


@pytest.mark.parametrize("change", [link, replace, back_up, write])
def test_each_way_to_change_something_is_told(told: Told, change: Callable[[Told], None]) -> None:
    change(told)
    told.hear()


def test_commits_of_others_are_told_in_an_old_folder_and_in_a_new_one(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMITS_PER_FOLDER", 3)
    mine, other = (Journal(tmp_path / ".burnish" / "burnish.db", "burnish.db", who, time.time) for who in ("me", "you"))
    mine.create([events.TableOpened("0123456789abcdef", ("lr",), 1.0)])
    other.open()
    for number in range(2, 8):
        told.changes.watch(mine.folders)
        assert told.words.empty()
        other.commit(partial(drained, f"reason {number}"))
        told.hear()
        while not told.words.empty():
            told.words.get()  # a new folder, and what is in it
        assert mine.catch_up() == 1


def test_what_changes_again_is_told_once_until_it_is_watched_again(told: Told) -> None:
    write(told)
    told.hear()
    write(told)
    told.watch()
    replace(told)
    told.hear()


def test_a_run_that_commits_all_the_time_is_not_woken_by_each(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[str] = []
    monkeypatch.setattr(changes.inotify, "watch", lambda descriptor, path, mask: watched.append(path) or 1)
    monkeypatch.setattr(changes, "RENEWED", 1000.0)
    told.watch()
    assert watched == []
    monkeypatch.setattr(changes, "RENEWED", 0.0)
    told.watch()
    assert watched == [str(told.folder), str(told.table)]


def test_looks_are_rare_only_where_all_is_told_and_nothing_was_heard_for_a_while(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told.changes.pause == TURN, "the run has just begun"
    monkeypatch.setattr(changes, "QUIET", 0.0)
    assert told.changes.pause == REST
    monkeypatch.setattr(changes, "QUIET", 1000.0)
    told.changes.heard(reports.DiskChanged())
    assert told.changes.pause == TURN


def test_what_a_look_at_a_host_shows_makes_nobody_look_at_the_disk(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "QUIET", 0.2)
    wait_for(lambda: told.changes.pause == REST)
    told.changes.heard(reports.HostSeen(HostName("gpu1"), Sighting()))
    assert told.changes.pause == REST
    told.changes.heard(reports.DiskChanged())
    assert told.changes.pause == TURN


def test_table_that_is_gone_is_looked_for_as_often_as_ever(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "QUIET", 0.0)
    told.table.unlink()
    told.watch()
    assert told.changes.pause == TURN
    told.table.touch()
    told.watch()
    assert told.changes.pause == REST


@pytest.mark.parametrize(
    ("kind", "pause", "threads"), [("ext4", REST, 1), ("nfs4", TURN, 0), ("fuse.sshfs", TURN, 0), ("", TURN, 0)]
)
def test_disk_that_others_may_write_to_is_looked_at_as_often_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, pause: float, threads: int
) -> None:
    descriptor = os.open(tmp_path, os.O_PATH)
    number = re.search(r"mnt_id:\s*(\d+)", Path(f"/proc/self/fdinfo/{descriptor}").read_text())
    os.close(descriptor)
    assert number is not None
    lines = [f"{number[1]} 35 0:36 / /home/a\u2028b\u0085 rw - {kind} server:/home rw"] if kind else []
    (tmp_path / "mounts").write_text("\n".join([*lines, "1 2 0:3 / /x rw - ext4 /dev/x rw", ""]))
    monkeypatch.setattr(changes, "MOUNTS", str(tmp_path / "mounts"))
    monkeypatch.setattr(changes, "QUIET", 0.0)
    told = Told(tmp_path)
    assert (told.changes.pause, len(listeners())) == (pause, threads)
    told.changes.close()
    wait_for(lambda: not listeners(), listeners)


def test_kernel_that_does_not_tell_a_files_mount_is_looked_at_as_often_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those before 3.15."""
    monkeypatch.setattr(changes.os, "open", lambda path, flags: 0)
    monkeypatch.setattr(changes.os, "close", lambda descriptor: None)
    monkeypatch.setattr(changes, "DESCRIPTORS", str(tmp_path))
    (tmp_path / "0").write_text("pos:\t0\nflags:\t010000000\n")
    assert not changes._is_own(tmp_path)


def test_kernel_that_has_no_inotify_left_is_not_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "_is_own", lambda path: True)
    monkeypatch.setattr(changes.inotify, "open_inotify", lambda: None)
    monkeypatch.setattr(changes, "QUIET", 0.0)
    told = Told(tmp_path)
    assert told.changes.pause == TURN
    told.watch()
    told.changes.close()
