"""Want of memory: the kernel shall take the job and not its supervisor, and whether it took one."""

from __future__ import annotations

import os
import re

from .files import read_text


def count_oom_kills() -> int:
    """Processes that this host's kernel has ended for want of memory since boot; 0 if it does not say."""
    found = re.search(r"^oom_kill (\d+)", read_text("/proc/vmstat"), re.MULTILINE)
    return int(found.group(1)) if found else 0


def offer_to_oom_killer(pid: int) -> None:
    """Out of memory, the kernel shall take the job and leave its supervisor to say so."""
    try:
        descriptor = os.open("/proc/%d/oom_score_adj" % pid, os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(descriptor, b"500")
    except OSError:
        pass  # it ended, or became another user's
    finally:
        os.close(descriptor)
