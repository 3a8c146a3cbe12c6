"""What a host was seen to have: its load, disk, work folder, Python and GPUs, read from an agent's `seen`. Pure.

A host may be of another version of burnish, or broken: what is missing or cannot be read is None, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field


class GpuProcess(Struct, frozen=True):
    """A process on a GPU: `user` is empty and `memory` (MiB) None where the host cannot tell."""

    pid: int | None
    user: str
    memory: int | None


class Holders(Struct, frozen=True):
    """Which burnish jobs, of whatever table and user, have a device: one `alone`, or some its `shares`."""

    held: bool = False
    alone: bool = False
    shares: frozenset[int] = frozenset()

    def has(self, share: int, of: int) -> bool:
        """True if a job that wants this share (all of it, if `of` is 1) would find the device taken."""
        return self.held if of == 1 else self.alone or share in self.shares


class GpuSeen(Struct, frozen=True):
    """One GPU. Memory in MiB, `util` in percent; `migs` the UUIDs of the MIG devices on it.

    `held`: a burnish job, of whatever table, has it or a share of it now; `alone`: all of it; `shares`: how many are taken.
    `was_held`: one had it when the memory was read. `holders` has its UUID and those of its MIG devices. `pci`: its address.
    `trouble`: why it is out of order, in nvidia-smi's words, "" if it is not.
    """

    index: int | None
    uuid: str
    name: str
    memory_total: int | None
    memory_used: int | None
    util: int | None
    processes: tuple[GpuProcess, ...]
    held: bool | None
    alone: bool | None = None
    shares: int = 0
    migs: tuple[str, ...] = ()
    was_held: bool = False
    holders: Mapping[str, Holders] = field(default_factory=dict)
    pci: str = ""
    trouble: str = ""

    def called(self, gpu: str) -> bool:
        """True if a slot of the inventory means this GPU by `gpu`, an index or a UUID."""
        return gpu in (str(self.index), self.uuid, *self.migs)


class Sighting(Struct, frozen=True):
    """A host at one moment. `now` is its own clock, `disk_free` in bytes (where it keeps attempts), `age` of the GPUs in s.

    `gpus` None: unknown, and `gpu_error` may say why. `workdir_exists` None: it was not asked. `held`: how many of its CPU
    slots burnish jobs hold, `held_slots` which. `user` is whom burnish is there, `gpu_exit` how nvidia-smi failed. `mask`: the
    CUDA_VISIBLE_DEVICES that logins have there, None if it is not set. `workdir_silent`: whoever looks at it hangs. `needs`: what
    it was asked for, each with why it is not there, "" if it is.
    """

    now: float | None = None
    load: float | None = None
    cpus: int | None = None
    disk_free: int | None = None
    python: str = ""
    driver: str = ""
    workdir_exists: bool | None = None
    workdir_writable: bool | None = None
    workdir_silent: bool = False
    gpus: tuple[GpuSeen, ...] | None = None
    gpu_error: str = ""
    age: float | None = None
    held: int | None = None
    held_slots: frozenset[int] = frozenset()
    user: str = ""
    gpu_exit: int | None = None
    mask: str | None = None
    needs: tuple[tuple[Mapping[str, Any], str], ...] = ()


def read(welcome: Mapping[str, Any], seen: Mapping[str, Any]) -> Sighting:
    """What the frames `welcome` and `seen` of one agent say; `seen` may be empty."""
    gpus = seen.get("gpus")
    loads, held = seen.get("load"), seen.get("held")
    workdir = _mapping(seen.get("workdir"))
    return Sighting(
        now=_number(seen.get("now", welcome.get("now"))),
        load=_number(loads[0]) if isinstance(loads, list) and loads else _number(loads),
        cpus=_whole(seen.get("cpus")),
        disk_free=_whole(seen.get("disk_free")),
        python=_text(seen.get("python") or welcome.get("python")),
        driver=_text(seen.get("driver")),
        workdir_exists=_flag(workdir.get("exists")),
        workdir_writable=_flag(workdir.get("writable")),
        workdir_silent=workdir.get("silent") is True,
        gpus=tuple(_gpu(_mapping(gpu)) for gpu in gpus) if isinstance(gpus, list) else None,
        gpu_error=_text(seen.get("gpu_error")),
        age=_number(seen.get("age")),
        held=len(held) if isinstance(held, list) else None,
        held_slots=_numbers(_text(name).rpartition("-")[2] for name in _list(held)),
        user=_text(seen.get("user")),
        gpu_exit=_whole(seen.get("gpu_exit")),
        mask=_text(seen.get("mask")) if seen.get("mask") is not None else None,
        needs=tuple((_mapping(pair[0]), pair[1]) for pair in map(_list, _list(seen.get("needs"))) if _is_answer(pair)),
    )


def _gpu(gpu: Mapping[str, Any]) -> GpuSeen:
    return GpuSeen(
        index=_whole(gpu.get("index")),
        uuid=_text(gpu.get("uuid")),
        name=_text(gpu.get("name")),
        memory_total=_whole(gpu.get("memory_total")),
        memory_used=_whole(gpu.get("memory_used")),
        util=_whole(gpu.get("util")),
        processes=tuple(_process(_mapping(one)) for one in _list(gpu.get("processes"))),
        held=_flag(gpu.get("held")),
        alone=_flag(gpu.get("alone")),
        shares=len(_list(gpu.get("shares"))),
        migs=tuple(_text(_mapping(mig).get("uuid")) for mig in _list(gpu.get("migs"))),
        was_held=gpu.get("was_held") is True,
        holders=dict(_holders(_mapping(device)) for device in (gpu, *_list(gpu.get("migs")))),
        pci=_text(gpu.get("pci")),
        trouble=_text(gpu.get("trouble")),
    )


def listed(name: str) -> GpuSeen:
    """A GPU of which nothing is known but its name in an inventory, an index or a UUID."""
    index, uuid = (int(name), "") if name.isdigit() else (None, name)
    return GpuSeen(index, uuid, "", None, None, None, (), None)


def _is_answer(pair: list[Any]) -> bool:
    """True for what a need is answered with. One that cannot be read must not pass for a need that is met."""
    return len(pair) == 2 and isinstance(pair[0], dict) and isinstance(pair[1], str)


def _holders(device: Mapping[str, Any]) -> tuple[str, Holders]:
    held, alone = device.get("held") is True, device.get("alone") is True
    return _text(device.get("uuid")), Holders(held, alone, _numbers(_list(device.get("shares"))))


def _numbers(values: Iterable[object]) -> frozenset[int]:
    """Those of `values` that are whole numbers, as numbers."""
    return frozenset(int(str(value)) for value in values if str(value).isascii() and str(value).isdigit())


def _process(process: Mapping[str, Any]) -> GpuProcess:
    return GpuProcess(_whole(process.get("pid")), _text(process.get("user")), _whole(process.get("memory")))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(value: object) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and abs(value) < 1e15 else None  # type: ignore[arg-type]


def _whole(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
