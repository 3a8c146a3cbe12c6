"""Records are made whole and once, as links where they fit and as files where they do not, and read alike."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from burnish.remote.agent.files import reserve, write_file
from burnish.remote.agent.records import LONGEST_TARGET, read_record, replace_record, write_once

SHORT: dict[str, Any] = {"go": {"started": 1.5}}
LONG: dict[str, Any] = {"exit": {"code": 0, "tail": "x" * LONGEST_TARGET}}


def refuse(monkeypatch: pytest.MonkeyPatch, call: str, code: int, done: bool = False, after: int = 0) -> None:
    """Let a call of `os` fail, once it was `done` or not, from the call after the first `after` on."""
    real, calls = getattr(os, call), []

    def refusing(*arguments: Any, **named: Any) -> Any:
        calls.append(arguments)
        if len(calls) <= after:
            return real(*arguments, **named)
        if done:
            real(*arguments, **named)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, refusing)


@pytest.mark.parametrize("record", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_the_first_record_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: dict[str, Any], links: bool
) -> None:
    if not links:
        refuse(monkeypatch, "symlink", errno.EPERM)
    path = str(tmp_path / "start.json")
    assert write_once(path, record)
    assert not write_once(path, {"void": {"why": "late"}})
    assert not write_once(path, {"void": {"why": "late" * LONGEST_TARGET}})
    assert read_record(path) == record
    assert os.listdir(tmp_path) == ["start.json"]
    assert os.path.islink(path) == (links and record is SHORT)


def test_record_replaces_one_of_the_other_kind(tmp_path: Path) -> None:
    path = str(tmp_path / "cancel.json")
    for record in (SHORT, LONG, SHORT):
        replace_record(path, record, {})
        assert read_record(path) == record
    assert os.listdir(tmp_path) == ["cancel.json"]


@pytest.mark.parametrize(
    ("call", "code", "record"),
    [("symlink", errno.EEXIST, SHORT), ("symlink", errno.EIO, SHORT), ("link", errno.EEXIST, LONG)],
    ids=["link", "link that was given up", "file"],
)
def test_lost_answer_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, record: dict[str, Any]
) -> None:
    """NFS repeats a request whose answer was lost, and finds that it was done; or gives up on it."""
    refuse(monkeypatch, call, code, done=True)
    path = str(tmp_path / "start.json")
    assert write_once(path, record)
    assert read_record(path) == record


def test_full_disk_keeps_the_brief_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, "link", errno.ENOSPC)
    path = str(tmp_path / "final.json")
    assert write_once(path, LONG, {"lost": {"why": "full"}})
    assert read_record(path) == {"lost": {"why": "full"}}
    with pytest.raises(OSError, match="No space left"):
        write_once(str(tmp_path / "other"), LONG)


def test_record_in_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    for record in (SHORT, LONG):
        with pytest.raises(FileNotFoundError):
            write_once(str(tmp_path / "gone" / "start.json"), record)


def test_what_cannot_be_read_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "start.json"
    assert read_record(str(path)) is None
    assert read_record(str(path / "below")) is None
    path.write_bytes(b"")
    assert read_record(str(path)) == {}
    path.unlink()
    path.symlink_to("nowhere")
    assert read_record(str(path)) == {}


@pytest.mark.parametrize(
    ("call", "make"), [("posix_fallocate", reserve), ("fsync", lambda path: write_file(path, b"x", True))]
)
def test_what_the_disk_refuses_of_an_open_file_names_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, make: Callable[[str], object]
) -> None:
    refuse(monkeypatch, call, errno.EDQUOT)
    with pytest.raises(OSError) as caught:
        make(str(tmp_path / "file"))
    assert caught.value.filename == str(tmp_path)
