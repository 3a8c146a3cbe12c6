"""The locks of a job's slots, from before its start until no process of it is left."""

from __future__ import annotations

import os

from .common_locks import Wanted, hold, hold_file, make_common_folder
from .locks import for_the_job
from .refusals import Refusal, SlotTaken
from .slots import gpu_lock_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

    from .records import Record


class HeldSlots:
    """Locks that a supervisor holds and its job inherits. `locks`: what a spec says of each, {"path", "what", "alone"}."""

    def __init__(self, locks: List[Record]) -> None:
        self._locks = locks
        self._held: List[int] = []

    def hold(self) -> None:
        """Take the locks. Raises SlotTaken, OSError, Refusal."""
        for wanted in self._wanted():
            self._held.append(for_the_job(hold(wanted)))

    def renew(self) -> None:
        """Hold locks anew whose files were removed meanwhile: other users cannot see that we hold the old ones."""
        try:
            for wanted in self._wanted():
                if not os.path.lexists(wanted.path):
                    self._held.append(for_the_job(hold_file(wanted)))
        except (OSError, Refusal, SlotTaken):
            pass  # the next look may succeed

    def free(self) -> None:
        """Let go of them; a process of the job that is left keeps them held."""
        while self._held:
            os.close(self._held.pop())

    def _wanted(self) -> List[Wanted]:
        """What is to be held. Its common folder is there afterwards. Raises OSError, Refusal."""
        if any(lock["path"].startswith(gpu_lock_folder() + "/") for lock in self._locks):
            make_common_folder(gpu_lock_folder())
        return [Wanted(lock["path"], lock["what"], lock["alone"]) for lock in self._locks]
