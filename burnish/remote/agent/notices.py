"""What a supervisor tells its agent of an attempt: that its job runs, has left its slot, is recorded, or cannot be.

A supervisor that takes one attempt after the other tells its agent on the socket on which it gets them, and gives the record
along that it has just made: nobody has to read it from the disk. Of a job that is over soon it tells but once. Whoever has no
such socket writes a line into a pipe that all share, and the agent looks into the folder.
"""

from __future__ import annotations

import os

from .files import READ_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import List, Protocol, Sequence

    class Tell(Protocol):
        """Takes a mark, and the records that go with it, as they were written."""

        def __call__(self, mark: str, *records: str) -> object: ...


CHANGED = "="  # its job runs: start.json, with the pid
FREED = "-"  # it has left its slot, and is not recorded yet
UNRECORDED = "~"  # it has left its slot, and its disk refuses to keep how: {"why"}, if it was given along
DONE = "!"  # its supervisor is done with it: final.json, and start.json with the pid if that was not told before
PASSED = "."  # it was given to its supervisor ahead of its turn, and that one has not begun it, and will not
GONE = "?"  # its supervisor is gone: what the agent makes of the end of its socket
RECORD_LIMIT = 32 << 10  # bytes; longer records are read from the folder


class Notice:
    """News of an attempt. `records`: the texts that were written into its folder, if they were given along.

    `next`: the attempt that its supervisor goes on with, which was given to it ahead of its turn; "" if there is none.
    """

    __slots__ = ("attempt", "mark", "next", "records")

    def __init__(self, attempt: str, mark: str, records: Sequence[str] = ()) -> None:
        self.attempt = attempt
        self.mark = mark
        self.records = records
        self.next = ""


def tell_on_socket(mine: socket.socket, mark: str, *records: str) -> bool:
    """Tell the agent at the other end. False if it is not there any more, or cannot be told."""
    text = "\n".join(records)
    if len(text) > RECORD_LIMIT:
        text = ""
    try:
        mine.send((mark + text).encode("ascii"))
        return True
    except OSError:
        return False


def heard_on_socket(attempt: str, message: bytes) -> Notice:
    """What a message says of the attempt that the supervisor at the other end has."""
    text = message.decode("ascii")
    return Notice(attempt, text[0], text[1:].splitlines())


def tell_in_pipe(notices: int, attempt: str, mark: str, *records: str) -> None:
    """Tell the agent that reads `notices`, if it is still there. It reads the records from the folder."""
    try:
        os.write(notices, ("%s%s\n" % (attempt, mark)).encode("ascii"))
    except OSError:
        pass


def heard_in_pipe(notices: int) -> List[Notice]:
    """The notices in the pipe, which is readable."""
    lines = os.read(notices, READ_SIZE).decode("ascii").split("\n")
    return [Notice(line[:-1], line[-1]) for line in lines if line]
