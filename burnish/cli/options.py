"""Options that several commands share.

Option names are written with underscores and accept dashes too. `Context` is what every command gets: where the table is, and how
to speak.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from burnish.cli.parameters import Ids
from burnish.store.paths import Paths
from burnish.views import output

F = TypeVar("F", bound=Callable[..., Any])

SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": lambda name: name.replace("-", "_"),
    "max_content_width": 100,
}


@dataclass(frozen=True)
class Context:
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


def yes(command: F) -> F:
    """Add --yes."""
    return click.option("--yes", is_flag=True, help="Do not ask.")(command)


def job_ids(required: bool = False, help: str = "Only these jobs: 3, or 3,5-8, or all.") -> Callable[[F], F]:
    """Add --job_id, which becomes a `Selected`."""
    return click.option("--job_id", "ids", type=Ids(), required=required, metavar="IDS", help=help)
