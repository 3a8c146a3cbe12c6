"""Where burnish keeps things on the coordinator's disk: beside the table, in `.burnish/<table name>/`.

The table's path is resolved through symlinks first, so that two names of one table have one journal. Log files are named by
the start of their attempt and the job, `<log_dir>/<table stem>/20260115-093000_job_12.log` and `.err`.

Where all may make files, as in /tmp or many a /scratch, somebody else may have made these folders first. Whoever owns the
journal's could write starts into it; whoever owns that of the logs could lead them into other files. Such folders are not used.
"""

from __future__ import annotations

import os
import stat
import time
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from burnish.errors import StoreError, UsageError


class Paths(Struct, frozen=True):
    """All paths of one table. `shown` is the table as the user wrote it, for messages."""

    db: Path
    shown: str
    root: Path
    log_dir: Path

    @classmethod
    def of(cls, db_file: str, log_dir: str) -> Paths:
        """Resolve what the user typed. Raises UsageError for a symlink loop or a name that cannot be a table, and StoreError for
        folders of burnish's own that somebody else put there."""
        given = Path(db_file)
        if given.name in ("", ".", ".."):
            raise UsageError(f"--db_file {db_file}: expected the name of a file, such as burnish.db. Nothing was done.")
        try:
            db = given.resolve()
            if os.path.islink(db):  # from Python 3.13 on, a loop stays what it is
                raise RuntimeError
            logs = Path(log_dir).absolute() / (given.stem or given.name)
        except (OSError, RuntimeError) as error:
            what = getattr(error, "strerror", None) or "a symlink that leads to itself"
            raise UsageError(f"--db_file {db_file}: {what}. Nothing was done.") from None
        made = cls(db, db_file, db.parent / ".burnish" / db.name, logs)
        for folder in (made.root.parent, made.root, logs.parent, logs):
            if (whose := planted(folder)) is not None:
                raise StoreError(
                    f"{folder}: it belongs to {_name(whose)}, in a folder where everybody may make files; nothing in it is "
                    "trusted. Nothing was done.",
                    hint="work in a folder of your own, or have it removed"
                    + (" (or name another with --log_dir)" if folder in (logs, logs.parent) else ""),
                )
        return made

    @property
    def lock(self) -> Path:
        """Taken while the table is rewritten. Correctness never rests on it."""
        return self.root / "lock"

    @property
    def bases(self) -> Path:
        """Texts that an editor's buffer may hold."""
        return self.root / "bases"

    @property
    def coordinators(self) -> Path:
        """A file per living `burnish run`, held by flock."""
        return self.root / "coordinators"

    @property
    def unplaced(self) -> Path:
        """What runs have no place for, a file per run."""
        return self.root / "unplaced"

    @property
    def hook_log(self) -> Path:
        """What the command of `--on_event` wrote."""
        return self.log_dir / "on_event.log"

    def run_log(self, at: float, pid: int) -> Path:
        """What a run without a terminal says."""
        return self.log_dir / f"{_stamp(int(at))}_run_{pid}.log"

    def run_logs(self) -> list[Path]:
        """Those of all runs, that of one that is going included."""
        return sorted(self.log_dir.glob("*_run_*.log"))

    def log(self, stem: str, stream: str) -> Path:
        """The log file of an attempt: stream is `out` (.log) or `err` (.err)."""
        return Path(self.log_name(stem, stream))

    def log_name(self, stem: str, stream: str) -> str:
        """The same as a text."""
        return f"{self.log_dir}/{stem}{'.log' if stream == 'out' else '.err'}"

    def free_log_stem(self, job: int, at: float, taken: set[str]) -> str:
        """A stem that no attempt and no file has yet: the time of `at`, a second later while it is taken."""
        while True:
            stem = f"{_stamp(int(at))}_job_{job}"
            if stem not in taken and not os.path.lexists(self.log_name(stem, "out")):
                return stem
            at += 1

    def make(self) -> None:
        """Make burnish's own folders, closed to others. Raises StoreError with the reason."""
        try:
            # It holds a folder for each table. Colleagues may have theirs in it, if the umask says so; never everybody.
            self.root.parent.mkdir(mode=0o775, parents=True, exist_ok=True)
            for folder in (self.root, self.bases, self.coordinators):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{self.root}: burnish keeps its journal here, and this folder cannot be made ({error.strerror}). "
                "Nothing was done."
            ) from None

    def make_log_dir(self) -> None:
        """Make the folder for logs. Raises StoreError with the reason."""
        try:
            if not self.log_dir.exists():
                self.log_dir.mkdir(parents=True, exist_ok=True)
                for folder in (self.log_dir.parent, self.log_dir.parent.parent):
                    sync_folder(folder)
        except OSError as error:
            raise StoreError(f"{self.log_dir}: cannot be made ({error.strerror}). Nothing was started.") from None


@lru_cache(maxsize=4)
def _stamp(at: int) -> str:
    """A second since 1970 as the names of logs begin."""
    return time.strftime("%Y%m%d-%H%M%S", time.localtime(at))


def planted(path: str | Path) -> int | None:
    """Who put `path` where everybody may make files, if it was neither this user nor the owner of the folder that it is in.

    That is what the kernel asks before it follows a symlink there (protected_symlinks). Who no user here is (an NFS server's word
    for somebody whom it does not know) may be this one.
    """
    try:
        found, around = os.lstat(path), os.stat(os.path.dirname(path))
    except OSError:
        return None
    own = (os.geteuid(), around.st_uid, _nobody())
    return found.st_uid if around.st_mode & stat.S_ISVTX and found.st_uid not in own else None


def _nobody() -> int:
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text())
    except (OSError, ValueError):
        return 65534


def _name(user: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"


def sync_folder(folder: str | Path) -> None:
    """Put the names in `folder` on disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
