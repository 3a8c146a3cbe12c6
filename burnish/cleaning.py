"""`burnish clean`: remove logs, journal and table, in an order that a crash anywhere leaves tidy.

The journal is closed by a fact first, so that a coordinator which is just coming stops before it writes. Then the hosts forget
their tombstones and the logs go, while the journal still tells which; then it is renamed away, and only what was renamed is
deleted. Until the rename a second `clean` repeats all of it; what a crash left after that, it sweeps up.

A table that is kept is all that will be known: it is not closed before it says what the journal says.
"""

from __future__ import annotations

import glob
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from burnish import leftovers
from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import AttemptId
from burnish.core.state import State
from burnish.errors import StoreError, TableClosed, UsageError, counted
from burnish.session import Say, Session, jobs
from burnish.store import refusals
from burnish.store.paths import Paths

AWAY = ".gone-"
PATIENCE = 10.0  # s for others to stop changing a table that is to be kept


class Plan(Struct, frozen=True):
    """What is about to go, as a question, and which files. `unreachable`: attempts that are given up with it."""

    question: str
    logs: tuple[Path, ...]
    only_logs: bool
    keep_db: bool
    unreachable: Sequence[AttemptId]


def opened(paths: Paths, say: Say) -> Session:
    """The table to clean, be it one that an interrupted `clean` has closed. Raises UsageError if there is none."""
    if paths.root.parent.is_dir():
        _sweep(paths)
    return Session.open(paths, say, closed_too=True)


def plan(session: Session, *, keep_db: bool, older_than: float | None, unreachable: Sequence[AttemptId]) -> Plan:
    """What would be removed. Raises UsageError while jobs run, but for those on hosts that could not be reached."""
    if older_than is None:
        _refuse_alive(session.state, unreachable)
    logs = tuple(path for path in _logs(session) if older_than is None or _age(path) > older_than)
    if older_than is not None:
        return Plan(
            f"Remove {counted(len(logs), 'log file')} of jobs that ended long ago?", logs, True, True, unreachable
        )
    what = f"{counted(len(logs), 'log file')} and the journal" + ("" if keep_db else f" and {session.paths.shown}")
    return Plan(
        f"Remove {what} ({counted(sum(1 for _ in session.state.listed()), 'job')})?", logs, False, keep_db, unreachable
    )


def carry_out(session: Session, plan: Plan) -> str:
    """Remove it; what was done, as a sentence. Raises StoreError for a table that is to be kept and cannot be written."""
    try:
        if not plan.only_logs:
            _close(session, plan.unreachable, plan.keep_db)
        for path in plan.logs:
            path.unlink(missing_ok=True)
        for folder in (session.paths.log_dir, session.paths.log_dir.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if not plan.only_logs:
            _remove_journal(session.paths, plan.keep_db)
    except OSError as error:
        raise StoreError(
            f"{error.filename}: {refusals.why(error)}. The rest is still there; burnish clean goes on."
        ) from None
    kept = "The table is kept." if plan.keep_db else f"{session.paths.shown} is gone."
    return f"Removed {counted(len(plan.logs), 'log file')}. {kept}"


def _refuse_alive(state: State, unreachable: Sequence[AttemptId]) -> None:
    alive = [attempt.job for attempt in state.open if attempt not in unreachable]
    if alive and state.closed_by is None:
        raise UsageError(
            f"{jobs(alive)} running. Nothing was removed.",
            hint="burnish clean --force cancels them first, or wait: burnish wait",
        )


def _close(session: Session, unreachable: Sequence[AttemptId], keep_db: bool) -> None:
    """Nothing is committed after this; a job that was started since the question was asked keeps it from happening."""
    shown = 0

    def decide(state: State) -> list[Fact]:
        _refuse_alive(state, unreachable)
        return [] if keep_db and session.journal.number != shown else [events.TableClosed(session.me)]

    end = time.monotonic() + PATIENCE
    while session.state.closed_by is None:
        if keep_db:
            _write_table(session)
            shown = session.journal.number
        if not session.journal.commit(decide) and time.monotonic() > end:
            raise StoreError(
                f"{session.paths.shown}: another run is always just changing it. Nothing was removed; try again."
            )
    leftovers.remove(session.state, session.say)


def _write_table(session: Session) -> None:
    """Let the table say what the journal says, also where a run was killed before it did. Raises StoreError."""
    session.sync()
    session.projection.mark(session.state.take_touched())
    try:
        for notice in session.projection.finish():
            session.say(notice)
        written = session.projection.readable and session.projection.render()
    except TableClosed:
        raise
    except StoreError as error:
        raise StoreError(f"{error} Nothing was removed: what happened would be in no table.") from None
    if not written:
        what = "somebody is always just saving it" if session.projection.readable else "it cannot be read"
        raise StoreError(
            f"{session.paths.shown}: {what}, so what happened cannot be written there. Nothing was removed."
        )


def _remove_journal(paths: Paths, keep_db: bool) -> None:
    away = paths.root.with_name(f"{AWAY}{paths.root.name}-{secrets.token_hex(4)}")
    paths.root.rename(away)
    if not keep_db:
        paths.db.unlink(missing_ok=True)
    _sweep(paths)


def _sweep(paths: Paths) -> None:
    """Delete what was renamed away, now or by a `clean` that was interrupted, and burnish's folder if nothing is left in it."""
    home = paths.root.parent
    for away in home.glob(f"{AWAY}{glob.escape(paths.root.name)}-*"):
        shutil.rmtree(away, ignore_errors=True)
    if not any(home.iterdir()):
        home.rmdir()


def _logs(session: Session) -> list[Path]:
    """The log files of this table that are there: of closed attempts, of runs without a terminal, of `--on_event`."""
    closed = (attempt for job in session.state.jobs.values() for attempt in job.attempts if not attempt.open)
    paths = (session.paths.log(attempt.log, stream) for attempt in closed for stream in ("out", "err"))
    return [path for path in (*paths, *session.paths.run_logs(), session.paths.hook_log) if path.exists()]


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime
