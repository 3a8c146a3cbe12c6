"""What the end of a job's stderr says: real last lines of real failures."""

from __future__ import annotations

from typing import Any

import pytest

from burnish.core import events
from burnish.core.failures import DISK_FULL, GPU_MEMORY, HOST_MEMORY, kind_of, note_of, policies
from burnish.core.jobs import AttemptId, JobId


@pytest.mark.parametrize(
    ("line", "note"),
    [
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of",
            GPU_MEMORY,
        ),
        ("RuntimeError: CUDA error: out of memory", GPU_MEMORY),
        ("torch.cuda.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 MiB", GPU_MEMORY),
        (
            "jaxlib.xla_extension.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.",
            GPU_MEMORY,
        ),
        ("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", GPU_MEMORY),
        ("MemoryError", HOST_MEMORY),
        ("MemoryError: Unable to allocate 745. GiB for an array with shape (100000000000,)", HOST_MEMORY),
        ("terminate called after throwing an instance of 'std::bad_alloc'", HOST_MEMORY),
        ("OSError: [Errno 12] Cannot allocate memory", HOST_MEMORY),
        ("OSError: [Errno 28] No space left on device: 'model.pt'", DISK_FULL),
        ("OSError: [Errno 122] Disk quota exceeded", DISK_FULL),
        ("ModuleNotFoundError: No module named 'torch.nn'", "no module torch.nn"),
        ("ModuleNotFoundError: No module named '{evil}'", ""),
        (
            "/usr/bin/python3: can't open file '/home/alice/proj/train.py': [Errno 2] No such file or directory",
            "no file /home/alice/proj/train.py",
        ),
        ("python: can't open file '\x1b[2J': [Errno 2] No such file or directory", ""),
        ("python: can't open file 'train.py': [Errno 13] Permission denied", ""),
        ("ValueError: MemoryError is a class", ""),
        ("loss 0.1, out of memory of the past", ""),
        ("", ""),
    ],
)
def test_known_words_are_read_and_others_are_not(line: str, note: str) -> None:
    assert note_of(f'Traceback (most recent call last):\n  File "train.py", line 1\n{line}\n') == note


def test_newest_line_counts() -> None:
    assert note_of("MemoryError\nretrying\nCUDA out of memory\nbye\n") == GPU_MEMORY


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"code": 1}, "exit"),
        ({"code": None, "signal": 11}, "signal"),
        ({"code": None, "signal": 9, "oom": True}, "oom"),
        ({"code": 1, "note": GPU_MEMORY}, "oom"),
        ({"code": 1, "note": HOST_MEMORY}, "oom"),
        ({"code": 1, "note": DISK_FULL}, "disk_full"),
        ({"code": 1, "note": "no module yaml"}, "no_module"),
        ({"code": None, "signal": 15, "time_limit": True, "note": GPU_MEMORY}, "time_limit"),
        ({"code": 127, "not_started": "no such file"}, "not_started"),
    ],
)
def test_each_failure_is_of_one_kind(record: dict[str, Any], kind: str) -> None:
    how = {"signal": None, **record}
    fact = events.AttemptExited(
        AttemptId(JobId(0), 1), started=0.0, ended=1.0, duration=1.0, max_rss=1, cancelled=False, **how
    )
    assert kind_of(fact) == kind


def test_want_of_memory_ends_a_job_that_has_nowhere_else_to_go() -> None:
    assert policies({"exit": "hold"}, elsewhere=False) == {"exit": "hold", "oom": "stop"}
    assert policies({"exit": "hold"}, elsewhere=True) == {"exit": "hold"}
    assert policies({"oom": "hold"}, elsewhere=False) == {"oom": "hold"}
