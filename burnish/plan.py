"""What is asked of a run, and how it ended: what a command and the coordinator tell each other."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct, field

from burnish.core.canary import Canary
from burnish.core.hosts import Host
from burnish.core.jobs import AttemptId, HostName, JobId
from burnish.core.selection import Selection
from burnish.core.share import Share
from burnish.core.state import State

if TYPE_CHECKING:
    from burnish.roster import Roster
    from burnish.runners.sources import CommandSource


class Plan(Struct, frozen=True):
    """What is asked of this run. Without `source` it starts nothing and only looks after what runs.

    `hosts`: where jobs run, and `roster` the inventory that they are from; with `workers`, only this machine, with so many plain
    workers of this run's own. `most`: how many run at once. `attend`: attempts to look after whoever claimed them. `until`: end
    when this holds, instead of when nothing is left to do. `limit`: end after so many s in any case. `retries` and `time_limit`
    (s) hold for jobs that do not say themselves. `max_fails`: so many failures halt the sweep; `canary`: one job goes before all
    others, or one on each host, and halts it if it fails.
    """

    hosts: tuple[Host, ...]
    roster: Roster | None = None
    workers: int | None = None
    source: CommandSource | None = None
    selection: Selection = field(default_factory=Selection)
    num_jobs: int | None = None
    most: int | None = None
    attend: frozenset[AttemptId] = frozenset()
    until: Callable[[State], bool] | None = None
    limit: float = float("inf")
    retries: int = 0
    time_limit: float | None = None
    max_fails: Share | None = None
    canary: Canary | None = None


class Outcome(Struct):
    """How a run ended: the ids it took up, how many attempts it claimed, the signal that stopped it, if one did, and whether no
    host could be used. `stuck`: waiting jobs that it could not start, and why, a clause. `told`: attempts that are open still
    though their host answers, and whether it says of a cancelled one that it lives. `unwritten`: the table lacks what came last.
    """

    taken: set[JobId] = field(default_factory=set)
    claimed: int = 0
    stopped_by: int | None = None
    no_host: bool = False
    stuck: dict[JobId, str] = field(default_factory=dict)
    told: dict[AttemptId, bool] = field(default_factory=dict)
    unwritten: bool = False


def this_machine() -> Host:
    """The host of a run without an inventory: plain workers, no machine-wide lock, the run's own environment."""
    return Host(HostName("localhost"), connection="local", workdir=os.getcwd(), gpus=())
