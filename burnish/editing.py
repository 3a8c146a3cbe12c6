"""`burnish edit`: the table in the user's own editor, looked over before it is taken, merged with what happened meanwhile.

The editor gets a copy, so that nothing half-written is read and the base of the merge is known for certain. Whoever typed
something loses it only by saying so: a text that is not taken stays where it is, and that is said.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from burnish.core import edited
from burnish.core.bases import Base
from burnish.core.spoilt import told
from burnish.core.table import Table, parse
from burnish.errors import BurnishError, InputError, Problem, StoreError, UsageError, printable
from burnish.session import Session

KNOWN = ("sensible-editor", "vim", "nano", "vi")
TAKE_A_LINE = {"vi", "vim", "nvim", "nano", "emacs", "joe", "kak", "micro", "sensible-editor"}  # as `+9`
AGAIN, SAVE, QUIT = "edit", "save", "quit"

Ask = Callable[[Sequence[str]], str]  # which of these answers? The first is the default


def edit(session: Session, ask: Ask | None) -> None:
    """Let the user edit the table, and say what that came to. `ask`: None where nobody can be asked.

    Raises UsageError for an editor that cannot be started or failed, InputError for a text that cannot be taken.
    """
    opened = session.projection.opened()
    if opened is None:
        raise UsageError(
            f"{session.paths.shown} cannot be read as a table, so an edit of it could not be told from what burnish wrote. "
            "Nothing was changed.",
            hint="mend the file itself in an editor",
        )
    command = _editor()
    with _copy(session, opened.table) as path:
        made = _made(session, command, path, opened, ask)
        if made is None:
            session.say("Nothing was changed.")
        else:
            _take(session, opened, made)


def _take(session: Session, opened: Base, made: Table) -> None:
    """Raises _Quit for a text of which nothing is taken."""
    before = session.state.columns
    merged = session.projection.take_edit(opened, made)
    for notice in (*merged.notices, *told(made, session.state.jobs, session.state.columns)):
        session.say(notice)
    if merged.refused:
        raise _Quit
    came_to = edited.told(merged.facts, before)
    session.say(f"{session.paths.shown}: {came_to}." if came_to else "No job was changed.")
    session.settle()


class _Quit(Exception):
    """A text is given up, by the user or because it cannot be merged."""


@contextmanager
def _copy(session: Session, table: Table) -> Iterator[Path]:
    """A copy to edit, in a folder of its own. What was typed and not taken stays there, and is named."""
    folder = Path(tempfile.mkdtemp(prefix="burnish-edit-"))
    path = folder / session.paths.db.name
    path.write_bytes(table.data)
    try:
        yield path
    except _Quit:
        session.say(f"Nothing was changed. What you typed is kept in {path}")
    except BurnishError as error:
        if path.exists() and path.read_bytes() != table.data:
            error.hint = f"what you typed is kept in {path}"
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _made(session: Session, command: Sequence[str], path: Path, opened: Base, ask: Ask | None) -> Table | None:
    """What the user made of the copy: a table that may be taken, or None if they changed nothing. Raises _Quit."""
    place: Sequence[str] = ()
    while True:
        _open_editor(command, place, path)
        data = _saved(path)
        if data == opened.table.data:
            return None
        table, problems = _looked_over(data, opened, session.paths.shown)
        if table is not None and not problems:
            return table
        refusal = InputError(problems)
        if ask is None:
            raise InputError([*problems, Problem(session.paths.shown, "nothing was changed.")])
        session.say(str(refusal))
        answer = ask((AGAIN, QUIT) if table is None else (AGAIN, QUIT, SAVE))
        if answer == SAVE and table is not None:
            return table
        if answer == QUIT:
            raise _Quit
        place = _place(command, problems[0])


def _looked_over(data: bytes, opened: Base, shown: str) -> tuple[Table | None, Sequence[Problem]]:
    """(the table that was typed, None if it cannot be read at all; what is wrong with it)."""
    try:
        table = parse(data, shown)
    except InputError as error:
        return None, error.problems
    return table, edited.faults(opened.table, table)


def _saved(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path}: what the editor saved cannot be read ({error.strerror}). Nothing was changed."
        ) from None


def _editor() -> Sequence[str]:
    """The command of the user's editor, as git finds it. Raises UsageError if there is none."""
    for variable in ("VISUAL", "EDITOR"):
        if chosen := os.environ.get(variable, "").strip():
            try:
                return shlex.split(chosen)
            except ValueError as error:
                raise UsageError(f"${variable} {printable(chosen)}: {error}. Nothing was changed.") from None
    there = next((name for name in KNOWN if shutil.which(name)), None)
    if there is None or not sys.stdin.isatty():
        why = "no editor is set" if there is None else "there is no terminal to open one on, and none is set"
        raise UsageError(f"burnish edit needs an editor: {why}. Nothing was changed.", hint="export EDITOR=vim")
    return [there]


def _place(command: Sequence[str], problem: Problem) -> Sequence[str]:
    """What lets the editor open the file at the line of a problem, if it is known to understand that."""
    line = problem.where.rpartition(":")[2]
    return [f"+{line}"] if os.path.basename(command[0]) in TAKE_A_LINE and line.isdigit() else []


def _open_editor(command: Sequence[str], place: Sequence[str], path: Path) -> None:
    """Wait for the editor to end. Ctrl-C is its own. Raises UsageError if it cannot be started, or failed."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)  # a handler, unlike SIG_IGN, is not inherited
    try:
        code = subprocess.run([*command, *place, str(path)], check=False).returncode
    except OSError as error:
        raise UsageError(
            f"The editor {printable(command[0])} cannot be started: {error.strerror}. Nothing was changed.",
            hint="export EDITOR=vim",
        ) from None
    finally:
        signal.signal(signal.SIGINT, before)
    if code:
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise UsageError(f"The editor {printable(command[0])} ended with {how}. Nothing was changed.")
