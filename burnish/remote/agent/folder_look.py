"""A look at the folders of jobs, by a process of its own: one on a mount whose server is gone stops whoever looks at it."""

from __future__ import annotations

import json
import os
import select
import signal
import time

from .compact_json import encode_json
from .files import READ_SIZE, as_bytes, write_all
from .needs import can_be_sought, lack_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, Sequence

    from .records import Record

LIMIT = 10.0  # s after which it hangs
END = 12  # s, whole ones, after which its process is ended: the kernel allows that on an NFS mount that hangs


class FolderLook:
    """The look that is under way, of which there is one at a time.

    A process that not even a signal ends keeps its pipe open: no other is started before it has gone.
    """

    def __init__(self, poll: select.poll, fork: Callable[[Callable[[], None]], int]) -> None:
        self._poll = poll
        self._fork = fork
        self._pipe: Optional[int] = None
        self._text = b""
        self._began = 0.0

    @property
    def under_way(self) -> bool:
        """True while there is no answer."""
        return self._pipe is not None

    @property
    def hangs(self) -> bool:
        """True if it should have been answered long ago."""
        return self.under_way and time.monotonic() - self._began > LIMIT

    def begin(self, workdir: Any, needs: Sequence[Record]) -> None:
        """Look at `workdir`, a path or None, and for what `needs` ask. Raises OSError, where there is no pipe to be had."""
        pipe, end = os.pipe()
        self._pipe, self._text, self._began = pipe, b"", time.monotonic()
        self._poll.register(pipe, select.POLLIN | select.POLLHUP)
        try:
            self._fork(lambda: _look(end, workdir, needs))
        except OSError:
            pass  # nobody writes into the pipe, and that is the answer
        finally:
            os.close(end)

    def take(self, ready: Sequence[int]) -> Optional[Record]:
        """What it found, {"workdir", "needs"}, once that is whole: then it is over. Nothing, if it could not look."""
        if self._pipe is None or self._pipe not in ready:
            return None
        data = os.read(self._pipe, READ_SIZE)
        self._text += data
        if data:
            return None
        self._poll.unregister(self._pipe)
        os.close(self._pipe)
        self._pipe = None
        try:
            found: Record = json.loads(self._text)
        except ValueError:
            found = {"workdir": None}
        return found


def _look(end: int, workdir: Any, needs: Sequence[Record]) -> None:
    signal.alarm(END)
    answers: List[List[Any]] = [[need, lack_of(need)] for need in needs if can_be_sought(need)]
    seen = _look_at_folder(workdir) if isinstance(workdir, str) else None
    write_all(end, encode_json({"workdir": seen, "needs": answers}).encode("ascii"))


def _look_at_folder(path: str) -> Record:
    name = as_bytes(os.path.expanduser(path))
    return {"path": path, "exists": os.path.isdir(name), "writable": os.access(name, os.W_OK | os.X_OK)}
