"""When a GPU is left alone, and when it is not fit for use: rules on what nvidia-smi said. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.core.hosts import Busy
from burnish.core.sighting import GpuSeen, Sighting
from burnish.errors import printable

# Exit statuses of nvidia-smi, by the section on return values of its manual page.
BROKEN = (8, 10, 14, 15)  # a card: power cables, interrupts, infoROM, fallen off the bus. A person must look at it
# No GPU, no driver, no library, or a library that does not fit the driver: nothing can use a GPU until that changes.
MISMATCH = 18
ABSENT = (6, 9, 12, MISMATCH)
LOST = "unable to determine the device handle"  # of the card that is named then, whatever the exit status


def occupied(gpu: GpuSeen, rule: Busy | None, me: str) -> str:
    """Why `gpu` counts as somebody else's, a clause such as `bob uses it (14.0 GiB)`; "" if it does not.

    While a burnish job holds it, its memory and processes are that job's: only another user's process counts then. `rule` None
    shares GPUs with everybody; `me` is the user that burnish is on that host.
    """
    if rule is None:
        return ""
    ours = gpu.held or gpu.was_held
    others = [process for process in gpu.processes if not ours or process.user not in ("", me)]
    if others:
        users = ", ".join(dict.fromkeys(printable(process.user or "somebody") for process in others))
        return f"{users} uses it{_memory(gpu.memory_used)}"
    if ours:
        return ""
    if (gpu.memory_used or 0) > rule.max_mem_mib:
        return f"its memory is in use{_memory(gpu.memory_used)}"
    if (gpu.util or 0) > rule.max_util:
        return f"it is {gpu.util} % busy"
    return ""


def full(gpu: GpuSeen, slots_per_gpu: int, jobs: int = 0) -> bool:
    """True if burnish jobs leave no share of `gpu`, `jobs` of one's own table among them."""
    jobs = max(jobs, gpu.shares, int(gpu.held or False))
    return bool(jobs) and (bool(gpu.alone) or jobs >= slots_per_gpu)


def broken(seen: Sighting, known: Sequence[GpuSeen]) -> tuple[GpuSeen, ...]:
    """Those of the `known` GPUs that must be taken for broken: the one that nvidia-smi names, or all if it names none."""
    named = tuple(gpu for gpu in known if _is_named(gpu, seen.gpu_error))
    if LOST in seen.gpu_error.lower():
        return named
    return (named or tuple(known)) if seen.gpu_exit in BROKEN else ()


def unusable(seen: Sighting, known: bool) -> str:
    """Why no GPU of the host can be used now, a clause; "" if nothing speaks against it. `known`: its GPUs were seen before."""
    nothing_works = seen.gpu_exit in ABSENT or (seen.gpu_exit in BROKEN and not known)
    return printable(seen.gpu_error, 300) if nothing_works else ""


def found_by_auto(gpus: Sequence[GpuSeen], mask: str | None) -> tuple[str, ...]:
    """The GPUs that `gpus: auto` stands for, by index: all, or those that `mask` leaves visible, read as CUDA reads it.

    `mask` is the CUDA_VISIBLE_DEVICES that logins have there, None if it is not set. An index counts in PCI order, a UUID may be
    cut short, and an entry that is neither hides all that follow. A MIG device that it names is offered by its UUID.
    """
    if mask is None:
        return tuple(str(gpu.index) for gpu in gpus)
    found: list[str] = []
    for entry in mask.split(","):
        if not (name := _found(gpus, entry.strip())):
            break
        found.append(name)
    return tuple(dict.fromkeys(found))


def _found(gpus: Sequence[GpuSeen], entry: str) -> str:
    if entry.startswith("MIG-"):
        return next((entry for gpu in gpus if entry in gpu.migs), "")
    meant = [
        gpu for gpu in gpus if entry == str(gpu.index) or (entry.startswith("GPU-") and gpu.uuid.startswith(entry))
    ]
    return str(meant[0].index) if len(meant) == 1 else ""


def drain_names(host: str, gpu: GpuSeen) -> tuple[str, ...]:
    """Under which names a drain keeps jobs from a GPU: by UUID, and by index."""
    return f"{host}:{gpu.uuid}", f"{host}:{gpu.index}"


def _is_named(gpu: GpuSeen, text: str) -> bool:
    """nvidia-smi writes a card's place with a domain of four digits in some sentences, and of eight in its tables."""
    place = gpu.pci.lower()
    return gpu.uuid in text or (len(place) > 8 and place[-12:] in text.lower())


def _memory(mib: int | None) -> str:
    return "" if mib is None else f" ({mib / 1024:.1f} GiB)"
