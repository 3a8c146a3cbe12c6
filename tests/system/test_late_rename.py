"""Two runs write one table where locks lie, and one's rename comes late: the older text does not stay.

So it is on NFS mounted `nolock`, and on any NFS when a lease ran out while a cable was pulled.
"""

from __future__ import annotations

import os
from pathlib import Path

import filelock
import pytest

from burnish.store import table_file
from tests.support.kept_table import TEXT
from tests.support.projection_process import Keeper
from tests.support.waiting import wait_for


class LyingLock:
    """Granted to everybody."""

    def __init__(self, path: Path, timeout: float) -> None:
        pass

    def acquire(self) -> None:
        pass

    def release(self) -> None:
        pass


def test_text_that_was_buried_by_an_older_one_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filelock, "FileLock", LyingLock)
    monkeypatch.setattr(table_file, "exchange", lambda one, other: False)
    db = tmp_path / "burnish.db"
    db.write_text(TEXT)
    slow, quick = Keeper(str(db)), Keeper(str(db))
    rename = os.rename

    def late(one: str, other: str) -> None:
        if other == str(db):
            monkeypatch.setattr(os, "rename", rename)
            quick.run("1")
            quick.finish()
            assert "1,COMPLETE" in db.read_text()
        rename(one, other)

    slow.run("0")
    monkeypatch.setattr(os, "rename", late)
    slow.finish()
    assert db.read_text() == TEXT.replace("0,NOT_RUNNING", "0,COMPLETE").replace("1,NOT_RUNNING", "1,COMPLETE")


def by_rename(db: Path, text: str) -> None:
    saved = db.with_name("saved")
    saved.write_text(text)
    saved.rename(db)


def test_a_save_that_was_buried_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_file, "exchange", lambda one, other: False)
    db = tmp_path / "burnish.db"
    db.write_text(TEXT)
    keeper = Keeper(str(db))
    rename = os.rename

    def late(one: str, other: str) -> None:
        if other == str(db):
            monkeypatch.setattr(os, "rename", rename)
            by_rename(db, TEXT.replace("as typed", "edited"))
            saved_at, probe = os.stat(db).st_ctime_ns, tmp_path / "probe"
            wait_for(lambda: probe.touch() or os.stat(probe).st_ctime_ns > saved_at, "the file system's clock stands")
        rename(one, other)

    keeper.run("0")
    monkeypatch.setattr(os, "rename", late)
    keeper.render()
    keeper.finish()
    assert [said for said in keeper.said if "If your last edit is not there, make it again" in said]
