"""Whose log comes home next, when many grow at once."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from burnish.core.jobs import HostName
from burnish.core.reports import LogGrown, LogPulled
from burnish.errors import StoreError
from burnish.remote import logs
from burnish.remote.logs import AT_ONCE, LogPull

MANY = 3 * AT_ONCE


def test_every_log_gets_its_turn_though_all_have_more(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    pull = LogPull(asked.append)
    for number in range(MANY):
        pull.watch(str(number), {stream: f"{tmp_path}/{number}.{stream}" for stream in ("out", "err")})
    pull.ask()
    for turn in range(2 * MANY):
        piece = asked[turn]
        report = LogPulled(HostName("gpu1"), piece["attempt"], piece["stream"], piece["offset"], 1 << 40, b"x")
        assert pull.take(report)
        pull.ask()
        assert len(asked) == AT_ONCE + turn + 1, "as many are on their way as may be"
    assert len({(piece["attempt"], piece["stream"]) for piece in asked}) == 2 * MANY


def test_log_is_made_at_home_where_the_disk_has_no_mknod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)

    monkeypatch.setattr(logs.os, "mknod", refuse)
    LogPull(lambda frame: None).watch("1", {stream: f"{tmp_path}/{stream}" for stream in ("out", "err")})
    assert {path.name for path in tmp_path.iterdir()} == {"out", "err"}


def test_log_that_does_not_grow_is_asked_for_ever_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    asked: list[tuple[float, str]] = []
    unanswered: list[str] = []

    def send(frame: dict[str, Any]) -> None:
        asked.append((now, frame["stream"]))
        unanswered.append(frame["stream"])

    pull = LogPull(send)
    pull.watch("2", {"out": tmp_path / "out", "err": tmp_path / "err"})

    def answer(data: bytes) -> None:
        nonlocal now
        while unanswered:
            pull.take(LogPulled(HostName("gpu1"), "2", unanswered.pop(0), 0, len(data), data))
            now += 0.6  # the answers come one after the other

    while now < 1060:
        pull.ask()
        answer(b"")
        now += 0.25
    assert 20 <= len(asked) <= 32, "at first often, then each every 5 s"
    (one, _), (other, _) = asked[-2:]
    assert one == other, "what is silent for long is asked for together"
    now += 5
    pull.ask()
    answer(b"x")
    pull.ask()
    assert asked[-1][0] == asked[-2][0] == now, "it grows, and is asked for at once"
    answer(b"")
    pull.ask()
    assert asked[-1][0] == asked[-2][0] == now, "and soon again"
    answer(b"")
    before = len(asked)
    pull.ended("2", {"out": 2, "err": 2})
    assert len(asked) == before + 2, "its verdict waits for it"


def test_many_silent_logs_are_asked_for_no_more_often_than_a_host_can_bear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    asked: list[dict[str, Any]] = []
    pull = LogPull(asked.append)
    for number in range(50):
        pull.watch(str(number), {stream: f"{tmp_path}/{number}.{stream}" for stream in ("out", "err")})
    when: dict[tuple[str, str], list[float]] = {}
    while now < 1100:
        pull.ask()
        while asked:
            frame = asked.pop()
            when.setdefault((frame["attempt"], frame["stream"]), []).append(now)
            pull.take(LogPulled(HostName("login"), frame["attempt"], frame["stream"], 0, 0, b""))
        now += 0.25
    pulled = sum(map(len, when.values())) - len(when)  # about one that is new, at once
    assert 0.8 * 100 / logs.SPACE <= pulled <= 100 / logs.SPACE + logs.BURST
    rounds = 100 * logs.SPACE  # s in which all get their turn
    assert all(max(map(float.__sub__, times[1:], times)) <= 2 * rounds for times in when.values())


def test_log_whose_growth_is_told_is_let_alone_until_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 20 * logs.TOLD
    monkeypatch.setattr(logs.time, "monotonic", lambda: now)
    asked: list[str] = []
    pull = LogPull(lambda frame: asked.append(frame["stream"]))
    pull.watch("2", {"out": tmp_path / "out", "err": tmp_path / "err"})
    pull.ask()
    assert asked == ["out", "err"]
    for stream in ("out", "err"):
        pull.take(LogPulled(HostName("gpu1"), "2", stream, 0, 0, b"", told=True))
    now += logs.TOLD / 2
    pull.ask()
    assert len(asked) == 2
    pull.grown(LogGrown(HostName("gpu1"), "2", "err"))
    assert asked[2:] == ["err"], "at once"
    pull.take(LogPulled(HostName("gpu1"), "2", "err", 0, 1, b"x"))
    pull.grown(LogGrown(HostName("gpu1"), "2", "err"))
    pull.grown(LogGrown(HostName("gpu1"), "3", "err"))
    assert len(asked) == 3, "it is not at rest, or unknown: a host that says so a thousand times is not asked as often"
    now += logs.TOLD
    pull.ask()
    assert sorted(asked[3:]) == ["err", "out"], "the word may be lost, and the log shall not be"


def test_logs_of_which_one_cannot_be_opened_are_not_watched_until_it_can(tmp_path: Path) -> None:
    asked: list[dict[str, Any]] = []
    pull = LogPull(asked.append)
    paths = {"out": tmp_path / "out", "err": tmp_path / "later" / "err"}
    with pytest.raises(StoreError, match="later/err"):
        pull.watch("1", paths)
    assert "1" not in pull
    (tmp_path / "later").mkdir()
    pull.watch("1", paths)
    assert not pull.ended("1", {"out": 0, "err": 5}), "its stderr is not at home"
    assert [piece["stream"] for piece in asked] == ["err"]


def test_log_whose_size_its_host_could_not_ask_is_pulled_until_there_is_no_more(tmp_path: Path) -> None:
    pull = LogPull(lambda frame: None)
    pull.watch("1", {stream: tmp_path / stream for stream in ("out", "err")})
    assert not pull.ended("1", {"err": 0})
    pull.take(LogPulled(HostName("gpu1"), "1", "out", 0, 6, b"all"))
    assert not pull.whole("1")
    pull.take(LogPulled(HostName("gpu1"), "1", "out", 3, 6, b"of"))
    pull.take(LogPulled(HostName("gpu1"), "1", "out", 5, 6, b"it"))
    assert pull.whole("1")
