"""GPUs that tests/fakes/bin/nvidia-smi tells of: tables in the form of NVIDIA's documented query fields, with invented cards.

Nothing here was recorded from a machine. The fields, their units in brackets and their order in a row follow
`nvidia-smi --help-query-gpu` and `--help-query-compute-apps`, the lines of `-L` the MIG user guide.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FAKES = Path(__file__).resolve().parent.parent / "fakes" / "bin"
GPU_HEADER = "index, uuid, pci.bus_id, name, driver_version, memory.total [MiB], memory.used [MiB], utilization.gpu [%]"
PROCESS_HEADER = "gpu_uuid, pid, used_gpu_memory [MiB]"


def uuid(number: int, kind: str = "GPU") -> str:
    """The UUID of an invented card."""
    return f"{kind}-{number:08d}-0000-4000-8000-{number:012d}"


@dataclass
class Card:
    """One GPU. `used` in MiB and `util` in percent may be texts such as `[N/A]`; `bus` is its place in PCI order."""

    number: int
    bus: int
    used: int | str = 4
    util: int | str = 0
    index: int | None = None
    processes: list[tuple[int, int | str]] = field(default_factory=list)
    migs: list[str] = field(default_factory=list)

    @property
    def uuid(self) -> str:
        return uuid(self.number)


def cards(count: int) -> list[Card]:
    """So many idle GPUs."""
    return [Card(number=number + 1, bus=0x10 * (number + 1)) for number in range(count)]


def write(folder: Path, gpus: list[Card]) -> None:
    """Let the nvidia-smi that reads `folder` tell of these GPUs."""
    folder.mkdir(exist_ok=True)
    rows = [
        f"{place if gpu.index is None else gpu.index}, {gpu.uuid}, 00000000:{gpu.bus:02X}:00.0, Invented GPU, 1.2.3, 40000 MiB, "
        f"{_unit(gpu.used, 'MiB')}, {_unit(gpu.util, '%')}"
        for place, gpu in enumerate(gpus)
    ]
    processes = [f"{gpu.uuid}, {pid}, {_unit(used, 'MiB')}" for gpu in gpus for pid, used in gpu.processes]
    listed = [line for place, gpu in enumerate(gpus) for line in _listed(place, gpu)]
    _put(folder / "gpu.csv", [GPU_HEADER, *rows])
    _put(folder / "compute-apps.csv", [PROCESS_HEADER, *processes])
    _put(folder / "list", listed)


def seen_card(number: int, **fields: Any) -> dict[str, Any]:
    """A GPU of a `seen` frame, idle unless `fields` say otherwise."""
    idle = {
        "index": number - 1,
        "uuid": uuid(number),
        "pci": f"00000000:{number:02X}:00.0",
        "memory_used": 4,
        "util": 0,
        "processes": [],
        "migs": [],
        "was_held": False,
        "held": False,
        "alone": False,
        "shares": [],
    }
    return {**idle, **fields}


def fail(folder: Path, code: int, said: str = "") -> None:
    """From now on nvidia-smi says this and ends with this status."""
    _put(folder / "out", [said])
    _put(folder / "exit", [str(code)])


def _listed(place: int, gpu: Card) -> list[str]:
    migs = [f"  MIG 3g.20gb     Device  {number}: (UUID: {mig})" for number, mig in enumerate(gpu.migs)]
    return [f"GPU {place}: Invented GPU (UUID: {gpu.uuid})", *migs]


def _unit(value: int | str, unit: str) -> str:
    return value if isinstance(value, str) else f"{value} {unit}"


def _put(path: Path, lines: list[str]) -> None:
    """Whole at every moment: somebody may be reading."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text("\n".join(lines) + "\n")
    os.replace(temporary, path)
