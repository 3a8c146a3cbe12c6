"""The end of a test's folder, in which processes may still be at work."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

from tests.support.proc import processes, tenants
from tests.support.waiting import wait_for


def remove_with_tenants(folder: Path) -> None:
    """Remove `folder` after the jobs, supervisors and agents of it: while they live, files come and go there."""

    def killed() -> dict[int, str]:
        found = {**processes(folder), **tenants(folder)}
        for pid in found:
            with suppress(ProcessLookupError):  # it was on its way out
                os.kill(pid, signal.SIGKILL)
        return found

    wait_for(lambda: not killed(), killed)
    remove(folder)


def remove(folder: Path) -> None:
    """Remove `folder`, though whoever just leaves it may remove files of its own there, too, or make a last one."""

    def removed() -> bool:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                raise
        return not folder.exists()

    wait_for(removed, f"{folder} is there still")
