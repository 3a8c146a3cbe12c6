"""What a run has no place for, and why: its word on jobs that wait and that no host of it takes. Pure.

Only a run knows its hosts, and it says so of what jobs ask for, not of each job: of 100 000 jobs there are a few kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from burnish.core.jobs import HostName, Job, JobId
from burnish.core.placement import Kind
from burnish.core.requirements import requirements
from burnish.core.state import State


class Unplaced(Struct, frozen=True):
    """What jobs ask of their place, as in `placement.Kind`, and `why` no host of the run has it, a clause.

    `jobs`: it is said of these alone, for which hosts lack something; None: of all that ask for this.
    """

    why: str
    gpus: int | None = None
    hosts: tuple[str, ...] = ()
    outgrew: frozenset[HostName] = frozenset()
    only_slurm: bool = False
    jobs: frozenset[JobId] | None = None

    @classmethod
    def of(cls, kind: Kind, why: str, jobs: Iterable[JobId] | None = None) -> Unplaced:
        """The word on jobs of this kind, or on some of them."""
        return cls(why, kind.gpus, kind.hosts, kind.outgrew, kind.only_slurm, None if jobs is None else frozenset(jobs))

    def concerns(self, job: Job, state: State) -> bool:
        """True if it is said of this job, as its row stands now."""
        if self.jobs is not None and job.id not in self.jobs:
            return False
        asked = requirements(job, state)
        mine = (self.gpus, self.hosts, self.outgrew, self.only_slurm)
        return mine == (asked.gpus, asked.hosts, frozenset(job.outgrew), asked.only_slurm)

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return {
            "why": self.why,
            "gpus": self.gpus,
            "hosts": list(self.hosts),
            "outgrew": sorted(self.outgrew),
            "only_slurm": self.only_slurm,
            "jobs": None if self.jobs is None else sorted(self.jobs),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Unplaced:
        """Inverse of `to_json`. Raises KeyError, TypeError or ValueError for anything else."""
        gpus, jobs = entry["gpus"], entry["jobs"]
        return cls(
            str(entry["why"]),
            None if gpus is None else int(gpus),
            tuple(map(str, entry["hosts"])),
            frozenset(HostName(str(host)) for host in entry["outgrew"]),
            bool(entry["only_slurm"]),
            None if jobs is None else frozenset(JobId(int(job)) for job in jobs),
        )
