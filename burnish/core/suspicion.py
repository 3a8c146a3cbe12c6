"""When failures speak against a place and not the job: a host that can start nothing, or where everything fails; a GPU that kills
what it gets. Pure.

Most failures are the jobs' own, and a sweep with a bug fails everywhere. So a place is blamed only if it fails alone: while
others brought jobs to a good end and none failed as fast. A host whose jobs die at once would have eaten the sweep before others
end one: after three it is in doubt, and gets a job now and then until it is known whose fault that is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from burnish.core.jobs import HostName, JobId

JOBS = 3  # different ones, in a row
DOUBT = 60.0  # s between two jobs on a host that is in doubt
AT_ONCE = 5.0  # s: an end so soon is that of a command that could not be run
SOON = 60.0  # s: an end so soon may be the GPU's work
NOT_RUN = (126, 127)  # what shells exit with for a command that is not executable, or not there


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended. `slot` is its index there, `gpu` its GPU's name, "" for none; `lasted` in s.

    `complete`: with a good end. `not_run`: the command could not be run. Ends that somebody asked for, and losses, are none.
    """

    job: JobId
    host: HostName
    slot: int
    gpu: str
    lasted: float
    complete: bool
    not_run: bool = False

    @property
    def at_once(self) -> bool:
        """True if it speaks against its host."""
        return self.not_run and self.lasted < AT_ONCE

    @property
    def soon(self) -> bool:
        """True if it may speak against its slot."""
        return not self.complete and not self.not_run and self.lasted < SOON


def unfit_host(endings: Iterable[Ending], host: HostName) -> bool:
    """True if at least three different jobs ended on `host`, and none of them could be run. `endings`: oldest first."""
    there = [ending for ending in endings if ending.host == host]
    return all(ending.at_once for ending in there) and len({ending.job for ending in there}) >= JOBS


@dataclass(frozen=True, slots=True)
class Suspicion:
    """The last `jobs` on a host all failed soon. `proven`: it is the host; elsewhere as many ended well and none failed so."""

    jobs: tuple[JobId, ...]
    proven: bool


def suspicion(endings: Iterable[Ending], host: HostName) -> Suspicion | None:
    """Whether the host as a whole is to blame for the failures in a row that it had last. `endings`: oldest first."""
    everything = list(endings)
    there = [n for n, ending in enumerate(everything) if ending.host == host]
    streak: list[int] = []
    for place in reversed(there):
        if not everything[place].soon:
            break
        streak.insert(0, place)
    jobs = dict.fromkeys(everything[place].job for place in streak)
    if len(jobs) < JOBS:
        return None
    meanwhile = [ending for ending in everything[streak[0] :] if ending.host != host]
    if any(ending.soon for ending in meanwhile):
        return None
    well = {ending.job for ending in meanwhile if ending.complete}
    return Suspicion(tuple(jobs), proven=len(well) >= JOBS)


def killed_by(endings: Iterable[Ending], host: HostName, slot: int) -> tuple[JobId, ...]:
    """The last three jobs on this slot, if that speaks against it: different ones, failed soon, while others elsewhere succeeded
    and none failed. Otherwise ().
    """
    everything = list(endings)
    places = [n for n, ending in enumerate(everything) if (ending.host, ending.slot) == (host, slot)][-JOBS:]
    mine = [everything[place] for place in places]
    if len({ending.job for ending in mine}) < JOBS or not all(ending.soon for ending in mine):
        return ()
    meanwhile = [ending for ending in everything[places[0] :] if (ending.host, ending.slot) != (host, slot)]
    deadly = any(ending.complete for ending in meanwhile) and not any(ending.soon for ending in meanwhile)
    return tuple(ending.job for ending in mine) if deadly else ()
