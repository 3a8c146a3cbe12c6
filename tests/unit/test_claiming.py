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
from burnish.core.state import State
from burnish.fleet import Fleet
from burnish.plan import Outcome, Plan
from burnish.preparation import Preparation, Ready
from burnish.store.paths import Paths

FIRST = AttemptId(JobId(0), 1)


def claiming_on(
    state: State,
    fleet: Fleet,
    preparation: Preparation | None = None,
    *,
    me: str = "c-1",
    logs: Path = Path("log"),
    say: Callable[[str], Any] = pytest.fail,
) -> Claiming:
    return Claiming(
        CoordinatorId(me),
        state,
        Plan(()),
        Outcome(),
        fleet,
        preparation=preparation or Preparation(None, pytest.fail),
        paths=Paths(Path("burnish.db"), "burnish.db", Path(".burnish"), logs),
        elsewhere=lambda job, host: False,
        say=say,
        clock=lambda: 1.0,
    )


@pytest.mark.parametrize("known", [None, Command(("another", "one"))], ids=["no command", "one that was made anew"])
def test_claim_that_was_taken_for_refused_is_not_started_with_what_is_known_now(known: Command | None) -> None:
    """As when a file server's answer to the commit was lost, and it is read back much later."""
    state, claim = facts.waiting(), facts.claim_of(FIRST)
    stand_in: Callable[..., Any] = SimpleNamespace
    preparation = Preparation(None, pytest.fail)
    if known is not None:
        preparation.take(reports.CommandPrepared(JobId(0), known))
    claiming = claiming_on(state, stand_in(members={claim.host: stand_in()}), preparation, me=claim.by)
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
    claiming = claiming_on(state, fleet)
    ready = Ready(JobId(0), Command(("true",)), (Slot(host, 0),))
    claim = claiming.claim(state.jobs[JobId(0)], ready, "")
    assert (claim.host, claim.state_id, claim.incarnation) == (host, "home", "boot")


@pytest.mark.parametrize("disk", ["takes it", "refuses it"])
def test_what_a_runner_said_of_a_job_is_kept_with_its_logs_or_told(tmp_path: Path, disk: str) -> None:
    """It is its verdict in either case, and nothing of it is lost."""
    logs = tmp_path if disk == "takes it" else Path("/dev/null")  # in which no file can be made
    said: list[str] = []
    stand_in: Callable[..., Any] = SimpleNamespace
    state = facts.waiting()
    fact = claiming_on(state, stand_in(), logs=logs, say=said.append).refused(JobId(0), "the runner raised", "line 3")
    assert (fact.attempt, fact.why, fact.by) == (FIRST, "the runner raised", "c-1")
    assert state.admits(fact)
    if disk == "takes it":
        assert (tmp_path / f"{fact.log}.err").read_text() == "the runner raised\nline 3" and not said
    else:
        (sentence,) = said
        assert sentence.startswith(
            f"/dev/null/{fact.log}.err: Not a directory. What the runner said of job 0 is not kept"
        )
        assert sentence.endswith("there:\nline 3")
