"""How many may knock at one sshd at once, and who was turned away there already.

sshd drops connections that have not logged in when there are more than ten (`MaxStartups`), and newer ones shut a client out for
minutes after failed logins (`PerSourcePenalties`). Sixty hosts behind one bastion therefore queue at its doorstep, and a login
that failed twice there is not tried a third time, whichever host it was for.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

from burnish.errors import HostRefused

FORGOTTEN_AFTER = 60.0  # s: by then a person may have mended the key, and sshd's penalty for two failures is over


class Doorstep:
    """One sshd's: a queue, and the failed logins of late, by user."""

    def __init__(self, at_once: int, failures: int, clock: Callable[[], float]) -> None:
        self._places = threading.BoundedSemaphore(at_once)
        self._allowed = failures
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)

    def turned_away(self, user: str, why: str) -> None:
        """The login of `user` failed: `why` is the sentence that later ones hear."""
        with self._lock:
            self._failed[user].append((self._clock(), why))

    def let_in(self, user: str) -> None:
        """The login of `user` succeeded: earlier failures mean nothing any more."""
        with self._lock:
            self._failed[user].clear()

    @contextlib.contextmanager
    def place(self, user: str) -> Iterator[Doorstep]:
        """Wait for a place and hold it. Raises HostRefused when `user` was turned away often enough already."""
        with self._places:
            with self._lock:
                recent = [entry for entry in self._failed[user] if self._clock() - entry[0] < FORGOTTEN_AFTER]
                self._failed[user] = recent
                if len(recent) >= self._allowed:
                    raise HostRefused(recent[-1][1])
            yield self


class Doorsteps:
    """A doorstep for each sshd, shared by all links of the process."""

    def __init__(self, at_once: int, failures: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = (at_once, failures, clock)
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], Doorstep] = {}

    def at(self, hostname: str, port: int, user: str) -> contextlib.AbstractContextManager[Doorstep]:
        """A place for `user` at the doorstep of the sshd at `hostname`:`port`, held for the length of a `with` block."""
        with self._lock:
            doorstep = self._known.setdefault((hostname, port), Doorstep(*self._limits))
        return doorstep.place(user)
