"""How often the loop looks at the journal, the table and the clock: seldom while nothing happens, at once when it changes.

The kernel tells of what this machine does, and of no more. So looks go on; where other machines write to the disk, or it is not
known what disk it is, as often as ever.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from burnish.core import reports
from burnish.core.reports import Report
from burnish.remote.agent import inotify

OWN_DISKS = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "reiserfs", "tmpfs", "xfs", "zfs"}
)
CHANGES = inotify.IN_MODIFY | inotify.IN_ATTRIB | inotify.IN_MOVE_SELF | inotify.IN_CREATE | inotify.IN_ONESHOT
TURN = 0.25  # s between two looks
REST = 3.0  # s, the same once nothing was heard for `QUIET` s, where all that changes is told
RENEWED = 0.05  # s after which the next change is told
QUIET = 3.0  # longer than it takes to see that a save is whole
MOUNTS, DESCRIPTORS = "/proc/self/mountinfo", "/proc/self/fdinfo"


class Changes:
    """Calls `tell`, in a thread of its own, once after each `watch` if a file, or the names in a folder, changed since.

    It is told of what the loop has `heard`, since nothing comes alone.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._told = False  # all that changes is
        self._heard = time.monotonic()
        self._watched = 0.0
        self._asked = False  # what disk it is
        self._descriptor: int | None = None
        self._stop: int | None = None

    @property
    def pause(self) -> float:
        """For how long nothing need be looked at, in s."""
        return REST if self._told and time.monotonic() - self._heard >= QUIET else TURN

    def heard(self, report: Report) -> None:
        """There is news, and more may follow; but nothing follows from what a look at a host shows."""
        if not isinstance(report, reports.HostSeen):
            self._heard = time.monotonic()

    def watch(self, paths: Sequence[Path]) -> None:
        """Tell of the next change at any of these paths. Call it before looking: what changes later is told.

        A run tells itself, too, of what it commits: so this is done twenty times a second at most, and else at the next look.
        """
        if time.monotonic() - self._watched < RENEWED:
            return
        self._watched = time.monotonic()
        if not self._asked:
            self._asked = True
            if all(map(_is_own, paths)):
                self._start()
        self._told = self._descriptor is not None and all(
            inotify.watch(self._descriptor, str(path), CHANGES) is not None for path in paths
        )

    def close(self) -> None:
        """End the thread."""
        if self._stop is not None:
            os.close(self._stop)
            self._stop = None

    def _start(self) -> None:
        self._descriptor = inotify.open_inotify()
        if self._descriptor is not None:
            stopped, self._stop = os.pipe()
            threading.Thread(target=self._listen, args=(self._descriptor, stopped), name="changes", daemon=True).start()

    def _listen(self, descriptor: int, stopped: int) -> None:
        poll = select.poll()
        for waited in (descriptor, stopped):
            poll.register(waited, select.POLLIN)
        while stopped not in [ready for ready, _ in poll.poll()]:
            if list(inotify.read_changes(descriptor)):
                self._tell()
        os.close(descriptor)
        os.close(stopped)


def _is_own(path: Path) -> bool:
    """True if only this machine writes to the disk of `path`. False if that cannot be told, as on kernels before 3.15."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            facts = Path(f"{DESCRIPTORS}/{descriptor}").read_bytes()
        finally:
            os.close(descriptor)
        mounts = Path(MOUNTS).read_bytes()
    except OSError:
        return False
    number = [line.partition(b":")[2].strip() for line in facts.splitlines() if line.startswith(b"mnt_id:")]
    kinds = [line.partition(b" - ")[2].split(b" ")[0] for line in mounts.split(b"\n") if line.split(b" ")[:1] == number]
    return [kind.decode("ascii", "replace") in OWN_DISKS for kind in kinds] == [True]
