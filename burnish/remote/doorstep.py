"""How many may knock at one sshd at once, and who was turned away there already.

sshd drops connections that have not logged in when there are more than ten (`MaxStartups`), and newer ones shut a client out for
minutes after failed logins (`PerSourcePenalties`). Sixty hosts behind one bastion therefore queue at its doorstep, and a login
that failed twice there is not tried a third time, whichever host it was for.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from burnish.errors import HostRefused

FORGOTTEN_AFTER = 60.0  # s: by then a person may have mended the key, and sshd's penalty for two failures is over


class Doorstep:
    """One sshd's: a queue, and the failed logins of late."""

    def __init__(self, at_once: int, failures: int, clock: Callable[[], float]) -> None:
        self._places = threading.BoundedSemaphore(at_once)
        self._allowed = failures
        self._clock = clock
        self._lock = threading.Lock()
        self._failed: list[tuple[float, str]] = []

    def turned_away(self, why: str) -> None:
        """A login failed: `why` is the sentence that later ones hear."""
        with self._lock:
            self._failed.append((self._clock(), why))

    def let_in(self) -> None:
        """A login succeeded: earlier failures mean nothing any more."""
        with self._lock:
            self._failed.clear()

    @contextlib.contextmanager
    def place(self) -> Iterator[Doorstep]:
        """Wait for a place and hold it. Raises HostRefused when this login failed often enough already."""
        with self._places:
            with self._lock:
                self._failed = [entry for entry in self._failed if self._clock() - entry[0] < FORGOTTEN_AFTER]
                if len(self._failed) >= self._allowed:
                    raise HostRefused(self._failed[-1][1])
            yield self


class Doorsteps:
    """A doorstep for each address (`alice@login:22`), shared by all links of the process."""

    def __init__(self, at_once: int, failures: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._new = lambda: Doorstep(at_once, failures, clock)
        self._lock = threading.Lock()
        self._known: dict[str, Doorstep] = {}

    def at(self, address: str) -> contextlib.AbstractContextManager[Doorstep]:
        """A place at the doorstep of `address`, held for the length of a `with` block."""
        with self._lock:
            doorstep = self._known.setdefault(address, self._new())
        return doorstep.place()
