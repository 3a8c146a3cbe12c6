"""How a host stands in the eyes of one table: what was seen of it, what of this table runs there, what is free. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from burnish.core.gpus import drain_names, found_by_auto, full, occupied, unusable
from burnish.core.hosts import Host
from burnish.core.jobs import Attempt, HostName
from burnish.core.sighting import GpuSeen, Holders, Sighting, listed
from burnish.core.slots import named_gpus, slots_of
from burnish.core.state import State


class Standing(Struct, frozen=True):
    """`seen` is None when the host was not reached, and `trouble` a sentence then; `hint`: what to do about it.

    `drained`: why it takes no new jobs, None if it does. `drains`: all drains of the table, those of single GPUs among them.
    `attempts`: open attempts of the table there. `described`: the inventory says what may run on it; a claim only says how to
    reach it. `lacked`: what it had not for the job that it was given last.
    """

    host: Host
    seen: Sighting | None = None
    trouble: str = ""
    hint: str = ""
    drained: str | None = None
    attempts: tuple[Attempt, ...] = ()
    described: bool = True
    drains: Mapping[HostName, str] = field(default_factory=dict)
    lacked: str = ""

    @property
    def lacks(self) -> str:
        """Why it cannot start jobs, as far as can be seen: a clause, or ""."""
        if self.seen is not None and self.seen.workdir_silent:
            return f"{self.host.workdir} does not answer"
        if self.seen is not None and self.seen.workdir_exists is False:
            return f"{self.host.workdir} does not exist"
        return self.lacked

    @property
    def slots(self) -> int | None:
        """How many jobs it takes at a time; None where that is not known, or depends on GPUs that were not seen."""
        if not self.described:
            return None
        gpus = None if self.seen is None else self.seen.gpus
        if gpus is None and self.host.gpus == "auto":
            return self.host.slots
        return len(slots_of(self.host, self._found()))

    @property
    def gpus(self) -> tuple[GpuSeen, ...]:
        """The GPUs that were seen; or, taken at their word, those that the inventory lists."""
        return self._listed() if self.at_their_word else self._seen_gpus

    @property
    def at_their_word(self) -> bool:
        """True where the inventory lists GPUs and no nvidia-smi tells of any, nor speaks against them: jobs start there."""
        if self.seen is None or self._seen_gpus or not self.described:
            return False
        return bool(self._listed()) and not unusable(self.seen, known=False)

    def on(self, gpu: GpuSeen) -> tuple[Attempt, ...]:
        """The attempts of the table that use `gpu`."""
        return tuple(attempt for attempt in self.attempts if any(gpu.called(name) for name in attempt.gpus))

    def is_free(self, gpu: GpuSeen) -> bool:
        """True if a job of this table could start on `gpu` now, as far as can be seen."""
        if (
            self.trouble
            or self.lacks
            or self.drained is not None
            or self.why_drained(gpu) is not None
            or gpu.trouble
            or not (offered := self._offered(gpu))
        ):
            return False
        parts = [name for name in offered if name in gpu.migs]
        if any(self._is_part_free(gpu, part) for part in parts):
            return True
        if len(parts) == len(offered):
            return False
        jobs = len(self.on(gpu))
        if jobs or gpu.shares or gpu.held:
            return not full(gpu, self.host.slots_per_gpu, jobs)
        return not self.is_busy(gpu)

    def why_drained(self, gpu: GpuSeen) -> str | None:
        """Why no job goes to `gpu`, though its host takes some; None if that is not so."""
        return next((self.drains[HostName(n)] for n in drain_names(self.host.name, gpu) if n in self.drains), None)

    def is_busy(self, gpu: GpuSeen) -> bool:
        """True if somebody beside burnish uses `gpu` now, by the measure of the inventory."""
        me = "" if self.seen is None else self.seen.user
        return not self.on(gpu) and bool(occupied(gpu, self.host.busy, me))

    @property
    def workers(self) -> int:
        """How many jobs without a GPU it takes at a time."""
        return sum(slot.gpu is None for slot in slots_of(self.host, self._found()))

    @property
    def free_workers(self) -> int:
        """How many jobs without a GPU could start now, as far as can be seen."""
        if self.seen is None or self.trouble or self.lacks or self.drained is not None or self.slots is None:
            return 0
        here = sum(not attempt.gpus for attempt in self.attempts)
        return max(0, self.workers - max(here, self.seen.held or 0))

    def _is_part_free(self, gpu: GpuSeen, part: str) -> bool:
        """`part`: a MIG device that the inventory lists. Whether somebody beside burnish uses it cannot be told from outside."""
        own, of = gpu.holders.get(part, Holders()), self.host.slots_per_gpu
        jobs = sum(part in attempt.gpus for attempt in self.attempts)
        return not gpu.alone and jobs < of and not all(own.has(share, of) for share in range(of))

    @property
    def _seen_gpus(self) -> tuple[GpuSeen, ...]:
        return () if self.seen is None else self.seen.gpus or ()

    def _listed(self) -> tuple[GpuSeen, ...]:
        """The GPUs that the inventory lists, of which nothing else is known."""
        return () if self.host.gpus == "auto" else tuple(map(listed, named_gpus(self.host)))

    def _offered(self, gpu: GpuSeen) -> list[str]:
        """The names by which the inventory offers `gpu` or parts of it."""
        return [name for name in named_gpus(self.host, self._found()) if gpu.called(name)]

    def _found(self) -> tuple[str, ...]:
        return () if self.seen is None else found_by_auto(self.seen.gpus or (), self.seen.mask)


def machines(state: State) -> dict[Host, str]:
    """The machines that the table was on, as the newest claim on each describes them -> their state ids."""
    newest = {
        attempt.state_id: Host.from_entry({**attempt.entry, "name": attempt.host})
        for job in state.jobs.values()
        for attempt in job.attempts
        if attempt.host and attempt.entry
    }
    return {host: state_id for state_id, host in newest.items()}


def attempts_on(state: State, host: Host, state_id: str) -> tuple[Attempt, ...]:
    """Open attempts of the table on the host of this identity; while that is not known, on the host of this name."""
    return tuple(_on(state.open.values(), host, state_id))


def _on(attempts: Iterable[Attempt], host: Host, state_id: str) -> Iterable[Attempt]:
    return (a for a in attempts if (a.state_id == state_id if state_id else a.host == host.name))
