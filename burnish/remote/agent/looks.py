"""Looks at the host: what there is of it, how much is in use, and which of burnish's jobs use it."""

from __future__ import annotations

import os
import select
import sys
import time

from .files import as_bytes
from .gpu_reading import GpuReading
from .needs import lack_of
from .slots import held_cpu_slots, holding

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List

    from .frames import Header
    from .home import Home
    from .outbox import Outbox
    from .records import Record

LOOK_PATIENCE = 10.0  # s after which a look is answered without the reading that it waits for


class Look:
    """A `look` that waits for the GPUs: until when (monotonic), which folder it asks about, which needs, each with its lack."""

    __slots__ = ("needs", "until", "workdir")

    def __init__(self, workdir: Any, needs: List[List[Any]]) -> None:
        self.until = time.monotonic() + LOOK_PATIENCE
        self.workdir = workdir
        self.needs = needs


class Looks:
    """The looks that were asked for and wait, and `gpus`, the reading that they wait for."""

    def __init__(
        self, home: Home, outbox: Outbox, poll: select.poll, fork: Callable[[Callable[[], None]], None]
    ) -> None:
        self.gpus = GpuReading()
        self._home = home
        self._outbox = outbox
        self._poll = poll
        self._fork = fork
        self._waiting: List[Look] = []

    @property
    def waiting(self) -> bool:
        """True if a look is not answered yet."""
        return bool(self._waiting)

    def look(self, request: Header) -> None:
        """Answered when the GPUs have been read, or refuse to be."""
        needs = [[need, lack_of(need)] for need in request.get("needs") or ()]
        self._waiting.append(Look(request.get("workdir"), needs))
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

    def answer(self) -> None:
        """Answer each look that has what it waits for, or has waited long enough."""
        for look in list(self._waiting):
            if not self.gpus.under_way or time.monotonic() >= look.until:
                self._waiting.remove(look)
                self._outbox.send("seen", needs=look.needs, **self._seen(look.workdir))

    def _seen(self, workdir: Any) -> Record:
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
            "workdir": _look_at_folder(workdir) if isinstance(workdir, str) else None,
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


def _look_at_folder(path: str) -> Record:
    name = as_bytes(os.path.expanduser(path))
    return {"path": path, "exists": os.path.isdir(name), "writable": os.access(name, os.W_OK | os.X_OK)}
