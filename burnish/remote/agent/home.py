"""The host's own folder in the state folder: its identity, the agent's text, and the attempts of the link's table."""

from __future__ import annotations

import errno
import os
import time

from .compact_json import encode_json
from .files import identity, make_private_folder, sync_folder, unlink, write_file
from .locks import remove_left
from .place import ATTEMPT_NAME, IDLE, Place, host_folder_name, lock_folder, source_path
from .records import read_record, write_file_once
from .refusals import Refusal
from .room import ROOM
from .standing import BATCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List, Tuple

    from .frames import Header

MARK_KEPT = 30 * 86400.0  # s that the mark of a table that was cleaned away stays; no start is on its way for longer


class Home:
    """Where the attempts of one table are on this host. `open` it once, before anything else is asked of it.

    `incarnation` and `state_id` say which host this is, and since when; a claim that names others is of another host.
    """

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.state_id = ""
        self.table = ""
        self.folder = ""
        self.attempts = ""  # the folder of the tables' folders
        self.source = ""  # where the agent's own text is kept, if it came as one
        self.removed = False  # somebody took the folder away: the link must be made again
        self._locks = self._state_path = ""
        self._state_file: Tuple[int, int] = (0, 0)

    @property
    def batch(self) -> bool:
        """True if a batch system starts the attempts, on nodes that share this folder."""
        return self.incarnation == BATCH

    def open(self, state_dir: str, table: str, source: bytes, batch: bool = False) -> None:
        """Make what is missing of the folders below `state_dir`, an absolute path, and of the locks' folder.

        `source` is the agent's own text. With `batch`, this is one of a cluster's login nodes: they share a folder, and what
        reboots is not where attempts run. Raises OSError, Refusal.
        """
        if batch:
            self.incarnation = BATCH
        os.makedirs(state_dir, 0o700, exist_ok=True)
        self.folder = os.path.join(state_dir, BATCH if batch else host_folder_name())
        make_private_folder(self.folder)
        self._state_path = path = os.path.join(self.folder, "state_id")
        try:
            if not os.path.exists(path) and write_file_once(
                path, encode_json({"state_id": os.urandom(16).hex()}), sync=True
            ):
                for folder in (self.folder, state_dir, os.path.dirname(state_dir)):  # the names that lead to it, too
                    sync_folder(folder)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
                raise
            raise Refusal("%s is on a file system without hard links; name another state_dir" % self.folder) from None
        self.source = source_path(self.folder, source) if source else ""
        self._state_file = identity(path)
        self.state_id = str((read_record(path) or {}).get("state_id"))
        self.attempts = os.path.join(self.folder, "attempts")
        os.makedirs(self.attempts, 0o700, exist_ok=True)
        try:
            os.mkdir(os.path.join(self.attempts, table), 0o700)
        except FileExistsError:
            pass  # or the mark of a table that was cleaned away
        self._keep_source(source)
        self._locks = lock_folder()
        make_private_folder(self._locks)
        remove_left(self._locks, IDLE)
        remove_left(self.attempts, ROOM)
        self.table = table

    def _keep_source(self, source: bytes) -> None:
        """For batch systems, whose scripts run `supervise` later and on another node."""
        path = source_path(self.folder, source)
        if not source or os.path.exists(path):
            return
        temporary = "%s.%s.tmp" % (path, os.urandom(4).hex())
        try:
            write_file(temporary, source)
            os.rename(temporary, path)
        except OSError:
            unlink(temporary)  # a full disk: an agent that is only asked what it has must come up all the same

    def place(self, attempt: str) -> Place:
        """Where this attempt lives, or would."""
        return Place(self.attempts, self.table, attempt, self._locks)

    def places(self) -> List[Place]:
        """Where each attempt of the table lives that has a folder."""
        try:
            names = os.listdir(os.path.join(self.attempts, self.table))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [self.place(name) for name in names if ATTEMPT_NAME.fullmatch(name)]

    def moved(self, request: Header) -> str:
        """What happened to this host since the request's attempt was claimed, or "". Raises Refusal as `check` does."""
        self.check()
        if request.get("state_id") not in (None, self.state_id):
            return "its host's records were wiped"
        if request.get("incarnation") not in (None, self.incarnation):
            return "its host rebooted"
        return ""

    def check(self) -> None:
        """Raises Refusal if this folder is not any more the one that was opened."""
        if identity(self._state_path) != self._state_file:
            self.removed = True
            raise Refusal("the state folder %s was removed; connect again" % self.folder)

    def make_folder(self, place: Place) -> bool:
        """False if the attempt's folder exists already. Raises OSError, Refusal."""
        try:
            os.mkdir(place.folder, 0o700)
        except FileExistsError:
            return False
        except FileNotFoundError:
            self.check()
            raise
        except NotADirectoryError:
            raise Refusal("the table was cleaned away; nothing of it is started") from None
        return True

    def remove_table(self, mark: bool) -> List[str]:
        """Remove the table's folder, in which no attempt is left. Returns the names of what is in it all the same.

        With `mark`, a start that is still on its way finds no folder to be made in.
        """
        folder = os.path.join(self.attempts, self.table)
        left: List[str] = []
        try:
            os.rmdir(folder)
        except OSError:
            left = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        if not left and mark and not os.path.exists(folder):
            os.close(os.open(folder, os.O_WRONLY | os.O_CREAT, 0o600))  # a file in its place
        return left

    def remove_old_marks(self) -> None:
        """Remove marks of tables that were cleaned away long ago."""
        for mark in os.scandir(self.attempts):
            if mark.name.startswith(ROOM):
                continue  # a supervisor's, and perhaps gone by now
            if mark.is_file(follow_symlinks=False) and time.time() - mark.stat().st_mtime > MARK_KEPT:
                unlink(mark.path)
