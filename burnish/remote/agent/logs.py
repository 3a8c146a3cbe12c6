"""A job's logs, as its supervisor has them: opened before it starts, and asked when it has ended.

Their file server may no longer know them then, or answer with an error. What cannot be asked is not told: no verdict hangs on it.
"""

from __future__ import annotations

import os

from .files import as_bytes, close, sync_file
from .refusals import Refusal, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Tuple

    from .place import Place
    from .records import Record

TAIL = 2000  # bytes of a failed job's stderr that go with its exit


class Logs:
    """stdout and stderr of the job at `place`: where its spec says, or in its folder."""

    def __init__(self, place: Place, spec: Record) -> None:
        self._paths = {stream: as_bytes(spec.get(stream) or place.file(stream)) for stream in ("out", "err")}
        self._open: Dict[str, int] = {}
        self._sizes: Record = {}

    def open(self) -> None:
        """Raises Refusal."""
        for stream, path in self._paths.items():
            self._open[stream] = _opened(path)

    def file_actions(self) -> List[Tuple[int, int, int]]:
        """What posix_spawn is to do so that the job writes them."""
        return [(os.POSIX_SPAWN_DUP2, self._open["out"], 1), (os.POSIX_SPAWN_DUP2, self._open["err"], 2)]

    def sizes(self) -> Record:
        """{"out": bytes, "err": bytes}, once the job has ended; {} if one cannot be asked."""
        try:
            self._sizes = {stream: os.fstat(log).st_size for stream, log in self._open.items()}
        except OSError:
            pass
        return self._sizes

    def sync(self) -> None:
        """Bring them to disk, if the disk can: or a power loss would leave a verdict without what led to it."""
        for stream, log in self._open.items():
            if self._sizes.get(stream) != 0:  # one that could not be asked is synced, too
                sync_file(log)

    def tail(self) -> str:
        """The end of what the job wrote on stderr: what it said of its failure is told with its exit."""
        try:
            descriptor = os.open(self._paths["err"], os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return ""
        try:
            data = os.pread(descriptor, TAIL, max(0, os.fstat(descriptor).st_size - TAIL))
        except OSError:
            return ""
        finally:
            close(descriptor)
        return data.decode("utf-8", "replace")

    def close(self) -> None:
        """A process of the job that is left keeps them open."""
        for log in self._open.values():
            close(log)


def _opened(path: bytes) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY, 0o666)
    except OSError as error:  # burnish named it: nothing is wrong with the command
        raise Refusal("its log %s cannot be opened: %s" % (printable(path), error.strerror)) from None
