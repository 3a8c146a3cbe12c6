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
from burnish.core.jobs import AttemptId, CoordinatorId, JobId
from burnish.plan import Outcome, Plan
from burnish.preparation import Preparation
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
        clock=lambda: 0.0,
    )
    state.apply(claim)
    claiming.learn(claim)
    assert claiming.specs == {}
