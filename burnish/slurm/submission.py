"""Attempts on their way into Slurm's queue: gathered, prepared on the host, and given to one sbatch after the other.

The claim of each is committed, and its folder says under which name and index it is submitted, before sbatch is run. So an sbatch
of which nobody heard the answer is found in Slurm's list, or its attempts are made void: nothing is submitted a second time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from burnish.core.hosts import Host
from burnish.core.reports import AttemptReported, CommandRan
from burnish.slurm import text
from burnish.slurm.script import comment, script
from burnish.slurm.text import Demand

PAUSE = 1.0  # s between two sbatch: what comes up meanwhile goes into one array
AFTER_TROUBLE = 10.0  # s until the next sbatch, if Slurm did not take one

Ask = Callable[[list[str], Callable[[CommandRan], None], str], None]


class Array(Struct):
    """Attempts that are submitted together, by index. `unanswered`: those whose folder is not known to be made."""

    name: str
    demand: Demand
    attempts: dict[int, str] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)


class Submission:
    """One at a time. `send` and `ask` speak with the host; `refuse` is told of attempts that Slurm would not take, why, and
    whether that is for the nodes that the job itself names.
    """

    def __init__(
        self,
        host: Host,
        table: str,
        send: Callable[[dict[str, Any]], None],
        ask: Ask,
        taken: Callable[[str, str], None],
        refuse: Callable[[str, str, bool], None],
    ) -> None:
        self._host = host
        self._table = table
        self._send = send
        self._ask = ask
        self._taken = taken
        self._refuse = refuse
        self._waiting: dict[str, dict[str, Any]] = {}  # the orders to start, by attempt
        self._array: Array | None = None
        self._asked = False
        self._next = 0.0
        self._largest = self._most = text.MAX_ARRAY_SIZE
        self._source = ""

    def __contains__(self, attempt: str) -> bool:
        """True while it is on its way, and Slurm's list cannot be expected to have it."""
        return attempt in self._waiting or (self._array is not None and attempt in self._array.attempts.values())

    def restart(self, source: str, largest: int) -> None:
        """The link was made anew; nothing is known of what was under way. `source`: where the host keeps the agent's text."""
        self._waiting.clear()
        self._array, self._asked, self._source = None, False, source
        self._largest = self._most = largest

    def add(self, order: dict[str, Any]) -> None:
        """Submit the attempt of this order to start, soon."""
        if order["attempt"] not in self:
            self._waiting[order["attempt"]] = order

    def drop(self, attempt: str) -> None:
        """It is not to be submitted, if it has not been."""
        self._waiting.pop(attempt, None)
        if self._array is not None:
            self._leave_out(attempt)

    def prepared(self, report: AttemptReported) -> None:
        """The host has made an attempt's folder, or says how it stands."""
        if self._array is None or report.name not in self._array.unanswered:
            return
        self._array.unanswered.discard(report.name)
        if report.status != "queued" or report.batch is None or report.batch.name != self._array.name:
            self._leave_out(report.name)  # it runs, is void, or was submitted before, under another name

    def turn(self, now: float) -> None:
        """Go on with what can be done now."""
        if self._asked or now < self._next:
            return
        if self._array is None and self._waiting:
            self._array = self._prepare()
        elif self._array is not None and not self._array.unanswered:
            if self._array.attempts:
                self._submit(self._array, now)
            else:
                self._array, self._next = None, now + PAUSE

    def _leave_out(self, attempt: str) -> None:
        assert self._array is not None
        self._array.unanswered.discard(attempt)
        for index in [index for index, name in self._array.attempts.items() if name == attempt]:
            del self._array.attempts[index]

    def _prepare(self) -> Array:
        """Have the folders made of as many as go into one array: those that ask for the same as the first."""
        demand = _demand(next(iter(self._waiting.values())))
        orders = [order for order in self._waiting.values() if _demand(order) == demand][: self._largest]
        array = Array(f"burnish-{self._table}-{secrets.token_hex(4)}", demand)
        for index, order in enumerate(orders):
            attempt = order["attempt"]
            del self._waiting[attempt]
            array.attempts[index] = attempt
            array.unanswered.add(attempt)
            spec = {**order["spec"], "batch": {"name": array.name, "index": index}}
            self._send({**order, "type": "prepare", "spec": spec})
        return array

    def _submit(self, array: Array, now: float) -> None:
        chosen = dict(sorted(array.attempts.items())[: self._most])
        told = comment(self._table, chosen.values())
        argv = text.sbatch(array.name, told, list(chosen), dict(self._host.sbatch), array.demand)
        body = script(self._source, self._host.python, self._table, chosen)
        self._asked = True
        self._ask(argv, lambda ran: self._answered(array, chosen, ran, now), body)

    def _answered(self, array: Array, chosen: dict[int, str], ran: CommandRan, now: float) -> None:
        self._asked = False
        job = text.read_sbatch(ran.out) if ran.code == 0 else ""
        if ran.code == 0:
            self._most = min(self._largest, 2 * self._most)
            for index, attempt in chosen.items():
                self._taken(attempt, f"{job}_{index}" if job else "")
        elif text.is_limit(ran.err) and len(chosen) > 1:
            self._most = len(chosen) // 2
            return
        elif text.may_have_passed(ran.code, ran.err):
            self._next = now + AFTER_TROUBLE
            for attempt in array.attempts.values():
                self._taken(attempt, "")  # Slurm's list will say
            array.attempts.clear()
        else:
            own = bool(array.demand.options) and text.names_what_is_not_there(ran.err)
            self._next = now + (PAUSE if own else AFTER_TROUBLE)
            for attempt in array.attempts.values():
                self._refuse(attempt, f"Slurm does not take it: {text.first_line(ran.err)}", own)
            array.attempts.clear()
        for index in chosen:
            array.attempts.pop(index, None)


def _demand(order: dict[str, Any]) -> Demand:
    spec = order["spec"]
    return Demand(spec.get("gpus"), spec.get("time_limit"), tuple(sorted(spec.get("sbatch", {}).items())))
