"""Want of memory: the kernel shall take the job and not its supervisor, and whether it took one."""

from __future__ import annotations

import os
import re

from .files import read_text

OFFERED = 500  # of 1000: as if it had half of the memory more


def count_oom_kills() -> int:
    """Processes that this host's kernel has ended for want of memory since boot; 0 if it does not say."""
    found = re.search(r"^oom_kill (\d+)", read_text("/proc/vmstat"), re.MULTILINE)
    return int(found.group(1)) if found else 0


class OomOffer:
    """While this is entered, what this process starts is offered to the kernel, out of memory, before the process itself.

    A child inherits the score of its parent, and so do the child's own, however early they are started. So the parent has it for
    that moment: anybody may raise a score, and lower it again to where it was.
    """

    def __init__(self) -> None:
        self._own = b""
        try:
            self._descriptor = os.open("/proc/self/oom_score_adj", os.O_RDWR)
            self._own = os.pread(self._descriptor, 16, 0).strip()
        except OSError:
            self._descriptor = -1  # no /proc, or not ours to change

    def __enter__(self) -> None:
        self._set(b"%d" % max(OFFERED, int(self._own or b"0")))

    def __exit__(self, *_: object) -> None:
        self._set(self._own)

    def _set(self, score: bytes) -> None:
        try:
            if self._own:
                os.pwrite(self._descriptor, score, 0)
        except OSError:
            pass  # a sandbox forbids it: the kernel then takes whoever has most
