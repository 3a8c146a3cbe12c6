"""What an agent makes of an attempt that its supervisor has in line, in the moment between its turn and its folder."""

from __future__ import annotations

import select
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from burnish.remote.agent import watches
from burnish.remote.agent.place import Place
from burnish.remote.agent.refusals import Refusal
from burnish.remote.agent.starts import Starts
from burnish.remote.agent.watches import Watches

LEADER, FOLLOWER, LAST = "1.1-aaaaaaaa", "2.1-bbbbbbbb", "3.1-cccccccc"


class Host:
    """An agent's starts and watches, over a host on which nothing is made and a supervisor that takes all it is given ahead."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.given: list[str] = []
        home = self.home = SimpleNamespace(
            batch=False, incarnation="boot", moved=lambda request: "", place=lambda name: Place(str(folder), "t", name)
        )
        outbox: Any = SimpleNamespace(send=lambda kind, **fields: self.said.append(fields["status"]))
        self.watches = Watches(
            home, outbox, select.poll(), -1, cast(Any, None), lambda attempt: None, lambda attempt: None
        )
        crews: Any = SimpleNamespace(
            takes_next=lambda after: True,
            give_ahead=lambda after, attempt, text: self.given.append(attempt) or True,
            last_after=lambda attempt: self.given[-1],
        )
        self.starts = Starts(cast(Any, home), self.watches, crews, cast(Any, None))
        self.watches.expect(home.place(LEADER), "/", True)
        for attempt, after in ((FOLLOWER, LEADER), (LAST, FOLLOWER)):
            self.ask(attempt, after)

    def ask(self, attempt: str, after: str) -> None:
        spec = {"argv": ["/bin/true"], "cwd": "/"}
        self.starts.start({"type": "start", "attempt": attempt, "spec": spec, "text": "{}", "after": after})


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("BURNISH_LOCK_DIR", str(tmp_path / "locks"))
    return Host(tmp_path)


def test_each_is_given_ahead_once(host: Host) -> None:
    assert host.given == [FOLLOWER, LAST]
    host.ask(LAST, FOLLOWER)
    assert host.given == [FOLLOWER, LAST]


def test_one_whose_turn_has_come_waits_until_it_is_heard_of(host: Host) -> None:
    host.starts.begin(FOLLOWER)
    assert host.starts.is_waiting(FOLLOWER)
    assert host.starts.after(FOLLOWER) == []
    host.ask(FOLLOWER, LEADER)  # as after a refusal of another order
    assert host.given == [FOLLOWER, LAST]
    assert (host.starts.heard_of(FOLLOWER) or {})["after"] == LEADER
    assert not host.starts.is_waiting(FOLLOWER)
    assert [request["attempt"] for request in host.starts.after(FOLLOWER)] == [LAST]


def test_one_whose_turn_has_come_is_not_told_to_be_absent(host: Host) -> None:
    host.starts.begin(FOLLOWER)
    host.watches.answer(host.watches.place({"attempt": FOLLOWER}))
    host.watches.look([FOLLOWER])
    assert host.said == []
    assert FOLLOWER in host.watches


def test_what_was_started_otherwise_is_not_begun_again(host: Host) -> None:
    assert [request["attempt"] for request in host.starts.after(LEADER)] == [FOLLOWER]
    host.starts.begin(FOLLOWER)
    assert not host.starts.is_waiting(FOLLOWER)
    assert host.starts.heard_of(FOLLOWER) is None


def test_of_a_table_that_is_gone_a_supervisor_that_does_nothing_is_no_longer_given_up(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: Place) -> bool:
        raise Refusal("the table was cleaned away")

    monkeypatch.setattr(watches, "START_PATIENCE", 0.0)
    host.home.make_folder = refuse
    host.starts.begin(FOLLOWER)
    host.watches.look([FOLLOWER])
    assert host.said == []
