"""Requests about what the host keeps of attempts: all of it listed, logs sent, what is stored elsewhere put away and removed."""

from __future__ import annotations

import os

from .files import as_bytes, empty, write_file
from .frames import BODY_LIMIT
from .place import log_path
from .records import FULL
from .refusals import Refusal
from .standing import ABSENT, ENDED, QUEUED, RUNNING, STARTING, UNSTARTED, VOID, read_start, settle, void

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Set, Tuple

    from .frames import Header
    from .home import Home
    from .outbox import Outbox
    from .place import Place
    from .tails import Tails
    from .watches import Watches


TOMBSTONE = {"start.json", "final.json", "acked"}


class Keeping:
    """Lists, sends and removes what attempts left in their folders."""

    def __init__(self, home: Home, outbox: Outbox, watches: Watches, tails: Tails) -> None:
        self._home = home
        self._outbox = outbox
        self._watches = watches
        self._tails = tails

    def status(self, request: Header) -> None:
        """Send the status of one attempt, now and whenever it changes."""
        self._watches.answer(self._watches.place(request))

    def list(self, request: Header) -> None:
        """Send the status of each attempt that was not put away. Of one whose disk refuses it comes later: it is watched."""
        for place in self._home.places():
            if not os.path.exists(place.file("acked")):
                try:
                    self._watches.answer(place)
                except OSError:
                    continue
        self._outbox.send("listed")

    def pull(self, request: Header) -> None:
        """Send a piece of a log. With none left, promise word of its growth if that can be had. Raises Refusal, OSError."""
        place, stream = self._watches.place(request), request["stream"]
        offset, size = int(request["offset"]), min(int(request["size"]), BODY_LIMIT)
        if stream not in ("out", "err") or offset < 0 or size < 0:
            raise Refusal("stream must be out or err, offset and size not negative")
        if os.path.exists(place.file("acked")):
            raise Refusal("its logs were removed when everything had been stored")
        try:
            path = log_path(place, read_start(place), stream)
            descriptor = os.open(as_bytes(path), os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            body, end, told = b"", 0, False
        else:
            try:
                body, end = _piece(descriptor, size, offset)
                # Of a batch system's jobs another machine writes the logs.
                told = not (body or self._home.batch) and self._tails.follow(place.attempt, stream, path)
                if told:  # what was added before that goes untold
                    body, end = _piece(descriptor, size, offset)
            finally:
                os.close(descriptor)
        header = {"type": "log", "attempt": place.attempt, "stream": stream, "offset": offset}
        self._outbox.send_body(dict(header, size=len(body), end=end, told=told and not body), body)

    def ack(self, request: Header) -> None:
        """Put an attempt away that has ended and is stored elsewhere: a tombstone stays. Raises Refusal, OSError.

        Not answered: who asked would do nothing about it, and asks again if it is still listed on the next link.
        """
        place = self._watches.place(request)
        names = place.names()
        if "final.json" not in names:
            status = settle(place, self._home.incarnation).status
            if status == ABSENT:
                return
            if status not in (ENDED, VOID):
                raise Refusal("it is %s; only what has ended can be put away" % status)
            names = place.names()
        _put_away(place, names)
        place.unlock()
        self._watches.forget(place.attempt)

    def clean(self, request: Header) -> None:
        """Remove the whole table but for attempts that run, and say which those are. Raises OSError."""
        left = [place.attempt for place in self._home.places() if not self._remove(place)]
        if not left:
            left = self._home.remove_table(mark=request.get("mark", True))
        self._home.remove_old_marks()
        self._outbox.send("cleaned", left=left)

    def _remove(self, place: Place) -> bool:
        standing = settle(place, self._home.incarnation)
        if standing.status in (UNSTARTED, QUEUED, STARTING):
            void(place, "its table was cleaned away")
            standing = settle(place, self._home.incarnation)
        if standing.status == RUNNING:
            return False
        self._watches.forget(place.attempt)
        empty(place.folder)
        os.rmdir(place.folder)
        place.unlock()
        return True


def _piece(descriptor: int, size: int, offset: int) -> Tuple[bytes, int]:
    """The bytes of a log from `offset` on, and where it ends."""
    return os.pread(descriptor, size, offset), os.fstat(descriptor).st_size


def _put_away(place: Place, names: Set[str]) -> None:
    """Make `acked`. Of the `names` that its folder has, only the records' stay."""
    try:
        write_file(place.file("acked"), b"")
    except OSError as error:
        if error.errno not in FULL:
            raise
        empty(place.folder, keep=TOMBSTONE)  # that makes room for it
        write_file(place.file("acked"), b"")
    if not names <= TOMBSTONE:
        empty(place.folder, keep=TOMBSTONE)
