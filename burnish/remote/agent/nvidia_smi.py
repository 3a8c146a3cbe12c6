"""What nvidia-smi says of a host's GPUs: asked by a process that may hang, and read whatever it answers."""

from __future__ import annotations

import os
import re
import time

from .common_locks import is_held, make_common_folder, open_common_lock, try_lock
from .refusals import Refusal, clause, printable
from .slots import gpu_lock, gpu_lock_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Optional, Tuple

    from .records import Record

NVIDIA_SMI_LIMIT = 20.0  # s for one reading of the GPUs
GPU_QUERY = "index,uuid,pci.bus_id,name,memory.total,memory.used,utilization.gpu,pstate,driver_version"
PROCESS_QUERY = "gpu_uuid,pid,used_memory"
ALSO_IN = ("/usr/bin", "/usr/lib/wsl/lib", "/run/opengl-driver/bin", "/opt/bin")
# What its exit status means: the section on return values of its manual page; 18 is NVML's, and stands in no manual.
NVIDIA_SMI_SAYS = {
    4: "this user has no permission to ask",
    6: "it found no GPU",
    8: "a GPU's external power cables are not properly attached",
    9: "the NVIDIA driver is not loaded",
    10: "the NVIDIA kernel module detected an interrupt issue with a GPU",
    12: "the NVML shared library cannot be found or loaded",
    13: "the NVML library does not implement what is asked",
    14: "the infoROM of a GPU is corrupted",
    15: "a GPU has fallen off the bus or has otherwise become inaccessible",
    18: "the driver that is loaded is not the one that is installed",
}
# What stands instead of numbers when a card answers no more, while nvidia-smi itself ends well.
_OUT_OF_ORDER = re.compile(r"\[(GPU requires reset|GPU is lost)\]", re.IGNORECASE)
_MIG_LINE = re.compile(r"\s+MIG (.*?)\s+Device\s+\d+:\s+\(UUID: (MIG-[0-9A-Za-z/-]+)\)")
_GPU_LINE = re.compile(r"GPU \d+: .*\(UUID: (GPU-[0-9A-Za-z-]+)\)")


def find_nvidia_smi() -> Optional[str]:
    """Its path, or None on a host without it."""
    folders = [*os.environ.get("PATH", os.defpath).split(":"), *ALSO_IN]
    paths = (os.path.join(folder, "nvidia-smi") for folder in folders if folder)
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def parse_rows(text: str, key: str) -> List[Dict[str, str]]:
    """The rows of a CSV answer by the names in its header, the line that has `key`. Lines that are no such row are left out."""
    names: List[str] = []
    found = []
    for line in text.splitlines():
        row = [cell.strip() for cell in line.split(",")]
        if not names:
            header = [name.partition(" [")[0] for name in row]
            names = header if key in header else []
        elif len(row) == len(names):
            found.append({name: row[place] for place, name in enumerate(names)})
    return found


def parse_gpus(text: str) -> List[Record]:
    """The GPUs of an answer to GPU_QUERY in PCI order, which is what CUDA counts in when it is asked to.

    Numbers that are `N/A`, `[Not Supported]`, `[Unknown Error]` or absent are None.
    `trouble` is why a card is out of order, or None.
    """
    rows = [row for row in parse_rows(text, "uuid") if row["uuid"].startswith("GPU-")]
    rows.sort(key=lambda row: (_pci_order(row.get("pci.bus_id", "")), _whole(row.get("index")) or 0))
    return [
        {
            "index": index,
            "uuid": row["uuid"],
            "pci": row.get("pci.bus_id", ""),
            "name": row.get("name", ""),
            "memory_total": _whole(row.get("memory.total")),
            "memory_used": _whole(row.get("memory.used")),
            "util": _whole(row.get("utilization.gpu")),
            "driver": row.get("driver_version", ""),
            "trouble": _trouble(row),
            "processes": [],
            "migs": [],
        }
        for index, row in enumerate(rows)
    ]


def parse_processes(text: str) -> List[Tuple[str, Record]]:
    """(UUID of the GPU, {"pid", "memory" in MiB}) of each process in an answer to PROCESS_QUERY."""
    found = []
    for row in parse_rows(text, "pid"):
        pid, memory = _whole(row["pid"]), row.get("used_gpu_memory", row.get("used_memory"))
        if pid is not None:
            found.append((row.get("gpu_uuid", ""), {"pid": pid, "memory": _whole(memory)}))
    return found


def parse_migs(text: str) -> Dict[str, List[Record]]:
    """UUID of a GPU -> its MIG devices, {"uuid", "name"}, from the answer to `nvidia-smi -L`."""
    found: Dict[str, List[Record]] = {}
    gpu = ""
    for line in text.splitlines():
        whole, part = _GPU_LINE.match(line), _MIG_LINE.match(line)
        if whole:
            gpu = whole.group(1)
        elif part:
            found.setdefault(gpu, []).append({"uuid": part.group(2), "name": part.group(1).strip()})
    return found


def _trouble(row: Dict[str, str]) -> Optional[str]:
    found = [match.group(1) for match in map(_OUT_OF_ORDER.match, row.values()) if match]
    return found[0] if found else None


def _pci_order(bus_id: str) -> Tuple[int, ...]:
    parts = re.split("[:.]", bus_id)
    try:
        return tuple(int(part, 16) for part in parts)
    except ValueError:
        return ()


def _whole(text: Optional[str]) -> Optional[int]:
    found = re.match(r"\d+", text or "")
    return int(found.group()) if found else None


def read_gpus(program: str) -> Record:
    """{"gpus", "error", "exit"}: what nvidia-smi, asked by this process, tells in time. `gpus` is None if it does not."""
    deadline = time.monotonic() + float(os.environ.get("BURNISH_NVIDIA_SMI_LIMIT") or NVIDIA_SMI_LIMIT)
    try:
        make_common_folder(gpu_lock_folder())
        lock = _lock_by(gpu_lock_folder() + "/nvidia-smi", deadline)
    except (OSError, Refusal) as error:
        return {"gpus": None, "error": "nvidia-smi was not asked: %s" % clause(error), "exit": None}
    if lock is None:
        return {"gpus": None, "error": "an nvidia-smi that was started earlier hangs", "exit": None}
    held_before = _held_gpu_locks()
    try:
        code, text = _ask(program, ["--query-gpu=" + GPU_QUERY, "--format=csv,nounits"], lock, deadline)
        gpus = parse_gpus(text) if code in (0, 14) else None
        if code and not gpus:
            gpus = None  # which cards there are was not said
        for gpu in gpus or ():
            gpu["was_held"] = os.path.basename(gpu_lock(gpu["uuid"])) in held_before
        if gpus:
            _add_details(gpus, program, lock, deadline)
    except (OSError, TimeoutError) as error:
        return {"gpus": None, "error": clause(error), "exit": None}
    if code == 0:
        return {"gpus": gpus, "error": None, "exit": None}
    return {"gpus": gpus, "error": what_failed(code, text), "exit": code}


def what_failed(code: int, text: str) -> str:
    """What it means that nvidia-smi ended with `code`, a status other than 0, and said `text`: a sentence."""
    said = printable(" ".join(text.split()))[-300:]
    meaning = NVIDIA_SMI_SAYS.get(code, "it failed")
    return "nvidia-smi: %s (exit %d%s)" % (meaning, code, ": " + said if said else "")


def _held_gpu_locks() -> List[str]:
    folder = gpu_lock_folder()
    return [name for name in os.listdir(folder) if is_held("%s/%s" % (folder, name))]


def _add_details(gpus: List[Record], program: str, lock: int, deadline: float) -> None:
    """Add the processes on `gpus`, with their users, and their MIG devices."""
    by_uuid = {gpu["uuid"]: gpu for gpu in gpus}
    apps = _ask(program, ["--query-compute-apps=" + PROCESS_QUERY, "--format=csv,nounits"], lock, deadline)[1]
    for uuid, process in parse_processes(apps):
        if uuid in by_uuid:
            by_uuid[uuid]["processes"].append(dict(process, user=_user_of(process["pid"])))
    for uuid, migs in parse_migs(_ask(program, ["-L"], lock, deadline)[1]).items():
        if uuid in by_uuid:
            by_uuid[uuid]["migs"] = migs


def _user_of(pid: int) -> Optional[str]:
    """The user of a process; None if it cannot be seen from here, as from a container."""
    import pwd

    try:
        uid = os.stat("/proc/%d" % pid).st_uid
    except OSError:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _lock_by(path: str, deadline: float) -> Optional[int]:
    """Hold the common lock `path`; None if it cannot be had by `deadline` (monotonic)."""
    descriptor = open_common_lock(path)
    while not try_lock(descriptor, alone=True):
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.05)
    return descriptor


def _ask(program: str, arguments: List[str], lock: int, deadline: float) -> Tuple[int, str]:
    """Exit status and words of nvidia-smi, which inherits `lock`. Raises TimeoutError; one that hangs keeps the lock."""
    import subprocess

    process = subprocess.Popen(
        [program, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(os.environ, LC_ALL="C"),
        pass_fds=(lock,),
    )
    try:
        text = process.communicate(timeout=max(0.1, deadline - time.monotonic()))[0]
    except subprocess.TimeoutExpired:
        process.kill()  # but not waited for: in the kernel's hands, it may outlast everything
        raise TimeoutError("nvidia-smi hangs: it did not answer within its limit") from None
    return process.returncode, text.decode("utf-8", "replace")
