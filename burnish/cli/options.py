"""Options that several commands share.

Option names are written with underscores and accept dashes too. `Context` is what every command gets: where the table is, and how
to speak.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from msgspec import Struct

from burnish.cli.parameters import Flag, Ids
from burnish.errors import UsageError
from burnish.store.paths import Paths
from burnish.views import output

F = TypeVar("F", bound=Callable[..., Any])


class Context(Struct, frozen=True):
    """Where the table is and where output goes."""

    paths: Paths
    out: output.Output

    @property
    def interactive(self) -> bool:
        """True if somebody is there to be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, question: str, yes: bool) -> bool:
        """Ask at a terminal; elsewhere, and with --yes, go on. The default answer is no."""
        if yes or not self.interactive:
            return True
        return click.confirm(question, default=False, err=True)


def common(command: F) -> F:
    """Add --db_file, --log_dir and --no_color, and hand the command a `Context` instead."""

    def wrapped(*args: Any, db_file: str, log_dir: str, no_color: bool, **kwargs: Any) -> Any:
        _check_here()
        as_json = bool(kwargs.get("as_json"))
        out = output.choose(sys.stdout, sys.stderr, as_json=as_json, no_color=no_color)
        return command(Context(Paths.of(db_file, log_dir), out), *args, **kwargs)

    wrapped.__doc__ = command.__doc__
    wrapped.__name__ = command.__name__
    wrapped.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in (
        click.option("--no_color", is_flag=True, help="No colour (also: NO_COLOR in the environment)."),
        click.option("--log_dir", default="burnish_log", show_default=True, metavar="DIR", help="Where logs are kept."),
        click.option("--db_file", default="burnish.db", show_default=True, metavar="FILE", help="The table."),
    ):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def _check_here() -> None:
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UsageError(
            "The current folder was deleted, and with it whatever table was there. Nothing was done.",
            hint="cd to a folder that exists",
        ) from None


def from_environment(prefix: str) -> Callable[[click.Command], click.Command]:
    """Let each option of a command stand in the environment too: `--num_jobs` as PREFIX_NUM_JOBS."""

    def named(command: click.Command) -> click.Command:
        for option in command.params:
            option.envvar = f"{prefix}_{spelt(option).lstrip('-').upper()}"
            if isinstance(option.type, click.types.BoolParamType):
                option.type = Flag()
        return command

    return named


def spelt(option: click.Parameter) -> str:
    """The name that a person knows an option by: `--job_id`."""
    return max(option.opts, key=len)


def exactly_one(verb: str, ways: Mapping[str, str | None], nothing: str, *, hint: str) -> tuple[str, str]:
    """The one of several options that is given: its parameter and its value. Raises UsageError, ending in `nothing`."""
    given = [(name, value) for name, value in ways.items() if value is not None]
    of = click.get_current_context().command.params
    names = {str(option.name): spelt(option) for option in of if option.name in ways}
    if len(given) == 1:
        name, value = given[0]
        if value:
            return name, value
        raise UsageError(f"{names[name]}{_whence(name)} is empty. {nothing}", hint=hint)
    needs = f"{verb} {'takes only' if given else 'needs'} one of {_listed(list(names.values()))}"
    found = _listed([names[name] + _whence(name) for name, _ in given]) if given else "none"
    raise UsageError(f"{needs}; given: {found}. {nothing}", hint=hint)


def _whence(parameter: str) -> str:
    """` ($BURNISH_RUN_FUNC)` for an option that stands in the environment."""
    context = click.get_current_context()
    if context.get_parameter_source(parameter) is not ParameterSource.ENVIRONMENT:
        return ""
    return next(f" (${option.envvar})" for option in context.command.params if option.name == parameter)


def _listed(names: Sequence[str]) -> str:
    """`--yaml`, `--yaml and --csv`, `--yaml, --csv and --func`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def yes(command: F) -> F:
    """Add --yes."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(command)


def job_ids(required: bool = False) -> Callable[[F], F]:
    """Add --job_id, which becomes a set of ids, or None for all."""
    help = f"{'Which jobs' if required else 'Only these jobs'}: 3, or 3,5-8, or all.{'  [required]' * required}"
    return click.option("--job_id", "ids", type=Ids(), callback=_typed if required else None, metavar="IDS", help=help)


def _typed(context: click.Context, option: click.Parameter, value: object) -> object:
    """`required` of click before 8.2 takes the None that `all` is for a missing value."""
    if context.get_parameter_source(str(option.name)) is ParameterSource.DEFAULT:
        raise click.MissingParameter(ctx=context, param=option)
    return value
