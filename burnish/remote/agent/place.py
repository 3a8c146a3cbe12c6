"""The layout of a host: where an attempt's folder and its locks are, and what they are called."""

from __future__ import annotations

import os
import re
import zlib

from .files import read_text, unlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional, Set

    from .records import Record

TABLE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
IDLE = "idle-"  # how the lock of a supervisor between two attempts is called
ATTEMPT_NAME = re.compile(r"[0-9]{1,18}\.[0-9]{1,9}-[0-9a-f]{4,32}")


def host_folder_name() -> str:
    """`<hostname>-<machine id, 8>`: homes are often shared, so each host has a folder of its own in the state folder."""
    hostname = os.uname().nodename
    machine = read_text("/etc/machine-id")[:8]
    if not re.fullmatch("[0-9a-f]{8}", machine):
        machine = "%08x" % zlib.crc32(hostname.encode("utf-8", "surrogateescape"))
    return "%s-%s" % (re.sub(r"[^A-Za-z0-9._-]", "_", hostname) or "host", machine)


def lock_folder() -> str:
    """The local folder of this account's locks. BURNISH_LOCK_DIR names another one, for tests."""
    return os.environ.get("BURNISH_LOCK_DIR") or "/var/tmp/burnish-%d" % os.getuid()


def idle_lock() -> str:
    """A new path for the lock of a supervisor between two attempts."""
    return "%s/%s%s" % (lock_folder(), IDLE, os.urandom(8).hex())


class Place:
    """Where one attempt lives: its folder, and its lock."""

    __slots__ = ("_locks", "_table", "attempt", "folder", "lock")

    def __init__(self, attempts: str, table: str, attempt: str, locks: str = "") -> None:
        self._table = table
        self._locks = locks or lock_folder()
        self.attempt = attempt
        self.folder = "%s/%s/%s" % (attempts, table, attempt)
        self.lock = "%s/%s-%s.lock" % (self._locks, table, attempt)

    @classmethod
    def of_folder(cls, folder: str) -> Place:
        """The place whose folder this is."""
        parent, attempt = os.path.split(os.path.abspath(folder))
        attempts, table = os.path.split(parent)
        return cls(attempts, table, attempt)

    @property
    def end_lock(self) -> str:
        """The lock of who ends it in a dead supervisor's place."""
        return "%s/%s-%s.end" % (self._locks, self._table, self.attempt)

    @property
    def cookie(self) -> bytes:
        """How its job's BURNISH_RESULT ends, however the state folder was spelled."""
        return ("/%s/%s/result.json" % (self._table, self.attempt)).encode("ascii")

    def file(self, name: str) -> str:
        """The path of a file in the folder."""
        return "%s/%s" % (self.folder, name)

    def names(self) -> Set[str]:
        """What is in the folder; nothing where there is none. Raises OSError."""
        try:
            return set(os.listdir(self.folder))
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def unlock(self) -> None:
        """Remove the lock file: the folder itself now says how the attempt ended."""
        unlink(self.lock)


def log_path(place: Place, start: Optional[Record], stream: str) -> str:
    """Where the job's `stream`, out or err, goes: the start record says so if it is not in the folder."""
    go = (start or {}).get("go") or {}
    return str(go.get(stream) or place.file(stream))


def source_path(home: str, source: bytes) -> str:
    """Where the agent's own text is kept below the host's folder: named by its hash, verified by it each time."""
    import hashlib

    return "%s/agent-%s.py" % (home, hashlib.sha256(source).hexdigest()[:16])
