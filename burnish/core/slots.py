"""The slots of a host: which shares of which GPUs, and how many jobs without one, may run there at a time. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burnish.core.hosts import Host
from burnish.core.jobs import Slot


def slots_of(host: Host, found: Sequence[str] = ()) -> tuple[Slot, ...]:
    """The slots of `host`, in the order to fill them: each GPU once, then their next shares, then those without a GPU.

    `found`: the GPUs that its driver names, for `gpus: auto`.
    A host without GPUs has as many slots as its entry says, one if it says nothing.
    """
    gpus, each = named_gpus(host, found), host.slots_per_gpu
    shares = [(gpu, share, each) for gpu in gpus for share in range(each)]
    plain = host.slots if host.slots is not None else (0 if gpus else 1)
    parts = [*shares, *([(None, 0, 1)] * plain)]
    slots = [Slot(host.name, index, *part) for index, part in enumerate(parts)]
    return tuple(sorted(slots, key=lambda slot: (slot.gpu is None, slot.share, slot.index)))


def named_gpus(host: Host, found: Sequence[str] = ()) -> tuple[str, ...]:
    """The GPUs of `host` by index or UUID: those listed, the first so many, or all that were found."""
    if host.gpus == "auto":
        return tuple(found)
    if isinstance(host.gpus, int):
        return tuple(str(index) for index in range(host.gpus))
    return host.gpus


def order(slots: Sequence[Slot], uuids: Mapping[Slot, str]) -> dict[str, Any]:
    """The slots of an attempt as its spec names them (docs/protocol.md). `uuids`: the cards that were seen at GPUs' indices."""
    gpus = [_share(slot, uuids.get(slot, "")) for slot in slots if slot.gpu is not None]
    return {"gpus": gpus} if gpus else {"cpu": [slot.index for slot in slots]}


def _share(slot: Slot, uuid: str) -> dict[str, Any]:
    assert slot.gpu is not None
    seen = {"uuid": uuid} if uuid and slot.gpu.isdigit() else {}
    return {"gpu": slot.gpu, "share": slot.share, "of": slot.of, **seen}


def environment(host: Host, slots: Sequence[Slot]) -> dict[str, str]:
    """What the inventory adds to a job's environment on these slots.

    Which GPUs the job sees is the host's to say. Only one without nvidia-smi cannot know that it has those which the inventory
    lists: a slot without a GPU hides them.
    """
    own = {name: value for name, value in host.env if name not in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")}
    hidden = all(slot.gpu is None for slot in slots) and bool(named_gpus(host))
    return {**own, "CUDA_VISIBLE_DEVICES": ""} if hidden else own
