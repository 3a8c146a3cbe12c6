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
    fleet, link = one_host()
    fleet.meet(HOST)
    orders: list[actions.Action] = [
        actions.AckAttempt(HOST, "1.1-a"),
        actions.StartAttempt(HOST, "2.1-b", "boot", "home"),
        actions.AckAttempt(HOST, "3.1-c"),
        actions.StartAttempt(HOST, "4.1-d", "boot", "home", "2.1-b"),
    ]
    assert fleet.send(orders, {"2.1-b": {}, "4.1-d": {}}) == orders
    assert [frame["attempt"] for frame in link.sent] == ["2.1-b", "4.1-d", "1.1-a", "3.1-c"]


def test_a_link_that_was_made_anew_carries_no_order_before_it_was_heard_of() -> None:
    """One may come after another that is yet to be repeated on it."""
    fleet, link = one_host()
    fleet.meet(HOST)
    link.welcome = SimpleNamespace(state_id="home")
    order = actions.StartAttempt(HOST, "4.1-d", "boot", "home", "2.1-b")
    assert fleet.send([order], {"4.1-d": {}}) == [order]
    assert link.sent == []
    fleet.meet(HOST)
    fleet.send([order], {"4.1-d": {}})
    assert [frame["attempt"] for frame in link.sent] == ["4.1-d"]


def one_host() -> tuple[Fleet, Any]:
    """A fleet of one host, whose link is up."""
    link: Any = SimpleNamespace(start=lambda: None, sent=[], welcome=SimpleNamespace(state_id="home"))
    link.send = lambda *frames: link.sent.extend(frames)
    fleet = Fleet(lambda host, report: link, lambda report: None)
    fleet.add(Host(HOST))
    return fleet, link
