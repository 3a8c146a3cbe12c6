"""The slots of a host: which shares of which GPUs, and how many jobs without one, may run there at a time. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.core.hosts import Host
from burnish.core.jobs import Slot


def slots_of(host: Host, found: Sequence[str] = ()) -> tuple[Slot, ...]:
    """The slots of `host`, GPUs first. `found`: the GPUs that its driver names, for `gpus: auto`.

    A host without GPUs has as many slots as its entry says, one if it says nothing.
    """
    gpus = named_gpus(host, found)
    shares = [gpu for gpu in gpus for _ in range(host.slots_per_gpu)]
    plain = host.slots if host.slots is not None else (0 if gpus else 1)
    devices = [*shares, *([None] * plain)]
    return tuple(Slot(host.name, index, gpu) for index, gpu in enumerate(devices))


def named_gpus(host: Host, found: Sequence[str] = ()) -> tuple[str, ...]:
    """The GPUs of `host` by index or UUID: those listed, the first so many, or all that were found."""
    if host.gpus == "auto":
        return tuple(found)
    if isinstance(host.gpus, int):
        return tuple(str(index) for index in range(host.gpus))
    return host.gpus


def environment(host: Host, gpus: Sequence[str], found: Sequence[str] = ()) -> dict[str, str]:
    """What a job may see of the host's GPUs: those of its slot, or none on a slot without one.

    On a host that has no GPU at all nothing is set. Indices count in PCI order, as `nvidia-smi` does.
    """
    if not gpus and not named_gpus(host, found):
        return {}
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(gpus)}
