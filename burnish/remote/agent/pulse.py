"""The pulse of a supervisor on a node that nobody here can look at: a file in the attempt's folder, touched every few seconds.

What a batch system says of a node that it does not see, or of a job that it has forgotten, is no proof that nothing runs there.
"""

from __future__ import annotations

import os
import time

from .files import unlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Optional, Tuple

    from .place import Place

BEAT = 10.0  # s between two touches
SILENCE = 60.0  # s without one, after which a supervisor counts as dead if its batch system says so too
UNSEEN = 30.0  # s between two looks, beyond which nothing is known of the time between: the file system may have hung
NAME = "pulse"


def last_beat(place: Place) -> Optional[float]:
    """When the attempt's supervisor gave its last sign of life, s since 1970; None if it has no pulse."""
    try:
        return os.stat(place.file(NAME)).st_mtime
    except OSError:
        return None


class Pulse:
    """The supervisor's end."""

    def __init__(self, place: Place) -> None:
        self._path = place.file(NAME)
        self._last = -BEAT

    def begin(self) -> None:
        """Make the file, before anything runs. Where it cannot be made there is no pulse, and the batch system's word counts."""
        try:
            os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600))
        except OSError:
            pass

    def beat(self) -> bool:
        """Touch it, if it is time for that, which is returned. It is not made anew: who removed it has recorded an end."""
        now = time.monotonic()
        if now - self._last < BEAT:
            return False
        self._last = now
        try:
            os.utime(self._path)
        except OSError:
            pass  # the next one may be heard
        return True

    def stop(self) -> None:
        """Nothing lives any more: nobody need wait until that is sure."""
        unlink(self._path)


class Pulses:
    """The other end: how long those that were looked at have been silent. One machine's clock counts, and no file's time."""

    def __init__(self) -> None:
        # Attempt -> its file's time, when that was new, when it was looked at last, and whether the look before saw another time.
        self._seen: Dict[str, Tuple[int, float, float, bool]] = {}

    def forget(self, place: Place) -> None:
        """The attempt has ended."""
        self._seen.pop(place.attempt, None)

    def is_silent(self, place: Place) -> bool:
        """True if the attempt's supervisor was silent for long, and often looked at meanwhile; or has no pulse at all."""
        try:
            descriptor = os.open(place.file(NAME), os.O_RDONLY)  # opened, because NFS then asks its server
        except FileNotFoundError:
            return True
        try:
            mark = os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)
        now = time.monotonic()
        before, since, looked, _ = self._seen.get(place.attempt, (-1, now, now, False))
        if mark != before or now - looked > UNSEEN:
            since = now
        self._seen[place.attempt] = mark, since, now, before not in (-1, mark)
        return now - since >= SILENCE

    def beats(self, place: Place) -> bool:
        """True if it was touched between the last two looks of `is_silent`: somebody lives there."""
        return place.attempt in self._seen and self._seen[place.attempt][3]
