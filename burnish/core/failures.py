"""Why a job failed, and what then. Pure.

A *note* is what the end of its stderr says of the reason: it stands beside the exit code, and is never a verdict. The *kind* of
a failure is what `on_failure` of an inventory sets a *policy* for: `retry` (as often as `--retries` allows), `stop` (ERROR at
once) or `hold` (HOLD, for a person to look at).

The texts are those of CUDA, PyTorch, JAX, TensorFlow and Python; the newest line that says something known counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from burnish.core import events

GPU_MEMORY = "OOM, GPU memory"
HOST_MEMORY = "OOM, host memory"
DISK_FULL = "disk full"
_NO_MODULE = "no module "
MISSING = "no file "  # begins the note of a script that was not looked for beforehand, and is not there

RETRY, STOP, HOLD = POLICIES = ("retry", "stop", "hold")
OOM = "oom"
KINDS = (OOM, "disk_full", "no_module", "time_limit", "not_started", "signal", "exit")

_KNOWN = [
    (re.compile(pattern), note)
    for pattern, note in (
        # torch.OutOfMemoryError: CUDA out of memory. · RuntimeError: CUDA error: out of memory · HIP out of memory.
        (r"(CUDA|HIP)( error:)? out of memory|OutOfMemoryError", GPU_MEMORY),
        # CUDA's driver, cuBLAS, JAX and TensorFlow
        (r"CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED|RESOURCE_EXHAUSTED: (Out of memory|OOM)", GPU_MEMORY),
        (r"^MemoryError\b|Cannot allocate memory|std::bad_alloc|Unable to allocate .* for an array", HOST_MEMORY),
        (r"No space left on device|Disk quota exceeded", DISK_FULL),
        (r"^ModuleNotFoundError: No module named '(?P<module>[\w.]{1,60})'", _NO_MODULE + "{module}"),
        # python3: can't open file '/home/alice/train.py': [Errno 2] No such file or directory
        (r"python[\d.]*: can't open file '(?P<file>[\w./@+=,~ -]{1,120})': \[Errno 2\]", MISSING + "{file}"),
    )
]


def note_of(stderr: str) -> str:
    """What the end of a job's stderr says of why it failed: a few words, or "" for nothing that is known."""
    for line in reversed(stderr.splitlines()):
        for pattern, note in _KNOWN:
            if found := pattern.search(line.strip()):
                return note.format(**found.groupdict())
    return ""


def kind_of(fact: events.AttemptExited) -> str:
    """The kind of a failure that nobody asked for: one of `KINDS`."""
    if fact.time_limit:
        return "time_limit"
    if fact.not_started:
        return "not_started"
    if fact.oom or fact.note in (GPU_MEMORY, HOST_MEMORY):
        return OOM
    if fact.note == DISK_FULL:
        return "disk_full"
    if fact.note.startswith(_NO_MODULE):
        return "no_module"
    return "exit" if fact.signal is None else "signal"


def policies(asked: Mapping[str, str], *, elsewhere: bool) -> dict[str, str]:
    """What an attempt's failure leads to, by its kind: as the inventory asks.

    A job that ran out of memory is not started on the same host again: that is its end, unless there is another (`elsewhere`).
    """
    if elsewhere or asked.get(OOM, RETRY) != RETRY:
        return dict(asked)
    return {**asked, OOM: STOP}
