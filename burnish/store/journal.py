"""The journal: numbered commits, each put once, never changed. It is the truth about a table.

A commit is a file `log/00000/00000042.jsonl`: a line naming it, then a line per fact. Its author writes it under a name of its
own, syncs it, and publishes it with `link()` under the next number. `link` refuses a name that exists, on every POSIX file
system and on every NFS: of several authors exactly one gets the number, and the others read what that one wrote, apply it, and
decide again on the state as it is now. No lock is needed to be right; a crash leaves a whole commit or none; a reader needs no
permission from anyone. (The scheme is the put-if-absent log of Delta Lake, Armbrust et al., VLDB 2020.)

Six details carry the weight. Facts are tried out before they are published (`core.trial`): a commit that the state machine
refuses would stop everybody who reads it, for good. A checksum tells a commit from what a disk made of it, which is named and
never believed. The file is synced *before* it is linked, so no name ever leads to half a commit; its folder is synced before
anyone acts on it. After an ambiguous error (NFS may repeat a request whose answer was lost) the number is read back and the
commit's own id compared. News is found by listing the folder, never by probing a name: over NFSv4.2 a probe for a missing name is
answered from a cache for half a minute. And all names are resolved from the folder that was opened, so that a process which slept
through `clean` and a new `create` can write into nobody else's journal.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from burnish.core import checkpoint, events
from burnish.core.events import Fact
from burnish.core.state import State
from burnish.core.trial import try_out
from burnish.errors import InternalError, JournalDamaged, StoreError, TableClosed
from burnish.store import refusals
from burnish.store.seal import seal, unseal

COMMITS_PER_FOLDER = 1000
KEPT_CHECKPOINTS = 2
TRIES = 4  # of what an NFS client answers from a memory that its server has outrun
CHECKPOINT_AFTER = (
    500  # facts, or half as many as there are jobs if that is more: a replay costs no more than the table
)

Decide = Callable[[State], Sequence[Fact]]


class Journal:
    """One process's view of a table's journal, and its only way to write there.

    `state` contains every commit up to `number`; `news` collects every fact applied since `take_news`, whoever wrote it.
    """

    def __init__(self, root: Path, shown: str, author: str, clock: Callable[[], float]) -> None:
        self.root = root
        self.shown = shown
        self.author = author
        self.state = State()
        self.number = 0
        self._waits: deque[float] = deque(maxlen=2)  # s that the disk took for the last commits
        self._clock = clock
        self._home = -1  # descriptor of `root`, once there is a journal
        self._news: list[Fact] = []
        self._since_checkpoint = 0
        self._synced_folders: set[str] = set()

    # -- opening ---------------------------------------------------------------------------------------------------

    @staticmethod
    def exists(root: Path) -> bool:
        """True if a table was ever opened here."""
        return (root / _commit_name(1)).exists()

    def create(self, facts: Sequence[Fact]) -> bool:
        """Publish the first commit. False if somebody else has made a journal here: open it. Raises StoreError."""
        try:
            (self.root / "tmp").mkdir(mode=0o700, parents=True, exist_ok=True)
            self._home = _open_folder(self.root)
            for folder in (self.root, self.root.parent, self.root.parent.parent):  # the names that lead here, too
                self._sync_folder(str(folder))
        except OSError as error:
            raise self._refused("", error) from None
        made = State()
        for fact in facts:
            made.apply(fact)
        if published := self._publish(1, facts):
            self.state = made
            self._count(1, facts)
        return published

    def open(self) -> None:
        """Load the newest checkpoint that is whole, then catch up. A journal that `clean` has closed is opened, too.

        Raises TableClosed if there is no journal, StoreError if it cannot be read.
        """
        try:
            self._home = _open_folder(self.root)
        except FileNotFoundError:
            raise TableClosed(f"{self.shown} has no journal in {self.root}.") from None
        except OSError as error:
            raise self._refused("", error) from None
        for name in self._checkpoints():
            try:
                self.state, self.number = checkpoint.load(unseal(self._content(name)))
                break
            except (OSError, ValueError):
                continue  # a checkpoint only shortens the replay; the commits say the same
        self._catch_up()
        if self.number == 0:
            raise TableClosed(f"{self.shown} has no journal in {self.root}.")

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def folders(self) -> list[Path]:
        """Where the next commits appear: in the newest folder, or in one that is made beside it."""
        return [self.root / "log", self.root / _folder_name(self.number)]

    @property
    def wait(self) -> float:
        """How long the disk takes for a commit, in s: the shorter of two, for one may have waited for the processor."""
        return min(self._waits, default=0.0)

    def take_news(self) -> list[Fact]:
        """Facts applied since the last call, in order, others' and one's own."""
        news, self._news = self._news, []
        return news

    def catch_up(self) -> int:
        """Apply the commits that are new; returns how many. Raises TableClosed when the journal is gone or was closed."""
        applied = self._catch_up()
        if self.state.closed_by is not None:
            raise TableClosed(f"{self.shown} was cleaned ({self.state.closed_by}). Nothing more is written.")
        self._still_there()
        return applied

    def _catch_up(self, known: int = 0) -> int:
        """Apply what is listed, and commit number `known` even if a listing does not show it yet."""
        applied = 0
        while True:
            folder = _folder_name(self.number + 1)
            # A listing is not a snapshot: it may show a commit and miss the one before, which is there all the same.
            for number in range(self.number + 1, max(self._newest(folder), known) + 1):
                self._follow(number)
                applied += 1
            if _folder_name(self.number + 1) == folder:
                return applied

    def _follow(self, number: int) -> None:
        """Apply a commit that is there."""
        facts = self._read(number)[1]
        try:
            self._apply(number, facts)
        except (InternalError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise self._damaged(number, f"it cannot follow on what was before: {error}") from None

    def _newest(self, folder: str) -> int:
        try:
            # Of equal length, names are in the order of their numbers.
            return _number(max(filter(_IS_COMMIT, self._names(folder)), default="")) or 0
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self._refused(folder, error) from None

    def _still_there(self) -> None:
        """Raise TableClosed unless the folder that was opened still is the one with its name."""
        for attempt in range(TRIES):
            try:
                there = os.path.samestat(os.stat(self.root), os.fstat(self._home))
                break
            except OSError as error:
                there = False
                if error.errno in (errno.ENOENT, errno.ENOTDIR):
                    break
                if attempt == TRIES - 1 or error.errno != errno.ESTALE:
                    raise self._refused("", error) from None
        if not there:
            raise TableClosed(f"{self.shown}: its journal was removed (burnish clean?). Nothing more is written.")

    def _read(self, number: int) -> tuple[str, list[Fact]]:
        """The id of a commit and its facts."""
        name = _commit_name(number)
        for attempt in range(TRIES):
            try:
                content = self._content(name)
                break
            except OSError as error:
                if attempt == TRIES - 1 or error.errno not in (errno.ESTALE, errno.ENOENT):
                    raise self._refused(name, error) from None
        try:
            lines = list(unseal(content))
            head = json.loads(lines[0])
            facts = [events.from_json(line) for line in lines[1:]]
            if self.state.table and head["table"] != self.state.table:
                raise TableClosed(f"{self.shown}: its journal now belongs to another table. Nothing more is written.")
            return head["commit"], facts
        except (ValueError, LookupError, TypeError) as error:
            raise self._damaged(number, str(error)) from None

    # -- writing ---------------------------------------------------------------------------------------------------

    def commit(self, decide: Decide) -> list[Fact]:
        """Publish what `decide(state)` returns; if somebody was faster, apply theirs and ask `decide` again.

        Returns the facts that were committed, [] when `decide` had nothing to say. Raises StoreError when the disk refuses.
        """
        while True:
            if self.state.closed_by is not None:
                raise TableClosed(f"{self.shown} was cleaned ({self.state.closed_by}). Nothing more is written.")
            facts = list(decide(self.state))
            if not facts:
                return facts
            try_out(self.state, facts)
            if self._publish(self.number + 1, facts):
                self._apply(self.number + 1, facts)
                return facts
            self._catch_up(known=self.number + 1)

    def _publish(self, number: int, facts: Sequence[Fact]) -> bool:
        """True if `facts` are now commit `number`, on disk; False if that number is somebody else's."""
        commit = secrets.token_hex(8)
        table = self.state.table or getattr(facts[0], "table", "")
        head = {"commit": commit, "table": table, "by": self.author, "at": self._clock()}
        text = seal([json.dumps(head), *map(events.to_json, facts)])
        private = f"tmp/{commit}"
        try:
            self._ready(_folder_name(number))
            began = time.monotonic()
            self._write_synced(private, text)
            published = self._link(private, number, commit)
            if published:
                self._sync_folder(_folder_name(number))
                self._waits.append(time.monotonic() - began)
            return published
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ESTALE):
                self._still_there()
            raise self._refused(_commit_name(number), error) from None
        finally:
            self._discard(private)

    def _link(self, private: str, number: int, commit: str) -> bool:
        """True if commit `number` is the one in `private`, False if it is another. Raises OSError if there is none."""
        try:
            os.link(private, _commit_name(number), src_dir_fd=self._home, dst_dir_fd=self._home)
            return True
        except FileExistsError:
            return self._read(number)[0] == commit  # it may be ours: NFS repeats a request whose answer was lost
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise StoreError(
                    f"{self.root}: this file system has no hard links, which the journal needs. Nothing was changed.",
                    hint="keep the table on a local disk or on NFS (not on FAT, exFAT or some FUSE mounts)",
                ) from None
            # Only an answer was lost if the commit is listed all the same.
            if error.errno in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT) and number in map(
                _number, self._names(_folder_name(number))
            ):
                return self._read(number)[0] == commit
            raise

    def _apply(self, number: int, facts: Sequence[Fact]) -> None:
        for fact in facts:
            self.state.apply(fact)
        self._count(number, facts)

    def _count(self, number: int, facts: Sequence[Fact]) -> None:
        self._news.extend(facts)
        self.number = number
        self._since_checkpoint += len(facts)

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Write the state down if the replay since the last checkpoint has become long. Failing to is harmless."""
        if self._since_checkpoint < max(CHECKPOINT_AFTER, len(self.state.jobs) // 2) or self.state.closed_by:
            return
        private = f"tmp/{secrets.token_hex(8)}"
        text = seal(checkpoint.dump(self.state, self.number))
        try:
            self._write_synced(private, text)
            name = f"checkpoint-{self.number:08d}.jsonl"
            os.rename(private, name, src_dir_fd=self._home, dst_dir_fd=self._home)
            self._since_checkpoint = 0
        except OSError:
            pass  # the disk is full or the journal was cleaned: the commits say it all
        self._discard(private)
        for old in self._checkpoints()[KEPT_CHECKPOINTS:]:
            self._discard(old)

    def _checkpoints(self) -> list[str]:
        """Newest first."""
        try:
            names = self._names(".")
        except OSError:
            return []
        return sorted((name for name in names if name.startswith("checkpoint-")), reverse=True)

    # -- files, named from the folder that was opened ----------------------------------------------------------------

    def _names(self, folder: str) -> list[str]:
        descriptor = _open_folder(folder, self._home)
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)

    def _content(self, name: str) -> bytes:
        with os.fdopen(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._home), "rb") as file:
            return file.read()

    def _write_synced(self, name: str, data: bytes | bytearray) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=self._home)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _discard(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._home)
        except OSError:
            pass  # it was never made, or it is left behind: nobody reads it

    def _ready(self, folder: str) -> None:
        """A folder to link into, whose own name and predecessors are on disk."""
        if folder in self._synced_folders:
            return
        for name in ("log", folder):
            try:
                os.mkdir(name, 0o700, dir_fd=self._home)
            except FileExistsError:
                pass
        older = [name for name in (f"log/{number}" for number in self._names("log")) if name <= folder]
        for name in (*sorted(older), "log", "."):
            self._sync_folder(name)
        self._synced_folders.add(folder)

    def _sync_folder(self, name: str) -> None:
        descriptor = _open_folder(name, self._home)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _damaged(self, number: int, why: str) -> JournalDamaged:
        import shlex

        return JournalDamaged(
            f"{self.root / _commit_name(number)} is damaged ({why}). Nothing is written to this table any more.",
            hint=f"put the file back from a backup; or go on with the states that {self.shown} shows, without reasons, logs and "
            f"attempts so far, and with what is RUNNING as HOLD: {shlex.join(['mv', str(self.root), f'{self.root}.damaged'])}",
        )

    def _refused(self, name: str, error: OSError) -> StoreError:
        where = self.root / name
        if error.errno == errno.EACCES and (found := refusals.made_by_another(self.shown, str(self.root), str(where))):
            return StoreError(f"{found[0]} Nothing was begun that it does not hold.", hint=found[1])
        return StoreError(
            f"{where}: the journal could not be read or written: {refusals.why(error)}. Nothing was begun that it does not hold."
        )


def _folder_name(number: int) -> str:
    """Of the folder of a commit."""
    return f"log/{number // COMMITS_PER_FOLDER:05d}"


def _commit_name(number: int) -> str:
    return f"{_folder_name(number)}/{number:08d}.jsonl"


_IS_COMMIT = re.compile(r"[0-9]{8}\.jsonl").fullmatch


def _number(name: str) -> int | None:
    return int(name[:8]) if _IS_COMMIT(name) else None


def _open_folder(path: Path | str, within: int | None = None) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=within)
