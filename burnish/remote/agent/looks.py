"""Looks at the host: what there is of it, how much is in use, and which of burnish's jobs use it."""

from __future__ import annotations

import os
import select
import sys
import time

from .folder_look import FolderLook
from .gpu_reading import GpuReading
from .slots import held_cpu_slots, holding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Sequence

    from .frames import Header
    from .home import Home
    from .outbox import Outbox
    from .records import Record

LOOK_PATIENCE = 10.0  # s after which a look is answered without what it waits for


class Look:
    """A `look` that waits: until when (monotonic), which folder it asks about, which needs. `found`: what is known of these."""

    __slots__ = ("found", "needs", "until", "workdir")

    def __init__(self, workdir: Any, needs: List[Record]) -> None:
        self.until = time.monotonic() + LOOK_PATIENCE
        self.workdir = workdir
        self.needs = needs
        self.found: Optional[Record] = None if needs or isinstance(workdir, str) else {}

    @property
    def answer(self) -> Record:
        """What is told of the folders. One that did not answer is `silent`, and needs that were not looked for are left out."""
        found = self.found or {}
        silent = {"path": self.workdir, "exists": None, "writable": None, "silent": True}
        missing = silent if isinstance(self.workdir, str) else None
        return {"workdir": found.get("workdir", missing), "needs": found.get("needs") or []}


class Looks:
    """The looks that were asked for and wait, and `gpus`, the reading that they wait for. Folders are looked at by turns."""

    def __init__(
        self, home: Home, outbox: Outbox, poll: select.poll, fork: Callable[[Callable[[], None]], int]
    ) -> None:
        self.gpus = GpuReading()
        self._home = home
        self._outbox = outbox
        self._poll = poll
        self._fork = fork
        self._folders = FolderLook(poll, fork)
        self._at: Optional[Look] = None  # whose folders are looked at
        self._waiting: List[Look] = []

    @property
    def waiting(self) -> bool:
        """True if a look is not answered yet."""
        return bool(self._waiting)

    def look(self, request: Header) -> None:
        """Answered when the GPUs have been read and the folders looked at, or refuse to be."""
        self._waiting.append(Look(request.get("workdir"), list(request.get("needs") or ())))
        self.read_gpus()
        self.answer()

    def read_gpus(self) -> None:
        """Have the GPUs read, unless they are being read."""
        self.gpus.begin(self._fork)
        if self.gpus.pipe is not None:
            self._poll.register(self.gpus.pipe, select.POLLIN | select.POLLHUP)

    def take_gpus(self) -> bool:
        """Take what can be read of the reading, whose pipe is ready. True when it is whole."""
        pipe = self.gpus.pipe
        if pipe is None or not self.gpus.take():
            return False
        self._poll.unregister(pipe)
        return True

    def answer(self, ready: Sequence[int] = ()) -> None:
        """Answer each look that has what it waits for, or has waited long enough. `ready`: descriptors that can be read."""
        found = self._folders.take(ready)
        if found is not None and self._at is not None:
            self._at.found, self._at = found, None
        for look in list(self._waiting):
            self._look_at_folders(look)
            whole = look.found is not None and not self.gpus.under_way
            if whole or time.monotonic() >= look.until:
                self._waiting.remove(look)
                self._outbox.send("seen", **look.answer, **self._seen())

    def _look_at_folders(self, look: Look) -> None:
        """Have them looked at, when nobody else's are."""
        if look.found is not None or look is self._at:
            return
        if self._folders.hangs:
            look.found = {}
        elif not self._folders.under_way:
            self._at = look
            try:
                self._folders.begin(look.workdir, look.needs)
            except OSError:
                look.found, self._at = {}, None

    def _seen(self) -> Record:
        """What there is, and how much of it is in use."""
        import pwd

        disk = os.statvfs(self._home.folder)
        reading, error = self.gpus, self.gpus.error
        if reading.under_way:
            error = "nvidia-smi has not answered for %.0f s" % (time.monotonic() - reading.began)
        try:
            user = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            user = str(os.getuid())
        gpus = None if reading.gpus is None else [_with_holders(gpu) for gpu in reading.gpus]
        return {
            "now": time.time(),
            "load": list(os.getloadavg()),
            "cpus": os.cpu_count(),
            "disk_free": disk.f_bavail * disk.f_frsize,
            "python": sys.version.split()[0],
            "user": user,
            "mask": os.environ.get("CUDA_VISIBLE_DEVICES"),
            "driver": next((gpu["driver"] for gpu in gpus or ()), ""),
            "gpus": gpus,
            "gpu_error": error,
            "gpu_exit": None if reading.under_way else reading.exit,
            "age": time.monotonic() - reading.at if gpus else None,
            "held": held_cpu_slots(self._home.state_id),
        }


def _with_holders(gpu: Record) -> Record:
    """A GPU as it was read, and which of burnish's jobs have it now."""
    migs = [dict(mig, **holding(mig["uuid"])) for mig in gpu["migs"]]
    return dict(gpu, migs=migs, **holding(gpu["uuid"]))
