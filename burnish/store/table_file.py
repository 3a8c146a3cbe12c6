"""`burnish.db` on disk: seen only when nobody is writing it, replaced so that no save is lost.

*Reading.* Editors truncate and write, or rename away and create. So a version counts once two looks, at least 0.3 s apart, find
the same inode, size and time (or its time is old enough, or it is the text that burnish itself put there last), it ends like a
file that is finished, and it parses. A file that is gone is an editor saving, for five seconds; an empty one, for two.

*Replacing.* The new text is written and synced under a name of burnish's own, then takes the table's name while what was merged
is checked to be what still stands there. The displaced inode is not forgotten: an editor that had opened it may write into it
after the swap. It is watched for a while (`store.displaced`), and a save found there is merged like any other. Where the kernel
can (`store.exchange`), the swap itself hands back whatever stood there at that instant. Elsewhere (NFS) a file that an editor
renames there in the last millisecond before ours is lost, and noticed if the clock of the file system tells the two apart.

On NFS attributes are stale and open is not: every look opens the folder and the file anew. When to look, and what to do about
what is seen, is the caller's; time comes in as `now`, seconds of a monotonic clock.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Container
from pathlib import Path

from burnish.core.table import Table, parse
from burnish.errors import InputError, Problem, StoreError
from burnish.store import refusals
from burnish.store.displaced import PREFIX, TEMP, DisplacedInodes, remove
from burnish.store.exchange import exchange
from burnish.store.paths import sync_folder
from burnish.store.version import TWO_LOOKS, UNFINISHED, Identity, Seen, Stamp, content, digest

LIMIT = 200 << 20  # bytes
OLD = 1.0  # s after which one look is enough
AWAY = 5.0  # s that the file may be missing while an editor saves


class TableMissing(StoreError):
    """There is no table, and no editor is just saving it."""


class TableFile:
    """One table on disk. `path` is resolved through symlinks; `own` is burnish's folder beside it, which must exist to write.

    `shown` is the table as the user wrote it, for messages. Not for use by several threads at once.
    """

    def __init__(self, path: Path, own: Path, shown: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = os.path.realpath(path)
        self.own = str(own)
        self.shown = shown
        self.seen: Seen | None = None
        self.buried = False  # a save that stood there for a moment was lost in the last `replace`
        self.bad: InputError | None = None  # why the version that stands there now cannot be used
        self._clock = clock
        self._known: Identity | None = None  # the version that `seen` or `bad` speaks of
        self._pending: tuple[Identity, float] | None = None
        self._missing_since: float | None = None
        self._skew: float | None = None
        self._displaced = DisplacedInodes(self.own, shown)
        self._exchanges = True

    # -- reading -----------------------------------------------------------------------------------------------------

    def changed(self) -> bool:
        """True if something else stands there than was last seen (or nothing). One open and one fstat."""
        try:
            fd = self._open()
        except (OSError, InputError):
            return True
        try:
            return Identity.of(os.fstat(fd)) != self._known
        finally:
            os.close(fd)

    def stands(self, seen: Seen) -> bool:
        """True if that version stands there now. One open and one fstat."""
        try:
            return self._identity() == seen.identity
        except (OSError, InputError):
            return False

    def stamp(self, seen: Seen) -> Stamp | None:
        """The stamp of that version, if it stands there now. One open and one fstat."""
        status = self._status_of(seen)
        return None if status is None else Stamp.of(status)

    def untouched(self, seen: Seen, stamp: Stamp) -> bool:
        """True if that version stands there now, and nobody has touched it since it had this stamp.

        A second name that burnish gave it before it would have been replaced (`_swap`) is no touch.
        """
        status = self._status_of(seen)
        if status is None or Stamp.of(status)[:3] != stamp[:3]:
            return False
        return status.st_ctime_ns == stamp.ctime_ns or (status.st_nlink > stamp.names and self._named_twice(status))

    def _status_of(self, seen: Seen) -> os.stat_result | None:
        try:
            fd = self._open()
        except (OSError, InputError):
            return None
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
        return status if Identity.of(status) == seen.identity else None

    def _named_twice(self, status: os.stat_result) -> bool:
        try:
            ours = [entry for entry in os.scandir(self._beside()) if entry.name.startswith(PREFIX)]
            return any(entry.stat(follow_symlinks=False).st_ino == status.st_ino for entry in ours)
        except OSError:
            return False  # or taken away just now

    def look(self, now: float, newest: str | None = None) -> Seen | None:
        """A version that was not seen before and stands still, or None: nothing new, or somebody is writing.

        `newest`: sha256 of the text that the journal named last. It says nothing new, so it needs no second look.
        Raises TableMissing after five seconds without a file, InputError once for a version that cannot be read as a table (it is
        in `bad` from then on), StoreError if the disk refuses.
        """
        try:
            fd = self._open()
        except FileNotFoundError:
            self._look_at_nothing(now)
            return None
        except OSError as error:
            raise refusals.unreadable(self.shown, error) from None
        self._missing_since = None
        try:
            identity = Identity.of(os.fstat(fd))
            if identity == self._known:
                self._pending = None
                return None
            still = self._stands_still(fd, identity, now)
            data = self._read(fd, identity) if still or newest is not None else None
        except OSError as error:
            raise refusals.unreadable(self.shown, error) from None
        finally:
            os.close(fd)
        if data is None or not (still or digest(data) == newest):
            return None
        self._known, self._pending = identity, None
        try:
            self.seen, self.bad = Seen(parse(data, self.shown, self.seen.table if self.seen else None), identity), None
        except InputError as error:
            self.bad = error
            raise
        return self.seen

    def read(
        self,
        within: float = 10.0,
        away: float = AWAY,
        pause: Callable[[float], None] = time.sleep,
        newest: str | None = None,
    ) -> Seen:
        """The newest version, waiting at most `within` s for it to stand still and `away` s for it to be there.

        Raises TableMissing, InputError (it cannot be read as a table), StoreError (the disk, or nobody stops writing).
        """
        end = self._clock() + within
        while True:
            now = self._clock()
            seen = self.look(now, newest)
            if seen is None and not self.changed():
                if self.bad is not None:
                    raise self.bad
                seen = self.seen
            if seen is not None:
                return seen
            if self._missing_since is not None and now - self._missing_since >= away:
                raise self._missing()
            if now >= end:
                raise StoreError(
                    f"{self.shown}: somebody has been writing it for {within:g} s. Nothing was done; try again."
                )
            pause(0.05)

    def sync(self) -> None:
        """Put what stands there on disk, as few editors do. Raises StoreError."""
        try:
            fd = self._open()
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            sync_folder(os.path.dirname(self.path))
        except FileNotFoundError:
            pass  # an editor has just renamed it away
        except OSError as error:
            raise refusals.unwritable(self.shown, error) from None

    def _look_at_nothing(self, now: float) -> None:
        self._pending = None
        if self._missing_since is None:
            self._missing_since = now
        elif now - self._missing_since >= AWAY:
            raise self._missing()

    def _missing(self) -> TableMissing:
        return TableMissing(f"{self.shown}: there is no such file. Nothing was started; running jobs go on.")

    def _open(self) -> int:
        """A descriptor of the table as it is now, never a blocked one. Raises OSError, InputError if it is no file.

        Its folder is opened first: an NFS client asks the server about a folder that is opened, and else believes for up to a
        minute that a name still leads to the inode that it has, if that has another name (`displaced-…`).
        """
        folder, name = os.path.split(self.path)
        for attempt in range(4):
            try:
                parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    # A pipe is refused by its kind, before the open that a writer at its other end would notice.
                    if (refusal := refusals.no_file(self.shown, os.stat(name, dir_fd=parent).st_mode)) is not None:
                        raise refusal
                    return os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, dir_fd=parent)
                finally:
                    os.close(parent)
            except OSError as error:
                if error.errno != errno.ESTALE or attempt == 3:
                    raise
        raise AssertionError("not reached")

    def _stands_still(self, fd: int, identity: Identity, now: float) -> bool:
        finished = identity.size > 0 and os.pread(fd, 1, identity.size - 1) == b"\n"
        age = self._age(identity)
        if age is not None and age >= (OLD if finished else UNFINISHED):
            return True
        if self._pending is None or self._pending[0] != identity:
            self._pending = identity, now
            return False
        return now - self._pending[1] >= (TWO_LOOKS if finished else UNFINISHED)

    def _age(self, identity: Identity) -> float | None:
        """Seconds since it was written, by the clock of whoever keeps the file; None if that clock cannot be asked."""
        if self._skew is None:
            probe = os.path.join(self.own, f"{TEMP}clock-{secrets.token_hex(8)}")
            try:
                os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
                self._skew = os.stat(probe).st_mtime - time.time()
                os.unlink(probe)
            except OSError:
                return None
        return time.time() + self._skew - identity.mtime_ns / 1e9

    def _read(self, fd: int, identity: Identity) -> bytes | None:
        """All of it, or None if it changed meanwhile."""
        if identity.size > LIMIT:
            self._known = identity
            what = f"{identity.size >> 20} MiB; at most {LIMIT >> 20} MiB are read. Nothing was started."
            self.bad = InputError([Problem(self.shown, what)])
            raise self.bad
        data = content(fd, identity.size)
        if len(data) != identity.size or Identity.of(os.fstat(fd)) != identity:
            self._pending = None
            return None
        return data

    # -- writing -----------------------------------------------------------------------------------------------------

    def create(self, table: Table, mode: int = 0o666) -> Seen | None:
        """Put the first text in place. None if a file is there already. `mode` is narrowed by the umask. Raises StoreError."""
        try:
            new = self._write(table, None, mode)
            try:
                os.link(new, self.path)
                sync_folder(os.path.dirname(self.path))
                return self._settled(table, os.stat(new))
            except FileExistsError:
                return None
            finally:
                os.unlink(new)
        except OSError as error:
            raise refusals.unwritable(self.shown, error) from None

    def refuse_read_only(self) -> None:
        """Raise StoreError if the table is there and may not be written."""
        if (refusal := refusals.read_only(self.shown, self.path)) is not None and os.path.exists(self.path):
            raise refusal

    def replace(self, table: Table, expected: Seen) -> Seen | None:
        """Put `table` in place of `expected`, the version that was merged. None if that is not what stands there any more:
        look again. What is displaced is watched from now on. Raises StoreError if the disk refuses; the table is then as it was.
        """
        self.refuse_read_only()
        new = ""
        try:
            if not self._still_stands(expected):
                return None
            new = self._write(table, os.stat(self.path), 0)
            status = os.stat(new)
            if not self._still_stands(expected) or (old := self._swap(new, expected)) is None:
                return None
            new = ""
            sync_folder(os.path.dirname(self.path))
        except FileNotFoundError:
            return None  # an editor has just renamed it away
        except OSError as error:
            raise refusals.unwritable(self.shown, error) from None
        finally:
            if new:
                remove(new)
        self._displaced.add(old, expected, self._clock())
        return self._settled(table, status)

    def _settled(self, table: Table, status: os.stat_result) -> Seen:
        self._known = Identity.of(status)
        self.seen, self.bad, self._pending = Seen(table, self._known), None, None
        return self.seen

    def _identity(self) -> Identity:
        """Of what stands there now."""
        fd = self._open()
        try:
            return Identity.of(os.fstat(fd))
        finally:
            os.close(fd)

    def _still_stands(self, expected: Seen) -> bool:
        fd = self._open()
        try:
            if Identity.of(os.fstat(fd)) != expected.identity:
                return False
            return digest(content(fd, expected.identity.size)) == expected.sha256
        finally:
            os.close(fd)

    def _write(self, table: Table, like: os.stat_result | None, mode: int) -> str:
        """A synced file with this text, owner and mode like the table's, on the table's file system, under a name of our own."""
        path = os.path.join(self._beside(), f"{PREFIX}{secrets.token_hex(8)}")
        temp = os.path.join(os.path.dirname(path), f"{TEMP}{os.path.basename(path)}")
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if like else mode)
        try:
            try:
                with os.fdopen(os.dup(fd), "wb") as file:
                    file.write(table.data)
                if like is not None:
                    _make_like(fd, like)
                # The kernel's time stamps tick every few milliseconds: an editor's write in this tick must differ from ours.
                now = time.time_ns()
                os.utime(fd, ns=(now, now))
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temp, path)
        except BaseException:
            remove(temp)
            raise
        return path

    def _beside(self) -> str:
        """Where our own names are: burnish's folder, or the table's if they are on different file systems."""
        folder = os.path.dirname(self.path)
        return self.own if os.stat(self.own).st_dev == os.stat(folder).st_dev else folder

    def _swap(self, new: str, expected: Seen) -> str | None:
        """Give `new` the table's name. Returns the name that the displaced inode has now; None if it is not what was expected."""
        if self._exchanges:
            self._exchanges = exchange(new, self.path)
            if self._exchanges:
                return new
        old = os.path.join(os.path.dirname(new), f"{PREFIX}{secrets.token_hex(8)}")
        # On NFS the link waits until other machines have given back what they hold of the file, a tenth of a second or many, and
        # meanwhile somebody may have put another one in its place. From here to the rename there is no such wait.
        os.link(self.path, old)
        if Identity.of(os.stat(old)) != expected.identity or self._identity() != expected.identity:
            remove(old)
            return None
        fd = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.rename(new, self.path)
            self.buried = _lost_its_name_before(os.stat(old), os.fstat(fd))
        finally:
            os.close(fd)
        return old

    # -- what was displaced ------------------------------------------------------------------------------------------

    @property
    def watching(self) -> bool:
        """True while a displaced inode may still be written into. Whoever leaves earlier leaves it to the next `recover`."""
        return bool(self._displaced)

    @property
    def unread(self) -> bool:
        """True while what dead coordinators left may hold a save of which nothing is known yet."""
        return self._displaced.unread

    def recover(self, now: float) -> None:
        """Watch what coordinators that died have left, for `displaced`. Call once, before the first merge. Raises StoreError."""
        for folder in {self.own, os.path.dirname(self.path)}:
            self._displaced.recover(folder, now)

    def displaced(self, now: float, known: Container[str] = ()) -> Table | None:
        """A save that went into a displaced inode, to be merged like any other; None if there is none (yet, or any more).

        `known`: sha256 of texts that were rendered or merged, which are no news. Raises InputError for a save that cannot be
        read; it is kept beside burnish's other files and named.
        """
        return self._displaced.next_save(now, known)


def _lost_its_name_before(old: os.stat_result, new: os.stat_result) -> bool:
    """True if somebody else's file had taken the name of `old` before `new` took it, and so is gone.

    A rename changes the ctime of both inodes, the moved and the displaced, in one step.
    """
    return old.st_nlink == 1 and old.st_ctime_ns < new.st_ctime_ns


def _make_like(fd: int, like: os.stat_result) -> None:
    try:
        os.fchown(fd, -1 if like.st_uid == os.geteuid() else like.st_uid, like.st_gid)
    except PermissionError:
        pass  # a group that we are not in: the file is then ours, with the same mode
    os.fchmod(fd, like.st_mode & 0o7777)
