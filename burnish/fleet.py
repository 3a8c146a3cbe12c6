"""The hosts of one run: a link to each, its slots, and the logs that come home from it.

A host is here because jobs may start on it, or only to collect what an earlier run left there. The coordinator decides; the fleet
carries orders and knows what each host has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from burnish.core import actions
from burnish.core.hosts import Host, without_name
from burnish.core.jobs import Attempt, CoordinatorId, HostName, Slot
from burnish.core.offer import Offer
from burnish.core.reports import Report, Welcome
from burnish.core.slots import environment, order
from burnish.remote.link import Link
from burnish.remote.logs import LogPull

if TYPE_CHECKING:
    from burnish.slurm.engine import SlurmLink

Connect = Callable[[Host, Callable[[Report], None]], "Link | SlurmLink"]


class Member(Struct):
    """A host, what it offers, and our end of it. Without `starts`, it is here to collect only.

    `refused`: why it cannot be used in this run; `stopped`: why it gets no more jobs of it; `lacks`: why it gets none until
    it has what jobs need, `trial`: true if one may find out, and `given_up`: true if that is not waited for. `nameless`: no host
    has its name, and none ever answered to it. `same_as`: the host whose second name this is. `met`: what it said of itself
    when its answer was heard.
    """

    host: Host
    link: Link | SlurmLink
    offer: Offer
    logs: LogPull
    refused: str | None = None
    stopped: str | None = None
    lacks: str = ""
    trial: bool = False
    given_up: bool = False
    nameless: bool = False
    paused_until: float = 0.0
    starts: bool = True
    same_as: HostName | None = None
    met: Welcome | None = None

    @property
    def greeted(self) -> bool:
        """True if it answers, and whoever answers was heard: before that, it might be another member under a second name."""
        return self.met is not None and self.met is self.link.welcome

    @property
    def unused(self) -> str:
        """Why nothing starts here in this run though the inventory has it, a clause; "" if something may."""
        if self.same_as is not None:
            return f"it is the same host as {self.same_as}"
        why = (self.refused or self.stopped or "") if self.starts else ""
        return without_name(self.host.name, why).partition("\n")[0].rstrip(".")

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Where jobs may run at a time; none while it is not known what the host has."""
        return self.offer.slots

    @property
    def here(self) -> bool:
        """True if its jobs write their logs in place: this machine."""
        return self.host.connection == "local" and self.host.engine == "host"


class Fleet:
    """Members by name. `connect` makes a link that is not started yet; `report` gets what the hosts say."""

    def __init__(self, connect: Connect, report: Callable[[Report], None]) -> None:
        self.members: dict[HostName, Member] = {}
        self._names: defaultdict[str, set[HostName]] = defaultdict(set)  # state id -> who said to have it
        self._connect = connect
        self._report = report

    def add(self, host: Host, *, starts: bool = True, slots: tuple[Slot, ...] | None = None) -> None:
        """Take in a host and begin to connect. Without `starts`, only to collect. `slots`: those of plain workers."""
        link = self._connect(host, self._report)
        self.members[host.name] = Member(host, link, Offer(host, slots), LogPull(link.send), starts=starts)
        link.start()

    def admit(self, host: Host) -> None:
        """Let jobs start on a host as it is described now, whether or not it is here already."""
        member = self.members.get(host.name)
        if member is None:
            self.add(host)
        else:
            member.host, member.starts, member.same_as = host, True, None
            member.offer.describe(host)

    def meet(self, host: HostName) -> list[HostName]:
        """A host answers. Before it gets jobs it is compared with these: the members that said to be the same, in order."""
        member = self.members[host]
        member.met, member.nameless = member.link.welcome, False
        if member.met is None:
            return []
        names = self._names[member.met.state_id]
        names.add(host)
        return [host] if len(names) == 1 else [name for name in self.members if name in names]

    def close(self) -> None:
        """End all links; what runs on the hosts runs on."""
        for member in self.members.values():
            member.link.close()

    def watch(self) -> None:
        """Let links notice silence, and ask for what has been added to logs."""
        for member in self.members.values():
            member.link.watch()
            member.logs.ask()

    def welcome(self, host: HostName) -> Welcome | None:
        """What the host said of itself; None while it does not answer."""
        member = self.members.get(host)
        return None if member is None else member.link.welcome

    def holds(self, attempt: Attempt) -> bool:
        """True if the host that answers under this name is the one the attempt was claimed on."""
        welcome = self.welcome(attempt.host)
        return welcome is not None and welcome.state_id == attempt.state_id

    def estranged(self, attempts: Iterable[Attempt], me: CoordinatorId) -> list[Attempt]:
        """Those whose host's name another one answers to: another machine, or one that was made anew.

        "This machine" is another one for each coordinator: there, only what is `me`'s counts.
        """
        there = (attempt for attempt in attempts if self.welcome(attempt.host) is not None and not self.holds(attempt))
        return [attempt for attempt in there if attempt.by == me or not self.members[attempt.host].here]

    def ready(self, now: float, drained: Mapping[HostName, str]) -> Iterable[Member]:
        """Members on which something may be started now."""
        for member in self.members.values():
            if self.takes_jobs(member.host.name, drained) and member.greeted and now >= member.paused_until:
                yield member

    def takes_jobs(self, host: HostName, drained: Mapping[HostName, str]) -> bool:
        """True if nobody keeps jobs from starting on this host: neither the inventory nor a person."""
        member = self.members[host]
        lacks = bool(member.lacks) and not member.trial
        return member.starts and member.stopped is None and not lacks and host not in drained

    @property
    def hopeless(self) -> bool:
        """True if no host that jobs may start on will become usable by waiting."""
        starters = [member for member in self.members.values() if member.starts]
        return all(
            member.refused
            or member.stopped
            or member.given_up
            or member.nameless
            or (member.offer.known and not member.slots)
            for member in starters
        )

    @property
    def gives_up(self) -> bool:
        """True if no host will become usable, and one of them for want of something that jobs need."""
        return self.hopeless and any(member.given_up for member in self.members.values() if member.starts)

    def refused(self) -> dict[HostName, str]:
        """The hosts that turned us away, and why."""
        return {host: member.refused for host, member in self.members.items() if member.refused}

    def asks(self, host: HostName) -> bool:
        """False if the host turned us away: nothing more is heard of it in this run."""
        return host not in self.members or self.members[host].refused is None

    def entry(self, host: HostName) -> dict[str, Any]:
        """What a later run needs to reach the host."""
        return _entry(self.members[host].host)

    def on_slots(self, attempt: Attempt) -> dict[str, Any]:
        """The `slots` and `environment` of an attempt's spec. A plain worker holds no slot and inherits the run's own.

        Nor does one that a batch system starts: there, the slots are its to give.
        """
        member = self.members[attempt.host]
        if member.offer.plain:
            return {"slots": None, "environment": {}}
        if member.host.engine == "slurm":
            return {"slots": None, "environment": dict(member.host.env)}
        slots = [slot for slot in member.slots if slot.index in attempt.slots]
        uuids = {slot: gpu.uuid for slot in slots if (gpu := member.offer.gpu(slot)) is not None}
        return {"slots": order(slots, uuids), "environment": environment(member.host, slots)}

    def expect_logs(self, attempt: Attempt, path: Callable[[str, str], str]) -> None:
        """Bring this attempt's logs home from now on, unless it writes them in place. Raises StoreError."""
        member = self.members[attempt.host]
        if not member.here and attempt.name not in member.logs:
            member.logs.watch(attempt.name, {stream: path(attempt.log, stream) for stream in ("out", "err")})

    def send(self, orders: Iterable[actions.Action], specs: Mapping[str, dict[str, Any]]) -> list[actions.Action]:
        """Give orders, to each host all of its own at once; returns them.

        One that is not here, or does not answer, gets none. Nor does one whose new link was not heard of yet: what is ordered
        may come after what is yet to be ordered again.
        """
        frames: defaultdict[HostName, list[dict[str, Any]]] = defaultdict(list)
        # Acks last: while an agent puts away what has ended, its slots should not stand idle.
        for action in sorted(given := list(orders), key=lambda order: isinstance(order, actions.AckAttempt)):
            member = self.members.get(action.host)
            if member is None:
                continue
            if isinstance(action, actions.AckAttempt):
                member.logs.forget(action.name)
            if member.greeted:
                frames[action.host].append(frame(action, specs))
        for host, headers in frames.items():
            self.members[host].link.send(*headers)
        return given


@cache
def _entry(host: Host) -> dict[str, Any]:
    """One for all claims of a host, of which there may be thousands a second."""
    return host.to_entry()


def frame(action: actions.Action, specs: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The message that carries an order (docs/protocol.md)."""
    match action:
        case actions.StartAttempt(_, name, incarnation, state_id, after):
            claim = {"incarnation": incarnation, "state_id": state_id}
            behind = {"after": after} if after else {}
            return {"type": "start", "attempt": name, "spec": specs[name], **claim, **behind}
        case actions.VoidAttempt(_, name, incarnation, state_id, why, began):
            claim = {"incarnation": incarnation, "state_id": state_id}
            return {"type": "void", "attempt": name, "why": why, **claim, **({"began": True} if began else {})}
        case actions.CancelAttempt(_, name, incarnation, state_id, grace, by):
            claim = {"incarnation": incarnation, "state_id": state_id}
            return {"type": "cancel", "attempt": name, "grace": grace, "by": by, **claim}
        case actions.AskStatus(_, name):
            return {"type": "status", "attempt": name}
        case actions.AckAttempt(_, name):
            return {"type": "ack", "attempt": name}
