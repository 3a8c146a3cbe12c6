"""`burnish create`: a sweep becomes a table, all or nothing."""

from __future__ import annotations

import os
import secrets
import shlex
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from burnish.core import events, requirements, sweep
from burnish.core.command import arguments
from burnish.core.events import Fact
from burnish.core.state import State
from burnish.core.sweep import Grid
from burnish.errors import StoreError, UsageError, counted, printable
from burnish.garbage import unsought
from burnish.session import Say, Session, jobs
from burnish.store import refusals
from burnish.store.journal import Journal
from burnish.store.paths import Paths

SHOWN_ROWS = 20


@unsought()
def read(kind: str, source: str, max_jobs: int) -> tuple[Grid, list[str]]:
    """The jobs that a file or function asks for, and what is worth saying about them. Raises InputError or UsageError."""
    if kind == "yaml":
        from burnish.store import yaml_file

        grid = sweep.expand(yaml_file.load(source), max_jobs)
    elif kind == "wandb":
        from burnish.core import wandb
        from burnish.store import yaml_file

        grid = wandb.expand(yaml_file.load(source), max_jobs)
    elif kind == "csv":
        from burnish.store import csv_file

        grid = csv_file.load(source, max_jobs)
    else:
        from burnish.runners import creator

        grid = creator.created(source, max_jobs)
    return grid, [str(notice) for notice in grid.notices]


def rows(grid: Grid) -> Iterator[str]:
    """What `--dry_run` prints: the first rows, and how many there are."""
    for number, row in enumerate(grid.rows[:SHOWN_ROWS]):
        yield f"{number}: {_arguments(grid.columns, row)}"
    if len(grid.rows) > SHOWN_ROWS:
        yield f"... and {len(grid.rows) - SHOWN_ROWS:,} more"
    yield f"{counted(len(grid.rows), 'job')}. Nothing was written (--dry_run)."


@unsought()
def create(paths: Paths, say: Say, grid: Grid, *, append: bool, force: bool) -> list[str]:
    """Write the table and its journal; what was made, as lines. Raises UsageError if that would lose something."""
    if append:
        return _append(Session.open(paths, say), grid)
    _make_room(paths, say, force)
    session = Session.bare(paths, say)
    paths.make()
    numbered = tuple((number, *row) for number, row in enumerate(grid.rows))
    opened = events.TableOpened(secrets.token_hex(8), grid.columns, time.time())
    if not session.journal.create([opened, events.JobsAdded(grid.columns, numbered)]):
        raise UsageError(f"{paths.shown}: another burnish made this table a moment ago. Nothing was written.")
    session.settle()
    _name_never_met(session)
    count = len(grid.rows)
    lines = [f"{counted(count, 'job')} in {paths.shown}."]
    if grid.rows:
        lines.append(f"The first: {_arguments(grid.columns, grid.rows[0])}")
    return lines


def _append(session: Session, grid: Grid) -> list[str]:
    """Add the combinations that are not there yet."""
    added = sweep.Appended((), (), 0)

    def decide(state: State) -> list[Fact]:
        nonlocal added
        added = sweep.append(state.columns, (job.cells for job in state.listed()), grid)
        numbered = tuple((state.next_id + number, *row) for number, row in enumerate(added.rows))
        return [events.JobsAdded(added.columns, numbered)] if numbered else []

    session.journal.commit(decide)
    session.settle()
    _name_never_met(session)
    return [f"{len(added.rows):,} new, {added.present:,} already present."]


def _name_never_met(session: Session) -> None:
    """Say at once what would otherwise be seen when nothing starts. It is no refusal: rows may be added, and cells changed."""
    for ids, why in islice(requirements.never_met(session.state), SHOWN_ROWS):
        session.say(f"{session.paths.shown}: {jobs(ids)} not started: {why}.")


def _make_room(paths: Paths, say: Say, force: bool) -> None:
    """Put an older table out of the way, or refuse to."""
    exists = os.path.lexists(paths.db)
    if exists and not force:
        raise UsageError(
            f"{paths.shown} exists already. Nothing was written.",
            hint="--append adds combinations that are not there yet; --force replaces the table and keeps a .bak",
        )
    if exists and not paths.db.is_file():
        raise UsageError(f"{paths.shown} is not a file. Nothing was written.")
    refusals.refuse_theirs(paths.shown, str(paths.root))
    if Journal.exists(paths.root):
        _close_journal(paths, say)
    if exists:
        _keep_old(paths)


def _close_journal(paths: Paths, say: Say) -> None:
    """Close the journal of the older table and put it aside, unless somebody works on that."""
    from burnish import leftovers  # what talks to hosts takes long to import

    session = Session.bare(paths, say)
    session.journal.open()

    def close(state: State) -> list[Fact]:
        alive = session.alive()
        if alive or session.presence.others():
            what = f"{jobs(alive)} running" if alive else "a burnish run is going"
            raise UsageError(
                f"{paths.shown}: {what}. The table was not replaced.", hint="burnish cancel --all stops them"
            )
        return [events.TableClosed(session.me)]

    if session.state.closed_by is None:
        session.journal.commit(close)
    leftovers.remove(session.state, say)
    backup = paths.root.with_name(f"{paths.root.name}.{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}.bak")
    try:
        paths.root.rename(backup)
    except OSError as error:
        raise StoreError(f"{backup}: cannot be made: {refusals.why(error)}. The table was not replaced.") from None


def _keep_old(paths: Paths) -> None:
    backup = Path(f"{paths.db}.bak")
    try:
        os.replace(paths.db, backup)
    except OSError as error:
        raise StoreError(f"{backup}: cannot be made: {refusals.why(error)}. The table was not replaced.") from None


def _arguments(columns: tuple[str, ...], cells: tuple[str, ...]) -> str:
    """The arguments as they will reach the command."""
    return printable(shlex.join(arguments(columns, cells)), 2000) or "(no arguments)"
