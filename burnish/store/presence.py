"""Which coordinators live, and which jobs each takes up: a file each in `coordinators/`, held by flock and touched now and then.

A coordinator whose flock is free on this machine is gone: the kernel frees it at any death. Of one on another machine only
silence can be told, since an NFS lock may lie: its file's time did not move for `SILENT` seconds of our own clock. Adopting the
attempts of one that is merely slow is harmless, because an adopter starts nothing that the host does not void first.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from burnish.core.jobs import CoordinatorId
from burnish.core.selection import Selection
from burnish.errors import StoreError, UsageError
from burnish.store import refusals

BEAT = 10.0  # s between two signs of life
SILENT = 60.0  # s without one: gone
UNBORN = "."  # begins the name of a file that is not held yet


class Presence:
    """This process's sign of life, and what it knows of the others'."""

    def __init__(self, folder: Path, me: CoordinatorId, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self.me = me
        self.about: dict[
            str, str
        ] = {}  # what others are told of it: where a run `says` what it has to say, "" for a terminal
        self.chosen = Selection()  # the jobs that it takes up, which others are told as well
        self.num_jobs: int | None = None  # and how many of them at most
        self._clock = clock
        self._held: int | None = None
        self._last_beat = 0.0
        self._seen: dict[CoordinatorId, tuple[int, float]] = {}
        self._moving: set[CoordinatorId] = set()

    def enter(self) -> None:
        """Make and hold this coordinator's file until `leave` or death. Raises StoreError when the disk refuses.

        It is filled and locked before it gets its name: whoever looks for coordinators never finds one that is only beginning.
        """
        nameless = self.folder / f"{UNBORN}{self.me}"
        descriptor = -1
        try:
            descriptor = os.open(nameless, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            content = {"machine": _machine(), "pid": os.getpid(), "host": socket.gethostname(), **self.about}
            chosen = {**self.chosen.to_json(), "num_jobs": self.num_jobs}
            os.write(descriptor, f"{json.dumps(content)}\n{json.dumps(chosen)}\n".encode())
            _lock(descriptor)
            os.rename(nameless, self.folder / self.me)
        except OSError as error:
            if descriptor >= 0:
                os.close(descriptor)
            raise StoreError(f"{self.folder}: {refusals.why(error)}. Nothing was started.") from None
        self._held, self._last_beat = descriptor, self._clock()

    def beat(self) -> None:
        """Touch the file if it is time to."""
        if self._held is not None and self._clock() - self._last_beat >= BEAT:
            self._last_beat = self._clock()
            try:
                os.utime(self._held)
            except OSError:
                pass  # the journal meets the same disk, and says so

    def leave(self) -> None:
        """Say that this coordinator is gone."""
        if self._held is not None:
            try:
                (self.folder / self.me).unlink(missing_ok=True)
            except OSError:
                pass  # its lock is free from now on
            os.close(self._held)
            self._held = None

    def alive(self, other: CoordinatorId) -> bool:
        """False only if `other` is surely gone from this machine, or was silent for `SILENT` seconds on another one."""
        if other == self.me:
            return self._held is not None
        try:
            descriptor = os.open(self.folder / other, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        except OSError:
            return True  # cannot be told now
        try:
            if self._here(descriptor) and (free := _free(descriptor)) is not None:
                return not free
            stamp = os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)
        last, since = self._seen.get(other, (None, 0.0))
        if last != stamp:
            self._seen[other] = (stamp, self._clock())
            if last is not None:
                self._moving.add(other)
            return True
        return self._clock() - since < SILENT

    def unsure(self, other: CoordinatorId) -> bool:
        """True while `other`, which `alive` was asked about, has shown neither a sign of life nor a long enough silence."""
        if other not in self._seen or other in self._moving:
            return False
        return self._clock() - self._seen[other][1] < SILENT

    def others(self) -> list[CoordinatorId]:
        """Ids of coordinators other than this one that seem to live."""
        try:
            names = sorted(os.listdir(self.folder))
        except OSError:
            return []
        named = [CoordinatorId(name) for name in names if name != self.me and not name.startswith(UNBORN)]
        return [other for other in named if self.alive(other)]

    def runs(self) -> dict[CoordinatorId, str]:
        """Others that start jobs, and the file in which each says what it has to say: "" for a terminal."""
        return {other: says for other in self.others() if (says := self._says(other)) is not None}

    def narrowed(self) -> dict[CoordinatorId, Selection]:
        """Others that do not take up all jobs, and which they do."""
        found = {}
        for other, chosen in self._chosen().items():
            try:
                found[other] = Selection.from_json(chosen)
            except (ValueError, KeyError, TypeError, AttributeError, UsageError):
                continue
        return {run: chosen for run, chosen in found.items() if str(chosen)}

    def limited(self) -> set[CoordinatorId]:
        """Others that end after so many jobs, though more may wait."""
        return {other for other, chosen in self._chosen().items() if chosen.get("num_jobs") is not None}

    def _chosen(self) -> dict[CoordinatorId, dict[str, Any]]:
        """What each of the others says of the jobs that it takes up."""
        found = {}
        for other in self.others():
            try:
                chosen = json.loads((self.folder / other).read_bytes().split(b"\n")[1])
            except (OSError, ValueError, IndexError):
                continue  # gone just now
            if isinstance(chosen, dict):
                found[other] = chosen
        return found

    def _says(self, other: CoordinatorId) -> str | None:
        try:
            says = json.loads((self.folder / other).read_bytes().partition(b"\n")[0])["says"]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # gone just now, or one that only waits
        return says if isinstance(says, str) else None

    @staticmethod
    def _here(descriptor: int) -> bool:
        try:
            return bool(json.loads(os.pread(descriptor, 4096, 0).partition(b"\n")[0])["machine"] == _machine())
        except (ValueError, KeyError, TypeError):
            return True  # damaged: its lock still tells


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise  # without locks, silence alone tells


def _free(descriptor: int) -> bool | None:
    """True if nobody holds it; None if this file system cannot tell."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:
        return None


def _machine() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()
