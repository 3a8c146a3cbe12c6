"""What a user got wrong, as a sentence: what was typed in burnish's words, and what the command has not done because of it."""

from __future__ import annotations

from collections.abc import Sequence

import click

from burnish.cli import misplaced
from burnish.core.columns import did_you_mean
from burnish.errors import BurnishError, InputError, UsageError, concluded

# What a command has not done when it ends with a user's mistake.
_UNDONE = {
    "create": "Nothing was written.",
    "run": "Nothing was started.",
    "clean": "Nothing was removed.",
    "cancel": "Nothing was cancelled.",
    "wait": "Nothing was waited for.",
    **dict.fromkeys(("hosts", "check"), "Nobody was asked."),
    **dict.fromkeys(("status", "view", "explain", "results"), "Nothing was shown."),
    **dict.fromkeys(("edit", "reset", "hold", "release", "drain", "undrain", "forget"), "Nothing was changed."),
}
# What other tools call it.
_ELSEWHERE = {
    "kill": "cancel",
    "stop": "cancel",
    "retry": "reset",
    "rerun": "reset",
    "log": "view",
    "logs": "view",
    "ls": "status",
    "list": "status",
    "queue": "status",
    "init": "create",
    "start": "run",
}


def told(error: BurnishError, typed: Sequence[str], names: Sequence[str]) -> str:
    """The sentences of `error`, and what the command in `typed` did not do. `names`: all commands."""
    mistake = isinstance(error, (UsageError, InputError))
    return concluded(str(error), undone(typed, names)) if mistake else str(error)


def told_of_typing(error: click.ClickException, typed: Sequence[str], names: Sequence[str]) -> tuple[str, str | None]:
    """The sentence for what click refused, and a hint. Its own words differ between its versions."""
    context: click.Context | None = getattr(error, "ctx", None)
    command = None if context is None else context.command
    path = "" if context is None else context.command_path
    hint = f"{path} --help" if context is not None else None
    if isinstance(error, click.NoSuchOption):
        known = [] if command is None else [max(option.opts, key=len) for option in command.params if option.opts]
        sentence = f"There is no option {error.option_name}.{did_you_mean(error.option_name, known)}"
    elif isinstance(error, click.BadOptionUsage):
        sentence = f"{error.option_name} needs a value."
    elif isinstance(error, click.MissingParameter) and error.param is not None:
        sentence = f"{_spelt(error.param)} is missing."
        if error.param.name == "ids" and (
            ids := misplaced.ids_of([word for word in typed[1:] if not word.startswith("-")])
        ):
            hint = f"burnish {typed[0]} --job_id {ids}"
    else:
        sentence = error.format_message()
    extra = "extra argument" in sentence
    if extra and command is not None and (meant := _as_meant(command, sentence, typed)):
        hint = meant
    elif (extra or isinstance(error, click.NoSuchOption)) and "--command" in typed:
        hint = "a command is one argument, in quotes: burnish run --command 'python train.py --lr {--lr}'"
    elif extra:
        hint = f"text with spaces needs quotes, and a pattern such as *.csv stands for several files; {hint}"
    return concluded(sentence, undone(typed, names)), hint


def _as_meant(command: click.Command, sentence: str, typed: Sequence[str]) -> str:
    """What to type instead of a command in which some words, those of click's `sentence`, have no place."""
    options = {option for param in command.params for option in param.opts}
    words = sentence.partition("(")[2].removesuffix(".").removesuffix(")")
    takes_job = any(isinstance(param, click.Argument) and param.name == "job" for param in command.params)
    return misplaced.as_meant(str(command.name), options, takes_job, words, typed)


def unknown_command(word: str, names: Sequence[str]) -> str:
    """The sentence for a command that there is not, with the nearest one."""
    meant = _ELSEWHERE.get(word)
    near = f" Did you mean {meant}?" if meant else did_you_mean(word, names)
    return f'There is no command "{word}".{near or " There are: " + ", ".join(names) + "."}'


def undone(typed: Sequence[str], names: Sequence[str]) -> str:
    """`Nothing was started.` for the command that was typed; empty where none was."""
    words = (word.replace("-", "_") for word in typed)
    return _UNDONE.get(next((word for word in words if word in names), ""), "")


def _spelt(param: click.Parameter) -> str:
    """`HOST` for an argument, `--job_id IDS` for an option."""
    if param.param_type_name == "argument":
        return str(param.name).upper()
    return f"{max(param.opts, key=len)} {getattr(param, 'metavar', None) or ''}".rstrip()
