"""The journal: numbered commits, each put once, never changed. It is the truth about a table.

A commit is a file `log/00000/00000042.jsonl`: a line naming it, then a line per fact. Its author writes it under a name of its
own, syncs it, and publishes it with `link()` under the next number. `link` refuses a name that exists, on every POSIX file
system and on every NFS: of several authors exactly one gets the number, and the others read what that one wrote, apply it, and
decide again on the state as it is now. No lock is needed to be right; a crash leaves a whole commit or none; a reader needs no
permission from anyone. (The scheme is the put-if-absent log of Delta Lake, Armbrust et al., VLDB 2020.)

Three details carry the weight. The file is synced *before* it is linked, so no name ever leads to half a commit; its folder is
synced before anyone acts on it. After an ambiguous error (NFS may repeat a request whose answer was lost) the number is read
back and the commit's own id compared. News is found by listing the folder, never by probing a name: over NFSv4.2 a probe for a
missing name is answered from a cache for half a minute.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from burnish.core import checkpoint, events
from burnish.core.events import Fact
from burnish.core.state import State
from burnish.errors import InternalError, StoreError, TableClosed

COMMITS_PER_FOLDER = 1000
KEPT_CHECKPOINTS = 2
CHECKPOINT_AFTER = (
    500  # facts, or as many as there are jobs if that is more: replay stays a constant factor of the table
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
        self._clock = clock
        self._news: list[Fact] = []
        self._since_checkpoint = 0
        self._synced_folders: set[Path] = set()

    # -- opening ---------------------------------------------------------------------------------------------------

    @staticmethod
    def exists(root: Path) -> bool:
        """True if a table was ever opened here."""
        return _commit_path(root, 1).exists()

    def create(self, facts: Sequence[Fact]) -> None:
        """Publish the first commit. Raises StoreError if somebody else made the table in the meantime."""
        self._make_folders()
        if not self._publish(1, facts):
            raise StoreError(f"{self.shown}: another burnish made this table a moment ago. Nothing was changed.")
        self._apply(1, facts)

    def open(self) -> None:
        """Load the newest checkpoint that is whole, then catch up. Raises TableClosed if there is no journal."""
        for path in self._checkpoints():
            try:
                with path.open(encoding="ascii") as lines:
                    self.state, self.number = checkpoint.load(lines)
                break
            except (OSError, ValueError):
                continue  # a checkpoint only shortens the replay; the commits say the same
        self.catch_up()
        if self.number == 0:
            raise TableClosed(f"{self.shown} has no journal in {self.root}.")

    # -- reading ---------------------------------------------------------------------------------------------------

    def take_news(self) -> list[Fact]:
        """Facts applied since the last call, in order, others' and one's own."""
        news, self._news = self._news, []
        return news

    def catch_up(self) -> int:
        """Apply the commits that are new; returns how many. Raises TableClosed when the journal is gone or was closed."""
        applied = 0
        while True:
            folder = _commit_path(self.root, self.number + 1).parent
            try:
                names = os.listdir(folder)
            except FileNotFoundError:
                names = []
                self._still_there()
            except OSError as error:
                raise _disk(folder, error) from None
            # A listing is not a snapshot: it may show a commit and miss the one before, which is there all the same.
            newest = max((number for name in names if (number := _number(name)) is not None), default=0)
            for number in range(self.number + 1, newest + 1):
                self._apply(number, self._read(number)[1])
                applied += 1
            if _commit_path(self.root, self.number + 1).parent == folder:
                return applied

    def _still_there(self) -> None:
        if self.number and not _commit_path(self.root, self.number).exists():
            raise TableClosed(f"{self.shown}: its journal was removed (burnish clean?). Nothing more is written.")

    def _read(self, number: int) -> tuple[str, list[Fact]]:
        path = _commit_path(self.root, number)
        for attempt in range(4):
            try:
                text = path.read_text(encoding="ascii")
                break
            except (FileNotFoundError, OSError) as error:
                if attempt == 3 or error.errno not in (errno.ESTALE, errno.ENOENT):
                    raise _disk(path, error) from None
        lines = text.splitlines()
        try:
            head = json.loads(lines[0])
            facts = [events.from_json(line) for line in lines[1:]]
            if head["facts"] != len(facts):
                raise ValueError(f"{len(facts)} facts where its first line counts {head['facts']}")
            if self.state.table and head["table"] != self.state.table:
                raise TableClosed(f"{self.shown}: its journal now belongs to another table. Nothing more is written.")
            return head["commit"], facts
        except (ValueError, LookupError, TypeError) as error:
            raise StoreError(f"{path} is damaged ({error}). Nothing is written to this table any more.") from None

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
            if self._publish(self.number + 1, facts):
                self._apply(self.number + 1, facts)
                return facts
            if not self.catch_up():
                raise InternalError(f"{self.root}: commit {self.number + 1} is taken but cannot be listed.")

    def _publish(self, number: int, facts: Sequence[Fact]) -> bool:
        """True if `facts` are now commit `number`, on disk; False if that number is somebody else's."""
        commit = secrets.token_hex(8)
        table = self.state.table or getattr(facts[0], "table", "")
        head = {"commit": commit, "table": table, "by": self.author, "at": self._clock(), "facts": len(facts)}
        text = "".join(f"{line}\n" for line in [json.dumps(head), *map(events.to_json, facts)])
        target = _commit_path(self.root, number)
        private = self.root / "tmp" / commit
        try:
            self._ready(target.parent)
            _write_synced(private, text.encode("ascii"))
            try:
                os.link(private, target)
                published = True
            except OSError as error:
                published = self._read_back(error, number, commit)
            if published:
                _sync_folder(target.parent)
            os.unlink(private)
            return published
        except FileNotFoundError as error:
            self._still_there()
            raise _disk(target, error) from None
        except OSError as error:
            raise _disk(target, error) from None

    def _read_back(self, error: OSError, number: int, commit: str) -> bool:
        """After a link that did not plainly succeed: is the number ours after all?"""
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise StoreError(
                f"{self.root}: this file system has no hard links, which the journal needs. Nothing was changed.",
                hint="keep the table on a local disk or on NFS (not on FAT, exFAT or some FUSE mounts)",
            )
        if error.errno not in (errno.EEXIST, errno.EIO, errno.ESTALE, errno.ETIMEDOUT):
            raise error
        if str(number) in (
            str(n) for name in os.listdir(_commit_path(self.root, number).parent) if (n := _number(name))
        ):
            return self._read(number)[0] == commit
        raise error

    def _apply(self, number: int, facts: Sequence[Fact]) -> None:
        for fact in facts:
            self.state.apply(fact)
        self._news.extend(facts)
        self.number = number
        self._since_checkpoint += len(facts)

    # -- folders and checkpoints -----------------------------------------------------------------------------------

    def _make_folders(self) -> None:
        try:
            (self.root / "tmp").mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(self.root)
        except OSError as error:
            raise _disk(self.root, error) from None

    def _ready(self, folder: Path) -> None:
        """A folder to link into, whose own name and predecessor are on disk."""
        if folder in self._synced_folders:
            return
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in sorted(folder.parent.iterdir()):
            if path <= folder and path not in self._synced_folders:
                _sync_folder(path)
        _sync_folder(folder.parent)
        _sync_folder(self.root)
        self._synced_folders.add(folder)

    def _checkpoints(self) -> list[Path]:
        try:
            return sorted(self.root.glob("checkpoint-*.jsonl"), reverse=True)
        except OSError:
            return []

    def checkpoint(self) -> None:
        """Write the state down if the replay since the last checkpoint has become long. Failing to is harmless."""
        if self._since_checkpoint < max(CHECKPOINT_AFTER, len(self.state.jobs) // 2) or self.state.closed_by:
            return
        private = self.root / "tmp" / secrets.token_hex(8)
        try:
            _write_synced(
                private, "".join(f"{line}\n" for line in checkpoint.dump(self.state, self.number)).encode("ascii")
            )
            private.rename(self.root / f"checkpoint-{self.number:08d}.jsonl")
            for old in self._checkpoints()[KEPT_CHECKPOINTS:]:
                old.unlink(missing_ok=True)
            self._since_checkpoint = 0
        except OSError:
            private.unlink(missing_ok=True)  # the disk is full or the journal was cleaned: the commits say it all


def _commit_path(root: Path, number: int) -> Path:
    return root / "log" / f"{number // COMMITS_PER_FOLDER:05d}" / f"{number:08d}.jsonl"


def _number(name: str) -> int | None:
    stem, _, suffix = name.partition(".")
    return int(stem) if suffix == "jsonl" and len(stem) == 8 and stem.isascii() and stem.isdigit() else None


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _disk(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{error.filename or path}: {error.strerror or error}. The journal could not be read or written there."
    )
