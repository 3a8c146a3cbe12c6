"""GPUs that tests/fakes/bin/nvidia-smi tells of, and what nvidia-smi was recorded to say (tests/data/nvidia-smi has the sources).

`replay` lets it answer from the whole recording of a real machine: the columns that are asked for, word for word. Nobody
published a machine in each situation that a test needs, so `write` composes those in the recordings' form, of recorded cards; the
README beside the recordings says what in them is real, what was set, and why.
"""

from __future__ import annotations

import functools
import os
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

TESTS = Path(__file__).resolve().parent.parent
FAKES = TESTS / "fakes" / "bin"
RECORDINGS = TESTS / "data" / "nvidia-smi"
NAME, MEMORY, DRIVER = "Quadro RTX 8000", 48601, "495.29.05"
GPU_HEADER = (
    "index, uuid, pci.bus_id, name, driver_version, memory.total [MiB], memory.used [MiB], utilization.gpu [%], pstate"
)
PROCESS_HEADER = "gpu_uuid, pid, used_gpu_memory [MiB]"


def recorded(name: str) -> str:
    """A text that nvidia-smi printed on a real machine, without our lines on where it is from."""
    lines = (RECORDINGS / name).read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("#"))


def captures() -> list[str]:
    """The machines of which whole answers were recorded."""
    return sorted(path.name for path in RECORDINGS.iterdir() if path.is_dir())


def captured(name: str) -> dict[str, str]:
    """What nvidia-smi said on a real machine, by the files that the fake one reads: `gpu.csv`, `compute-apps.csv` and `list`."""
    said = {path.name: path.read_text() for path in (RECORDINGS / name).iterdir() if path.name != "SOURCE"}
    if log := said.pop("query.xml", None):
        said.update(_tables(log))
    if "list" not in said:
        header, *rows = [line.split(", ") for line in said["gpu.csv"].splitlines()]
        places = [header.index(column) for column in ("index", "name", "uuid")]
        said["list"] = "".join("GPU {}: {} (UUID: {})\n".format(*(row[place] for place in places)) for row in rows)
    return said


def _tables(log: str) -> dict[str, str]:
    """An answer to `-q -x` as the tables that are asked for, each cell the text of its element."""
    root = ElementTree.fromstring(log)
    rows, processes = [], []
    for index, gpu in enumerate(root.iter("gpu")):
        places = (
            "uuid",
            "pci/pci_bus_id",
            "product_name",
            "fb_memory_usage/total",
            "fb_memory_usage/used",
            "utilization/gpu_util",
        )
        uuid, pci, name, total, used, util = (gpu.findtext(place, "") for place in places)
        cells = (str(index), uuid, pci, name, root.findtext("driver_version", ""), total, used, util)
        rows.append(", ".join((*cells, gpu.findtext("performance_state", ""))))
        for process in gpu.iter("process_info"):
            if "C" in process.findtext(
                "type", ""
            ):  # the others draw on a screen, and no list of compute processes has them
                processes.append(f"{uuid}, {process.findtext('pid')}, {process.findtext('used_memory')}")
    return {
        "gpu.csv": "".join(f"{line}\n" for line in (GPU_HEADER, *rows)),
        "compute-apps.csv": "".join(f"{line}\n" for line in (PROCESS_HEADER, *processes)),
    }


def replay(folder: Path, name: str) -> None:
    """Let the nvidia-smi that reads `folder` say what a real machine's said."""
    folder.mkdir(exist_ok=True)
    for file, text in captured(name).items():
        _put(folder / file, text.splitlines())


@functools.cache
def _uuids(kind: str) -> list[str]:
    listed = [recorded(name) for name in ("rtx-8000-x8.list", "a100-pcie-x2.list", "gh200-mig.list")]
    return re.findall(rf"UUID: ({kind}-[^)]+)", "".join(listed))


def uuid(number: int, kind: str = "GPU") -> str:
    """The UUID of a recorded card, 1 to 10, or of a MIG device, 1 to 3."""
    return _uuids(kind)[number - 1]


@dataclass
class Card:
    """One GPU. `used` in MiB and `util` in percent may be texts such as `[N/A]`; `bus` is its place in PCI order."""

    number: int
    bus: int
    used: int | str = 1
    util: int | str = 0
    pstate: str = "P8"
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
        f"{place if gpu.index is None else gpu.index}, {gpu.uuid}, 00000000:{gpu.bus:02X}:00.0, {NAME}, {DRIVER}, {MEMORY} MiB, "
        f"{_unit(gpu.used, 'MiB')}, {_unit(gpu.util, '%')}, {gpu.pstate}"
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
        "memory_used": 1,
        "util": 0,
        "processes": [],
        "migs": [],
        "trouble": None,
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


def clear(folder: Path) -> None:
    """From now on nvidia-smi works again."""
    (folder / "exit").unlink()


def failures() -> dict[str, dict[str, Any]]:
    """Failures of nvidia-smi that were recorded, by a name: {"source", "said", "exit"}."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((RECORDINGS / "failures.yaml").read_text())
    return found


def _listed(place: int, gpu: Card) -> list[str]:
    migs = [f"  MIG 3g.20gb     Device  {number}: (UUID: {mig})" for number, mig in enumerate(gpu.migs)]
    return [f"GPU {place}: {NAME} (UUID: {gpu.uuid})", *migs]


def _unit(value: int | str, unit: str) -> str:
    return value if isinstance(value, str) else f"{value} {unit}"


def _put(path: Path, lines: list[str]) -> None:
    """Whole at every moment: somebody may be reading."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text("\n".join(lines) + "\n")
    os.replace(temporary, path)
