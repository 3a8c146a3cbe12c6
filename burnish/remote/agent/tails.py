"""Logs that were read to their end: the coordinator is told when one grows, and need not ask before."""

from __future__ import annotations

import select

from .inotify import IN_MODIFY, IN_ONESHOT, IN_Q_OVERFLOW, open_inotify, read_changes, watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Sequence, Set, Tuple

    from .outbox import Outbox


class Tails:
    """The logs that are silent. Each is told of once, and then forgotten until it was read to its end again.

    `descriptor` is the kernel's, once there is such a log: of these a user has some 128.
    """

    def __init__(self, outbox: Outbox, poll: select.poll) -> None:
        self.descriptor: Optional[int] = None
        self._outbox = outbox
        self._poll = poll
        self._opened = False
        self._logs: Dict[int, Set[Tuple[str, str]]] = {}

    def follow(self, attempt: str, stream: str, path: str) -> bool:
        """From now on, tell when this log, at `path`, grows. False if nobody will: it is to be asked for."""
        if not self._opened:
            self._opened, self.descriptor = True, open_inotify()
            if self.descriptor is not None:
                self._poll.register(self.descriptor, select.POLLIN)
        number = watch(self.descriptor, path, IN_MODIFY | IN_ONESHOT) if self.descriptor is not None else None
        if number is None:
            return False
        self._logs.setdefault(number, set()).add((attempt, stream))
        return True

    def tell(self, ready: Sequence[int]) -> None:
        """Send what the kernel has to say, if its descriptor is among those that are `ready`."""
        if self.descriptor is None or self.descriptor not in ready:
            return
        for number, mask in read_changes(self.descriptor):
            # Whatever is told: of a watch that was set while the last one was on its way out, the kernel may tell its end only.
            numbers = list(self._logs) if mask & IN_Q_OVERFLOW else [number]
            for attempt, stream in sorted(log for each in numbers for log in self._logs.pop(each, ())):
                self._outbox.send("grown", attempt=attempt, stream=stream)
