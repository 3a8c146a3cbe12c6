"""Hosts that do not answer, or answer and start nothing: who, why, since when, and what is said of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

from msgspec import Struct

from burnish.core.hosts import without_name
from burnish.core.ids import name_jobs
from burnish.core.jobs import Attempt, AttemptId, HostName

AGAIN = 60.0  # s between two sentences about the same host
STILL = 600.0  # s between two sentences about a host that can start nothing, for the same reason
DOWN = 10.0  # s of silence, until a host counts as down: many come back at once


_NUMBERED = re.compile(r"\S*\d\S*")  # attempts and files have numbers, which do not make another reason


class _Silent(Struct):
    why: str
    since: float
    said: float


class Silence:
    """The hosts of one run that are silent now."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._hosts: dict[HostName, _Silent] = {}
        self._estranged: set[AttemptId] = set()  # said of
        self._unstarted: dict[AttemptId, float] = {}  # since when it is waited for, or was named last
        self._unable: dict[HostName, _Silent] = {}

    def dropped(self, host: HostName, why: str) -> None:
        """The link to a host broke, or it could not be made."""
        why, now = without_name(host, why).rstrip("."), self._clock()
        if host in self._hosts:
            self._hosts[host].why = why  # it may have come back, and let us not in
        else:
            self._say(f"{host} does not answer ({why}); trying again. Its jobs are not affected.")
            self._hosts[host] = _Silent(why, now, now)

    def answers(self, host: HostName) -> None:
        """It is heard again."""
        self._hosts.pop(host, None)

    def cannot_start(self, host: HostName, why: str, pause: float) -> None:
        """A host could start nothing, and is let alone for `pause` s: said once for each reason, and each ten minutes."""
        now, known = self._clock(), self._unable.get(host)
        if known is None or _NUMBERED.sub("", known.why) != _NUMBERED.sub("", why):
            self._say(f"{host} cannot start anything now: {why}. Trying again every {pause:.0f} s.")
            self._unable[host] = _Silent(why, now, now)
        elif now - known.said >= STILL:
            known.said = now
            self._say(f"{host} still cannot start anything, for {(now - known.since) / 60:.0f} minutes now: {why}.")

    def started(self, host: HostName) -> None:
        """It has started something. What it could not do a moment ago, as with a disk that is nearly full, is not over yet."""
        known = self._unable.get(host)
        if known is not None and self._clock() - known.said >= AGAIN:
            del self._unable[host]
            self._say(f"{host} starts jobs again.")

    def down(self) -> dict[HostName, str]:
        """Hosts that have been silent for a while, and why."""
        return {host: silent.why for host, silent in self._hosts.items() if self._clock() - silent.since >= DOWN}

    def name(self, attempts: Iterable[Attempt], estranged: Iterable[Attempt] = ()) -> None:
        """Say each minute which hosts do not answer while `attempts` may live there, and which answer and do not start theirs.

        Of those that answer and are not the ones that `estranged` were given to, it is said once.
        """
        running = list(attempts)
        self._name_unstarted(running)
        self._name_estranged(estranged)
        for host, silent in self._hosts.items():
            waiting = [attempt.id.job for attempt in running if attempt.host == host]
            if waiting and self._clock() - silent.said >= AGAIN:
                self._say(
                    f"{host} still does not answer ({silent.why}); as far as known, it runs {name_jobs(waiting)}."
                )
                silent.said = self._clock()

    def _name_estranged(self, attempts: Iterable[Attempt]) -> None:
        by_host: dict[HostName, list[Attempt]] = {}
        for attempt in attempts:
            if attempt.id not in self._estranged:
                by_host.setdefault(attempt.host, []).append(attempt)
                self._estranged.add(attempt.id)
        for host, theirs in by_host.items():
            jobs = name_jobs([attempt.id.job for attempt in theirs])
            self._say(
                f"{host} answers, and has no records of {jobs}: its state folder was removed or made anew, or another "
                f"machine has its name. Whether they still run cannot be seen. burnish forget {host} gives them up."
            )

    def _name_unstarted(self, running: list[Attempt]) -> None:
        there = {attempt.name for attempt in running}
        now = self._clock()
        awaited = [
            attempt
            for attempt in running
            if attempt.started_at is None
            and attempt.host not in self._hosts
            and attempt.after not in there  # it waits for another's slot
            and attempt.entry.get("engine") != "slurm"  # whose queue takes its time
        ]
        self._unstarted = {attempt.id: self._unstarted.get(attempt.id, now) for attempt in awaited}
        late: dict[HostName, list[Attempt]] = {}
        for attempt in awaited:
            if now - self._unstarted[attempt.id] >= AGAIN:
                self._unstarted[attempt.id] = now
                late.setdefault(attempt.host, []).append(attempt)
        for host, waiting in late.items():
            jobs = name_jobs([attempt.id.job for attempt in waiting])
            self._say(
                f"{host} answers, but has not started {jobs} for more than {AGAIN:.0f} s: its work folder or its disk may "
                "hang. burnish check tells more."
            )
