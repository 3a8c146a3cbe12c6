"""Claims of a run that become known in unusual ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import facts

from burnish.claiming import Claiming
from burnish.core import reports
from burnish.core.command import Command
from burnish.core.hosts import Host
from burnish.core.jobs import AttemptId, CoordinatorId, HostName, JobId, Slot
from burnish.fleet import Fleet
from burnish.plan import Outcome, Plan
from burnish.preparation import Preparation, Ready
from burnish.store.paths import Paths

FIRST = AttemptId(JobId(0), 1)


@pytest.mark.parametrize("known", [None, Command(("another", "one"))], ids=["no command", "one that was made anew"])
def test_claim_that_was_taken_for_refused_is_not_started_with_what_is_known_now(known: Command | None) -> None:
    """As when a file server's answer to the commit was lost, and it is read back much later."""
    state, claim = facts.waiting(), facts.claim_of(FIRST)
    stand_in: Callable[..., Any] = SimpleNamespace
    preparation = Preparation(None, pytest.fail)
    if known is not None:
        preparation.take(reports.CommandPrepared(JobId(0), known))
    claiming = Claiming(
        CoordinatorId(claim.by),
        state,
        Plan(()),
        Outcome(),
        stand_in(members={claim.host: stand_in()}),
        preparation=preparation,
        paths=Paths(Path("burnish.db"), "burnish.db", Path(".burnish"), Path("log")),
        elsewhere=lambda job, host: False,
        say=pytest.fail,
        clock=lambda: 0.0,
    )
    state.apply(claim)
    claiming.learn(claim)
    assert claiming.specs == {}


def test_claim_on_a_host_whose_connection_breaks_while_it_is_made() -> None:
    """Its link's thread may notice between any two steps of the loop. What the host said of itself when it was met stays true."""
    stand_in: Callable[..., Any] = SimpleNamespace
    host, welcome = HostName("gpu01"), reports.Welcome("home", "boot", "gpu01")
    link = stand_in(start=lambda: None, send=lambda *frames: None, welcome=welcome)
    fleet = Fleet(lambda host, report: link, lambda report: None)
    fleet.add(Host(host))
    fleet.meet(host)
    link.welcome = None
    state = facts.waiting()
    claiming = Claiming(
        CoordinatorId("c-1"),
        state,
        Plan(()),
        Outcome(),
        fleet,
        preparation=Preparation(None, pytest.fail),
        paths=Paths(Path("burnish.db"), "burnish.db", Path(".burnish"), Path("log")),
        elsewhere=lambda job, host: False,
        say=pytest.fail,
        clock=lambda: 0.0,
    )
    ready = Ready(JobId(0), Command(("true",)), (Slot(host, 0),))
    claim = claiming.claim(state.jobs[JobId(0)], ready, "")
    assert (claim.host, claim.state_id, claim.incarnation) == (host, "home", "boot")
