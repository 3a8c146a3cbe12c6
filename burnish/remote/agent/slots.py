"""Slots: a share of a GPU, or a CPU worker of an inventory. Which locks and which device one is, and what CUDA sees of it.

Whoever uses a slot holds its flocks, which the job inherits: they are free when the last process of the job is gone, whatever
became of its supervisor.
"""

from __future__ import annotations

import os
import re

from .common_locks import Wanted, is_held
from .place import lock_folder
from .refusals import SlotTaken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional, Sequence

    from .records import Record

GPU_NAME = re.compile(r"[0-9]{1,3}|(GPU|MIG)-[0-9A-Za-z/-]{1,100}")


def gpu_lock_folder() -> str:
    """The local folder of all users' GPU locks. BURNISH_GPU_LOCK_DIR names another one, for tests."""
    return os.environ.get("BURNISH_GPU_LOCK_DIR") or "/var/tmp/burnish-gpus"


def gpu_lock(name: str) -> str:
    """The lock of the GPU with this UUID, or this index while nobody knows its UUID."""
    return "%s/%s" % (gpu_lock_folder(), name.replace("/", "_") if name[:1].isalpha() else "index-" + name)


def share_lock(gpu: str, share: int) -> str:
    """The lock of one share of a GPU whose own lock is `gpu`."""
    return "%s.%d" % (gpu, share)


def cpu_lock(state_id: str, index: int) -> str:
    """The lock of a CPU slot. Another state folder of this account has slots of its own."""
    return "%s/cpu-%s-%d" % (lock_folder(), state_id, index)


def gpu_locks(device: Record) -> List[Wanted]:
    """What a job needs that uses `device`, as `resolve_gpu` gives it: alone, or as one of `of` sharers."""
    what = "MIG device %s" % device["gpu"] if device.get("parent") else "GPU %s" % device["gpu"]
    own = gpu_lock(device["uuid"] or device["gpu"])
    locks = [Wanted(gpu_lock(device["parent"]), what, alone=False)] if device.get("parent") else []
    if device["of"] == 1:
        return [*locks, Wanted(own, what)]
    share = "share %d of %s" % (device["share"], what)
    return [*locks, Wanted(own, what, alone=False), Wanted(share_lock(own, device["share"]), share)]


def holding(uuid: str) -> Record:
    """Who of burnish's jobs has a GPU: {"held", "alone", "shares": [those that are taken]}."""
    own = gpu_lock(uuid)
    prefix = os.path.basename(own) + "."
    try:
        names = os.listdir(os.path.dirname(own))
    except OSError:
        names = []
    shares = [int(name[len(prefix) :]) for name in names if name.startswith(prefix) and name[len(prefix) :].isdigit()]
    taken = sorted(share for share in shares if is_held(share_lock(own, share)))
    return {"held": is_held(own), "alone": is_held(own, alone_only=True), "shares": taken}


def held_cpu_slots(state_id: str) -> List[str]:
    """The names of the CPU slot locks of this state folder that somebody holds."""
    prefix = os.path.basename(cpu_lock(state_id, 0))[:-1]
    folder = lock_folder()
    try:
        names = sorted(name for name in os.listdir(folder) if name.startswith(prefix))
    except OSError:
        names = []  # removed while we run; whoever needs it makes it anew
    return [name for name in names if is_held("%s/%s" % (folder, name))]


def problem_of_slots(slots: Any) -> str:
    """Why these slots of a spec cannot be understood, or ""."""
    if slots is None:
        return ""
    if not isinstance(slots, dict):
        return "slots must be an object"
    cpus, gpus = slots.get("cpu") or [], slots.get("gpus") or []
    if not isinstance(cpus, list) or not all(type(index) is int and index >= 0 for index in cpus):
        return "slots.cpu must be a list of indices"
    if not isinstance(gpus, list) or not all(isinstance(gpu, dict) for gpu in gpus):
        return "slots.gpus must be a list of objects"
    for gpu in gpus:
        names = [gpu.get("gpu"), gpu.get("uuid") or "0"]
        if not all(isinstance(name, str) and GPU_NAME.fullmatch(name) for name in names):
            return "%r is no GPU" % (gpu.get("gpu"),)
        share, of = gpu.get("share", 0), gpu.get("of", 1)
        if type(share) is not int or type(of) is not int or not 0 <= share < of:
            return "share %r of %r is no share of a GPU" % (share, of)
    return ""


def resolve_gpu(slot: Record, gpus: Optional[Sequence[Record]]) -> Record:
    """Which device a slot means: {"gpu", "index", "uuid", "share", "of"}, and "parent", the UUID of its GPU, for a MIG device.

    `gpus` are those of the last reading; with None, because nvidia-smi does not answer, or there is none, the slot is taken at
    its word. Raises SlotTaken when the host has no such device, or another one than the coordinator saw.
    """
    name, expected = slot["gpu"], slot.get("uuid")
    device: Record = {"gpu": name, "share": slot.get("share", 0), "of": slot.get("of", 1)}
    if gpus is None:
        return dict(device, index=int(name) if name.isdigit() else None, uuid=name if name[0].isalpha() else expected)
    for gpu in gpus:
        if name in (gpu["uuid"], str(gpu["index"])):
            if expected and expected != gpu["uuid"]:
                raise SlotTaken("GPU %s was %s, is now %s" % (name, expected, gpu["uuid"]))
            return dict(device, index=gpu["index"], uuid=gpu["uuid"])
        if any(name == mig["uuid"] for mig in gpu["migs"]):
            return dict(device, index=gpu["index"], uuid=name, parent=gpu["uuid"])
    there = ", ".join("%d (%s)" % (gpu["index"], gpu["uuid"]) for gpu in gpus)
    raise SlotTaken("there is no GPU %s; this host has %s" % (name, there or "none"))


def gpu_environment(devices: Sequence[Record]) -> Dict[bytes, bytes]:
    """What CUDA may see: indices in PCI order, UUIDs only for MIG devices and where no index is known. Nothing for no devices."""
    if any(device.get("parent") or device["index"] is None for device in devices):
        names = [device["uuid"] for device in devices]
    else:
        names = [str(device["index"]) for device in devices]
    return {b"CUDA_DEVICE_ORDER": b"PCI_BUS_ID", b"CUDA_VISIBLE_DEVICES": ",".join(names).encode("ascii")}
