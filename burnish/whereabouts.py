"""The hosts that a command is about: those of an inventory, or those that a table's claims name; and how they stand.

Claims keep what it takes to reach a host, so no command needs an inventory for what the table has used already.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence

from burnish import survey
from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.core.standing import Standing, attempts_on, machines
from burnish.core.state import State
from burnish.errors import UsageError, printable
from burnish.roster import read
from burnish.session import Say, Session, look
from burnish.store.paths import Paths


def table_if_any(paths: Paths, say: Say) -> Session | None:
    """The table, to look at; None where there is none, which is no mistake of whoever asks about hosts."""
    return look(paths, say) if os.path.lexists(paths.db) or paths.root.exists() else None


def hosts_of(state: State) -> tuple[Host, ...]:
    """The hosts of all attempts of the table, as the newest claim on each describes them; one that had two names, once."""
    return tuple({host.name: host for host in machines(state)}.values())


def asked_for(
    command: str, inventory: str | None, limit: str | None, session: Session | None, shown: str
) -> tuple[Host, ...]:
    """The hosts of the file `inventory`, or without one those of the table. `command`: `hosts`, or another that asks.

    Raises InputError, UsageError.
    """
    if inventory is not None:
        return read(inventory, limit)
    example = f"burnish {command} hosts/lab.yaml"
    if limit is not None:
        raise UsageError(
            "--limit needs an inventory. Nobody was asked.", hint=f"{example} --limit {shlex.quote(printable(limit))}"
        )
    if session is None:
        raise UsageError(f"Which hosts? There is no table {shown} here, and no inventory was named.", hint=example)
    if not (hosts := hosts_of(session.state)):
        why = "has no journal here that names those it has used" if session.alone else "has used none so far"
        raise UsageError(f"Which hosts? {shown} {why}, and no inventory was named.", hint=example)
    return hosts


def standings(
    hosts: Sequence[Host], state: State, *, described: bool = True, limit: float = survey.LIMIT
) -> list[Standing]:
    """How each host stands now. A host that does not answer within `limit` s is among them, with the reason.

    `described`: the hosts are from an inventory.
    """
    answers = survey.survey(hosts, limit=limit)
    second = twins(answers)
    return [_standing(answer, second.get(answer.host.name), state, described) for answer in answers]


def _standing(answer: survey.Answer, twin: HostName | None, state: State, described: bool) -> Standing:
    host = answer.host
    return Standing(
        host,
        answer.seen,
        answer.trouble if twin is None else f"the same host as {twin}; jobs start under that name only",
        answer.hint,
        state.drained.get(host.name),
        attempts_on(state, host, answer.state_id),
        described,
        state.drained,
        state.lacking.get(host.name, ""),
    )


def twins(answers: Sequence[survey.Answer]) -> dict[HostName, HostName]:
    """Second names of hosts: name -> the name that came first. Two names with one state folder are one host."""
    first: dict[str, HostName] = {}
    found = {}
    for answer in answers:
        if answer.state_id and (name := first.setdefault(answer.state_id, answer.host.name)) != answer.host.name:
            found[answer.host.name] = name
    return found
