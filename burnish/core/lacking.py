"""What hosts lack that commands need: a folder, a program, a script. Pure; times are s on one clock.

A job that could not be started on a host for want of something is not tried there again. A host that lacks its own work folder,
or on which three different jobs in a row could not be started, gets no more jobs. Either lasts until a look at the host finds
what was missing. Where no look can tell, as behind `setup` lines, jobs try: a job on a host where others come to their commands
each minute for ten, and on one that is kept from all a single job on trial, ever more seldom. A run remembers this for itself:
another one may have another inventory, and a later one tries anew.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from burnish.core.hosts import Host
from burnish.core.jobs import HostName, JobId

JOBS = 3  # different ones, in a row: what so many need, the next one needs as well
PATIENCE = 600.0  # s in which a host that had what was needed is waited for: it may mount it late after a reboot
BLIND = 60.0  # s after which a job tries again what no look has answered
LONGEST_BLIND = 1800.0  # s, of a host that is kept from all jobs

NOWHERE: frozenset[HostName] = frozenset()

Need = Mapping[str, Any]  # what an agent was looking for, in its own words (docs/protocol.md)


class _Lack(Struct):
    """One need that is not met: why, a clause, when that was last known, and the jobs that met with it, each since when."""

    need: Need
    why: str
    known: float
    jobs: dict[JobId, float] = field(default_factory=dict)


class _Place(Struct):
    """What is known of one host. `row`: different jobs that could not be started since the last one that was."""

    host: Host
    lacks: dict[str, _Lack] = field(default_factory=dict)
    row: set[JobId] = field(default_factory=set)
    since: float = 0.0  # when the row began
    trials: int = 0  # since a job was last started
    bare: bool = False  # without its work folder
    had: bool = False  # something was started there
    trial: bool = False  # a job may find out, and none is given to it yet


class Lacking:
    """What the hosts of one run lack."""

    def __init__(self) -> None:
        self._places: dict[HostName, _Place] = {}
        self._barred: defaultdict[JobId, set[HostName]] = defaultdict(set)
        self._freed: set[JobId] = set()

    # -- what happens ----------------------------------------------------------------------------------------------

    def find(self, host: Host, job: JobId, need: Need, why: str, now: float) -> None:
        """A job could not be started on `host`, which has not what it needs."""
        place = self._places.setdefault(host.name, _Place(host))
        lack = place.lacks.setdefault(_key(need), _Lack(need, why, now))
        lack.known = now
        lack.jobs.setdefault(job, now)
        place.since = place.since if place.row else now
        place.row.add(job)
        place.bare = place.bare or dict(need) == {"cwd": host.workdir}
        self._barred[job].add(host.name)

    def claim(self, host: HostName) -> None:
        """A job was given to this host: if one was to be on trial, that is the one."""
        if (place := self._places.get(host)) is not None:
            place.trial = False

    def start(self, host: Host, began: float) -> bool:
        """A job that `began` there came to its command, so what others lack is their own matter, unless they lacked it later.

        True if the host takes jobs again.
        """
        place = self._places.setdefault(host.name, _Place(host))
        place.had = True
        if place.row and began < place.since:
            return False
        before = self.why(host.name)
        place.row.clear()
        place.bare, place.trial, place.trials = False, False, 0
        return bool(before)

    def see(self, host: HostName, answers: Iterable[tuple[Need, str]], now: float) -> bool:
        """A look was answered: need -> why it is not met, "" if it is. True if the host has what kept it from all jobs."""
        place = self._places.get(host)
        if place is None:
            return False
        before = self.why(host)
        for need, why in answers:
            if (lack := place.lacks.get(_key(need))) is None:
                continue
            lack.why, lack.known = why, now
            if not why:
                self._mend(place, lack)
        pause = min(BLIND * 2**place.trials, LONGEST_BLIND) if self.why(host) else BLIND
        if unanswered := [lack for lack in place.lacks.values() if now - lack.known >= pause]:
            self._try(place, unanswered, now)
        return bool(before) and not self.why(host)

    def describe(self, host: Host) -> None:
        """The inventory describes the host so: what it lacked as it was described before is forgotten."""
        place = self._places.get(host.name)
        if place is not None and place.host != host:
            for lack in list(place.lacks.values()):
                self._mend(place, lack)
            place.host, place.trials = host, 0

    def acquit(self, job: JobId) -> None:
        """A person changed the job, or asked for it again: it may need something else now."""
        self._barred.pop(job, None)

    def _mend(self, place: _Place, lack: _Lack) -> None:
        del place.lacks[_key(lack.need)]
        place.row.clear()
        place.bare = place.trial = False
        self._free(place, lack.jobs)

    def _try(self, place: _Place, unanswered: Iterable[_Lack], now: float) -> None:
        """Let jobs find out what no look has told for long: one, where the host is kept from all."""
        if kept := bool(self.why(place.host.name)):
            place.trial, place.trials = True, place.trials + 1
        for lack in unanswered:
            lack.known = now
            self._free(place, [job for job, since in lack.jobs.items() if kept or now - since < PATIENCE])

    def _free(self, place: _Place, jobs: Iterable[JobId]) -> None:
        for job in jobs:
            self._barred[job].discard(place.host.name)
            self._freed.add(job)

    # -- what follows ----------------------------------------------------------------------------------------------

    def barred(self, job: JobId) -> frozenset[HostName]:
        """The hosts on which this job is not tried."""
        barred = self._barred.get(job)
        return frozenset(barred) if barred else NOWHERE

    def take_freed(self) -> set[JobId]:
        """The jobs that may be tried where they were barred, since the last call."""
        freed, self._freed = self._freed, set()
        return freed

    def needs(self, host: HostName) -> list[Need]:
        """What is to be looked for on this host."""
        place = self._places.get(host)
        return [] if place is None else [lack.need for lack in place.lacks.values()]

    def on_trial(self, host: HostName) -> bool:
        """True if this host, which is kept from all jobs, may get one."""
        return host in self._places and self._places[host].trial

    def why(self, host: HostName) -> str:
        """Why this host is kept from all jobs, a clause; "" if it is not."""
        place = self._places.get(host)
        if place is None or not place.lacks or not (place.bare or len(place.row) >= JOBS):
            return ""
        return list(place.lacks.values())[-1].why

    def jobs(self) -> list[JobId]:
        """The jobs that are not tried on some host."""
        return [job for job, hosts in self._barred.items() if hosts]

    def why_barred(self, job: JobId) -> str:
        """What the hosts on which this job is not tried lack: a clause, "" if there are none."""
        hosts = sorted(self.barred(job))
        found = (
            f"{lack.why} on {host}" for host in hosts for lack in self._places[host].lacks.values() if job in lack.jobs
        )
        return ", and ".join(dict.fromkeys(found))

    def given_up(self, host: HostName, now: float) -> bool:
        """True if what this host lacks is not waited for: a few jobs' own matter, never there in this run, or away for long.

        What a few jobs did not find behind `setup` lines may be there the next time.
        """
        place = self._places.get(host)
        if place is None or not place.lacks:
            return False
        if self.why(host):
            return not place.had or now - place.since >= PATIENCE
        tried = [since for lack in place.lacks.values() if "setup" in lack.need for since in lack.jobs.values()]
        return not place.had or not any(now - since < PATIENCE for since in tried)


def _key(need: Need) -> str:
    return json.dumps(need, sort_keys=True)
