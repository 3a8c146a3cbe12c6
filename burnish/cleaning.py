"""`burnish clean`: remove logs, journal and table, in an order that a crash anywhere leaves tidy.

The journal is closed by a fact first, so that a coordinator which is just coming stops before it writes; then it is renamed away,
and only what was renamed is deleted. The hosts forget their tombstones last.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.core import events
from burnish.core.jobs import AttemptId, Job
from burnish.core.state import State
from burnish.errors import StoreError, UsageError
from burnish.session import Session, jobs


@dataclass(frozen=True)
class Plan:
    """What is about to go, as a question, and which files."""

    question: str
    logs: tuple[Path, ...]
    only_logs: bool
    keep_db: bool


def plan(session: Session, *, keep_db: bool, older_than: float | None, unreachable: Sequence[AttemptId]) -> Plan:
    """What would be removed. Raises UsageError while jobs run, but for those on hosts that could not be reached."""
    alive = [attempt.job for attempt in session.state.open if attempt not in unreachable]
    if alive and older_than is None:
        raise UsageError(
            f"{jobs(alive)} running. Nothing was removed.",
            hint="burnish clean --force cancels them first, or wait: burnish wait",
        )
    logs = tuple(path for path in _logs(session) if older_than is None or _age(path) > older_than)
    if older_than is not None:
        return Plan(f"Remove {len(logs)} log files of jobs that ended long ago?", logs, True, True)
    what = f"{len(logs)} log files and the journal" + ("" if keep_db else f" and {session.paths.shown}")
    return Plan(f"Remove {what} ({sum(1 for _ in session.state.listed())} jobs)?", logs, False, keep_db)


def carry_out(session: Session, plan: Plan) -> str:
    """Remove it; what was done, as a sentence."""
    try:
        if not plan.only_logs:
            _remove_journal(session, plan.keep_db)
        for path in plan.logs:
            path.unlink(missing_ok=True)
        for folder in (session.paths.log_dir, session.paths.log_dir.parent):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise StoreError(
            f"{error.filename}: {error.strerror}. The rest is still there; burnish clean goes on."
        ) from None
    kept = "The table is kept." if plan.keep_db else f"{session.paths.shown} is gone."
    return f"Removed {len(plan.logs)} log files. {kept}"


def _remove_journal(session: Session, keep_db: bool) -> None:
    session.forget_on_hosts()
    session.journal.commit(lambda state: [events.TableClosed(session.me)])
    away = session.paths.root.with_name(f".gone-{secrets.token_hex(4)}")
    session.paths.root.rename(away)
    if not keep_db:
        session.paths.db.unlink(missing_ok=True)
    shutil.rmtree(away, ignore_errors=True)
    home = session.paths.root.parent
    if home.is_dir() and not any(home.iterdir()):
        home.rmdir()


def _logs(session: Session) -> list[Path]:
    """The log files of this table's closed attempts that are there."""
    closed = (attempt for job in _all_jobs(session.state) for attempt in job.attempts if not attempt.open)
    paths = (session.paths.log(attempt.log, stream) for attempt in closed for stream in ("out", "err"))
    return [path for path in paths if path.exists()]


def _all_jobs(state: State) -> list[Job]:
    return list(state.jobs.values())


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime
