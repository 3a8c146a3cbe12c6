"""What a run tells its hosts, and in which order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from burnish.core import actions
from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.fleet import Fleet

HOST = HostName("gpu01")


def test_a_host_starts_what_is_next_before_it_puts_away_what_has_ended() -> None:
    sent: list[dict[str, Any]] = []
    link: Any = SimpleNamespace(start=lambda: None, send=lambda *frames: sent.extend(frames))
    fleet = Fleet(lambda host, report: link, lambda report: None)
    fleet.add(Host(HOST))
    orders: list[actions.Action] = [
        actions.AckAttempt(HOST, "1.1-a"),
        actions.StartAttempt(HOST, "2.1-b", "boot", "home"),
        actions.AckAttempt(HOST, "3.1-c"),
        actions.StartAttempt(HOST, "4.1-d", "boot", "home", "2.1-b"),
    ]
    assert fleet.send(orders, {"2.1-b": {}, "4.1-d": {}}) == orders
    assert [frame["attempt"] for frame in sent] == ["2.1-b", "4.1-d", "1.1-a", "3.1-c"]
