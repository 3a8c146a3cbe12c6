"""Orders to hosts: given as facts call for them, and given anew when a host answers, or a while after it refused one.

An order may be given twice and in vain (`core.actions`), so whoever gives them anew gives all that the state calls for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any

from burnish.core import actions
from burnish.core.jobs import Attempt, HostName
from burnish.core.reports import RequestRefused
from burnish.core.state import State
from burnish.fleet import Fleet

AGAIN = 10.0  # s until a host that refused an order is given all that hold once more
ORDERS = ("start", "void", "cancel")


class Orders:
    """Those of one run. `specs`: by name, what it can start (`claiming`); `is_mine`: whether it looks after an attempt."""

    def __init__(
        self,
        state: State,
        fleet: Fleet,
        specs: MutableMapping[str, dict[str, Any]],
        is_mine: Callable[[Attempt], bool],
    ) -> None:
        self._state = state
        self._fleet = fleet
        self._specs = specs
        self._is_mine = is_mine
        self._again: dict[HostName, float] = {}  # hosts that refused one, and when they are given anew, monotonic

    def give(self, orders: Iterable[actions.Action]) -> None:
        """Give these. What a host may put away is not started any more."""
        for order in self._fleet.send(orders, self._specs):
            if isinstance(order, actions.AckAttempt):
                self._specs.pop(order.name, None)

    def give_anew(self, host: HostName) -> None:
        """Give a host every order that the state calls for. Those that it has carried out change nothing."""
        self._again.pop(host, None)
        held = [a for a in self._state.open.on(host) if self._is_mine(a) and self._fleet.holds(a)]
        self.give(order for attempt in held for order in actions.resume(attempt, self._state, self._specs))

    def call_back(self, attempt: Attempt, why: str) -> None:
        """See to it that an attempt of ours that has not started never does. Said once: no spec of it is kept."""
        if self._specs.pop(attempt.name, None):
            self.give([actions.void(attempt, why)])

    def refused(self, report: RequestRefused) -> None:
        """A host refused a request. An order is given anew after a while, though others are refused meanwhile."""
        if report.request in ORDERS:
            self._again.setdefault(report.host, time.monotonic() + AGAIN)

    def watch(self) -> None:
        """Give anew what is due."""
        for host in [host for host, when in self._again.items() if time.monotonic() >= when]:
            self.give_anew(host)
