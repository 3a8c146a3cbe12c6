"""The queue at an sshd, and the memory of failed logins there."""

from __future__ import annotations

import threading

import pytest

from burnish.errors import HostRefused
from burnish.remote.doorstep import FORGOTTEN_AFTER, Doorsteps
from tests.support.waiting import wait_for


def test_so_many_at_once_at_one_address_and_no_more() -> None:
    doorsteps = Doorsteps(at_once=3, failures=2)
    inside: list[int] = []
    go_on = threading.Event()

    def knock(number: int) -> None:
        with doorsteps.at("login", 22, "alice"):
            inside.append(number)
            go_on.wait(60)

    threads = [threading.Thread(target=knock, args=(number,), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(inside) == 3, lambda: inside)
    with doorsteps.at("other", 22, "alice"):  # another address is not kept waiting
        assert len(inside) == 3
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert sorted(inside) == list(range(8))


def test_after_two_failures_nobody_tries_until_they_are_forgotten() -> None:
    now = 100.0
    doorsteps = Doorsteps(at_once=8, failures=2, clock=lambda: now)
    for why in ("first", "second"):
        with doorsteps.at("login", 22, "alice") as step:
            step.turned_away("alice", why)
    with pytest.raises(HostRefused, match="second"), doorsteps.at("login", 22, "alice"):
        raise AssertionError("let in")
    with doorsteps.at("login", 22, "bob"):
        pass
    now += FORGOTTEN_AFTER
    with doorsteps.at("login", 22, "alice"):
        pass


def test_a_success_clears_earlier_failures() -> None:
    doorsteps = Doorsteps(at_once=8, failures=2)
    for _ in range(3):
        with doorsteps.at("login", 22, "alice") as step:
            step.turned_away("alice", "why")
            step.let_in("alice")
