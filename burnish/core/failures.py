"""What a job that failed says of the reason, read from the end of its stderr: a note beside the exit code, never a verdict. Pure.

The texts are those of CUDA, PyTorch, JAX, TensorFlow and Python themselves; the newest line that says something known counts.
"""

from __future__ import annotations

import re

GPU_MEMORY = "OOM, GPU memory"
HOST_MEMORY = "OOM, host memory"
DISK_FULL = "disk full"

_KNOWN = [
    (re.compile(pattern), note)
    for pattern, note in (
        # torch.OutOfMemoryError: CUDA out of memory. · RuntimeError: CUDA error: out of memory · HIP out of memory.
        (r"(CUDA|HIP)( error:)? out of memory|OutOfMemoryError", GPU_MEMORY),
        # CUDA's driver, cuBLAS, JAX and TensorFlow
        (r"CUDA_ERROR_OUT_OF_MEMORY|CUBLAS_STATUS_ALLOC_FAILED|RESOURCE_EXHAUSTED: (Out of memory|OOM)", GPU_MEMORY),
        (r"^MemoryError\b|Cannot allocate memory|std::bad_alloc|Unable to allocate .* for an array", HOST_MEMORY),
        (r"No space left on device|Disk quota exceeded", DISK_FULL),
        (r"^ModuleNotFoundError: No module named '(?P<module>[\w.]{1,60})'", "no module {module}"),
    )
]


def note_of(stderr: str) -> str:
    """What the end of a job's stderr says of why it failed: a few words, or "" for nothing that is known."""
    for line in reversed(stderr.splitlines()):
        for pattern, note in _KNOWN:
            if found := pattern.search(line.strip()):
                return note.format(**found.groupdict())
    return ""
