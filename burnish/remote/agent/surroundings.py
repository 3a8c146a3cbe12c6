"""What a supervisor knows beside its attempts: itself, its host, and what a look at either has found a moment ago."""

from __future__ import annotations

import os
import time

from .checkout import checked_out
from .forking import signals_of_jobs
from .nvidia_smi import find_nvidia_smi
from .oom import OomOffer, count_oom_kills
from .processes import read_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

HOLDS = 1.0  # s for which the same is not looked for again


class Recent:
    """What `look` finds, or found a moment ago of the same: not every short job asks the disk."""

    __slots__ = ("_about", "_at", "_found", "_look")

    def __init__(self, look: Callable[[], Any]) -> None:
        self._look = look
        self._about = ""
        self._at = -HOLDS  # monotonic
        self._found: Any = None

    def of(self, about: str = "") -> Any:
        """What there is. `about`: what the look depends on beside the time."""
        now = time.monotonic()
        if now - self._at >= HOLDS or about != self._about:
            self._at, self._about, self._found = now, about, self._look()
        return self._found


class Surroundings:
    """What a supervisor knows before it has an attempt: its host's incarnation, the environment of its jobs, and itself.

    `nvidia_smi`, `oom_kills` and `version` (of the code in a folder, which must be the current one) are looked for when asked.
    """

    __slots__ = ("defaults", "environment", "here", "me", "node", "nvidia_smi", "offer", "oom_kills", "version")

    def __init__(self, here: str) -> None:
        self.here = here
        self.environment = dict(os.environb)  # decoded and encoded at each look, if it were not copied
        self.node = os.uname().nodename
        self.offer = OomOffer()
        self.defaults = signals_of_jobs()
        me = read_process(os.getpid())
        self.me = {"pid": os.getpid(), "starttime": me.started if me else 0}
        self.nvidia_smi = Recent(find_nvidia_smi)
        self.oom_kills = Recent(count_oom_kills)
        self.version = Recent(checked_out)
