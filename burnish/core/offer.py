"""What one host offers to one run: its slots, and why one of them is not to be tried now. Pure; times are s on one clock.

It is told what looks at the host have seen. A look is old when it is read, so it never overrules what this table knows: a slot
that an attempt of the table has had since the look was asked for is not somebody else's. And it is never the last word: whether a
slot is free is decided on the host, by its lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from burnish.core.gpus import broken, drain_names, found_by_auto, occupied, unusable
from burnish.core.hosts import Host
from burnish.core.jobs import Slot
from burnish.core.sighting import GpuSeen, Sighting
from burnish.core.slots import slots_of

BACK_OFF = 5.0  # s in which a slot is left alone that turned out to be taken
TAKEN = "another burnish job has it"


class Offer:
    """`slots` are empty until it is known what the host has. With `workers`, they are these, whatever is seen."""

    def __init__(self, host: Host, workers: Sequence[Slot] | None = None) -> None:
        self.host = host
        self.plain = workers is not None
        self.slots: tuple[Slot, ...] = tuple(workers or ())
        if workers is None and host.gpus == ():
            self.slots = slots_of(host)
        self.known = self.plain or bool(self.slots)  # what the host has
        self._gpus: tuple[GpuSeen, ...] | None = None
        self._mask: str | None = None
        self._first: dict[str, str] = {}  # listed index -> UUID of the card that was seen there first
        self.unusable = ""  # why no GPU can be used at all
        # UUID -> why it is somebody else's, and when that was seen last
        self._occupied: dict[str, tuple[str, float]] = {}
        self._taken: set[int] = set()  # indices of slots that others hold, by the last look
        self._used: set[int] = set()  # indices of slots that the table has used since that look was asked for
        self._back_off: dict[int, float] = {}  # index -> until when

    # -- what happens ----------------------------------------------------------------------------------------------

    def ask(self, in_use: Iterable[int]) -> None:
        """A look is asked for now, while attempts of the table have these slots."""
        self._used = set(in_use)

    def use(self, indices: Iterable[int]) -> None:
        """Attempts of the table get these slots."""
        self._used.update(indices)

    def describe(self, host: Host) -> None:
        """The inventory describes the host anew. What was seen of it stays: its GPUs, and when other people used them."""
        self.host = host
        self.known = self._gpus is not None or host.gpus != "auto"
        self.slots = self._known_slots()
        self._taken.clear()  # by numbers that may mean other slots now; locks know better
        self._back_off.clear()

    def find_taken(self, indices: Iterable[int], now: float) -> None:
        """An attempt came too late for these slots."""
        self._back_off.update((index, now + BACK_OFF) for index in indices)

    def see(self, seen: Sighting, now: float) -> None:
        """A look was answered."""
        if self.plain:
            return
        if seen.gpus is not None:
            self._gpus = seen.gpus
        self._mask = seen.mask
        self.unusable = unusable(seen, known=self._gpus is not None)
        self.known = self.known or seen.gpus is not None or self.host.gpus != "auto"
        self.slots = self._known_slots()
        for gpu in self._gpus or ():
            if why := occupied(gpu, self.host.busy, seen.user):
                self._occupied[gpu.uuid] = why, now
            if gpu.index is not None:
                self._first.setdefault(str(gpu.index), gpu.uuid)
        self._taken = {slot.index for slot in self.slots if self._is_held(slot, seen)} - self._used

    # -- what follows ----------------------------------------------------------------------------------------------

    def why_not(self, slot: Slot, now: float) -> str:
        """Why nothing should be started on `slot` now, a clause; "" if it may be tried."""
        if now < self._back_off.get(slot.index, now) or slot.index in self._taken:
            return TAKEN
        if slot.gpu is None or self.plain:
            return ""
        return self.fault(slot) or self._other_people(slot, now)

    @property
    def saw_gpus(self) -> bool:
        """True once the host has told of its GPUs."""
        return self._gpus is not None

    def fault(self, slot: Slot) -> str:
        """Why the GPU of `slot` cannot be used until a person or the host changes something; "" if it can."""
        if slot.gpu is None or self.unusable:
            return self.unusable if slot.gpu is not None else ""
        gpu = self.gpu(slot)
        if gpu is None:
            there = ", ".join(f"{gpu.index} ({gpu.uuid})" for gpu in self._gpus or ())
            return f"there is no GPU {slot.gpu}; {self.host.name} has {there}" if there else ""
        first = self._first.get(slot.gpu, gpu.uuid)
        if self.host.gpus != "auto" and slot.gpu.isdigit() and gpu.uuid != first:
            return f"GPU {slot.gpu} was {first}, is now {gpu.uuid}"
        return f"nvidia-smi says of GPU {gpu.index}: {gpu.trouble}" if gpu.trouble else ""

    def gpu(self, slot: Slot) -> GpuSeen | None:
        """The GPU that `slot` is a share of, as it was seen last."""
        name = slot.gpu or ""
        return next((gpu for gpu in self._gpus or () if gpu.called(name)), None)

    def drain_names(self, slot: Slot) -> tuple[str, ...]:
        """Under which names a drain keeps jobs from the GPU of `slot`: by UUID, or as the inventory names it."""
        if slot.gpu is None:
            return ()
        gpu = self.gpu(slot)
        seen = () if gpu is None else drain_names(self.host.name, gpu)
        return (*seen, f"{self.host.name}:{slot.gpu}")

    def broken(self, seen: Sighting) -> Iterator[str]:
        """The names to drain: of the GPUs that a look proves to be broken."""
        for gpu in broken(seen, self._gpus or ()):
            if any(self.gpu(slot) is gpu for slot in self.slots):
                yield f"{self.host.name}:{gpu.uuid}"

    # -- how that is known -----------------------------------------------------------------------------------------

    def _known_slots(self) -> tuple[Slot, ...]:
        if self._gpus is None and self.host.gpus == "auto":
            return tuple(Slot(self.host.name, index) for index in range(self.host.slots or 0))
        return slots_of(self.host, found_by_auto(self._gpus or (), self._mask))

    def _is_held(self, slot: Slot, seen: Sighting) -> bool:
        if slot.gpu is None:
            return slot.index in seen.held_slots
        gpu = self.gpu(slot)
        if gpu is None:
            return False
        whole = gpu.holders[gpu.uuid]
        if slot.gpu in gpu.migs:
            return whole.alone or gpu.holders[slot.gpu].has(slot.share, slot.of)
        return whole.has(slot.share, slot.of)

    def _other_people(self, slot: Slot, now: float) -> str:
        """What a GPU is used for cannot be told apart by MIG device, so those are not asked about."""
        gpu = self.gpu(slot)
        if gpu is None or slot.gpu in gpu.migs or self.host.busy is None or gpu.uuid not in self._occupied:
            return ""
        why, when = self._occupied[gpu.uuid]
        return why if now - when < self.host.busy.quiet_for else ""
