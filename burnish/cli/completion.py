"""Which words complete which parameter. The shell asks by running burnish with `_BURNISH_COMPLETE` set (click's protocol)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from burnish.cli.commands import LISTED, Commands
from burnish.cli.parameters import Ids, State
from burnish.core.jobs import Word

# The states of jobs about which a command can do something; of others, all.
STATES = {
    "cancel": (Word.NOT_RUNNING, Word.RUNNING),
    "hold": (Word.NOT_RUNNING, Word.ERROR),
    "release": (Word.HOLD,),
    "reset": (Word.COMPLETE, Word.ERROR, Word.HOLD, Word.RUNNING),
}

Complete = Callable[[click.Context, str], list[CompletionItem]]


def answer(group: Commands) -> NoReturn:
    """Answer the shell, and end. Nothing else belongs on the terminal of somebody who is in the middle of typing."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        _attach(group)
        group.main(prog_name="burnish")
    except Exception:
        sys.exit(1)


def _attach(group: Commands) -> None:
    """Let each parameter of each command be completed by what it is."""
    for command in map(group.named, LISTED):
        for parameter in command.params:
            if (complete := _of(parameter)) is not None:
                parameter.shell_complete = complete  # type: ignore[method-assign, assignment]


def _of(parameter: click.Parameter) -> Complete | None:
    if isinstance(parameter.type, State):
        return _words
    metavar = (parameter.metavar or "").strip("[]")
    if isinstance(parameter.type, Ids) or parameter.name in ("job", "job_id"):
        return _ids
    if metavar in ("FILE", "DIR"):
        kind = metavar.lower()
        return lambda context, typed: [CompletionItem(typed, type=kind)]
    if parameter.name in ("host", "limit"):
        return _groups if parameter.name == "limit" else _hosts
    return None


def _ids(context: click.Context, typed: str) -> list[CompletionItem]:
    from burnish import completing

    return _items(completing.ids(_table(context), typed, STATES.get(context.info_name or "", tuple(Word))))


def _words(context: click.Context, typed: str) -> list[CompletionItem]:
    return [CompletionItem(word.value) for word in Word if word.value.startswith(typed.upper())]


def _hosts(context: click.Context, typed: str) -> list[CompletionItem]:
    from burnish import completing

    return _items(completing.hosts(context.params.get("inventory"), typed, groups=False))


def _groups(context: click.Context, typed: str) -> list[CompletionItem]:
    from burnish import completing

    inventory = context.params.get("hosts") or context.params.get("inventory")
    return _items(completing.hosts(inventory, typed, groups=True))


def _table(context: click.Context) -> Path:
    return Path(context.params.get("db_file") or "burnish.db")


def _items(found: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    return [CompletionItem(word, help=what) if what else CompletionItem(word) for word, what in found]
