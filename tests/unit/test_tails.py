"""Logs that grow are told of, whatever the kernel says of them."""

from __future__ import annotations

import select
from pathlib import Path
from typing import Any

import pytest

from burnish.remote.agent import inotify, tails
from burnish.remote.agent.tails import Tails

IN_IGNORED = 0x8000


class Sent(list[tuple[str, str, str]]):
    def send(self, kind: str, attempt: str, stream: str) -> None:
        self.append((kind, attempt, stream))


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def followed(sent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tails:
    """Two attempts' logs, of which one writes both streams into one file; the kernel's numbers of these files are 1 and 2."""
    numbers: dict[str, int] = {}
    monkeypatch.setattr(tails, "watch", lambda descriptor, path, mask: numbers.setdefault(path, len(numbers) + 1))
    made = Tails(sent, select.poll())
    for attempt, stream, name in (("1.1-aa", "out", "1"), ("2.1-bb", "out", "2"), ("2.1-bb", "err", "2")):
        assert made.follow(attempt, stream, name)
    return made


def tell(followed: Tails, monkeypatch: pytest.MonkeyPatch, *events: tuple[int, int]) -> None:
    monkeypatch.setattr(tails, "read_changes", lambda descriptor: iter(events))
    assert followed.descriptor is not None
    followed.tell([followed.descriptor])


def test_a_log_that_was_written_to_is_told_of_once(
    followed: Tails, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(followed, monkeypatch, (2, inotify.IN_MODIFY), (2, IN_IGNORED))
    tell(followed, monkeypatch, (2, inotify.IN_MODIFY))
    assert sent == [("grown", "2.1-bb", "err"), ("grown", "2.1-bb", "out")]


def test_a_watch_of_which_only_its_end_is_told_may_have_had_more(
    followed: Tails, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel has it so when the watch is set anew while the last one, which told, is on its way out."""
    tell(followed, monkeypatch, (1, IN_IGNORED))
    assert sent == [("grown", "1.1-aa", "out")]


def test_all_may_have_grown_when_the_kernel_lost_count(
    followed: Tails, sent: Sent, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(followed, monkeypatch, (-1, inotify.IN_Q_OVERFLOW))
    assert sent == [("grown", "1.1-aa", "out"), ("grown", "2.1-bb", "err"), ("grown", "2.1-bb", "out")]


def test_without_inotify_nobody_promises_anything(sent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "open_inotify", lambda: None)
    made = Tails(sent, select.poll())
    assert not made.follow("1.1-aa", "out", "/tmp")
    made.tell([0, 1, 2])
    assert sent == []
