"""What is promised for a later version: who types it is told so, and not that there is no such thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import click

from burnish.cli import options
from burnish.cli.commands import SETTINGS
from burnish.errors import UsageError


def option(name: str, **settings: Any) -> Callable[[options.F], options.F]:
    """An option that --help does not show yet."""

    def refuse(ctx: click.Context, param: click.Parameter, value: object) -> None:
        if ctx.get_parameter_source(str(param.name)) is not click.core.ParameterSource.DEFAULT:
            _refuse(f"burnish {ctx.info_name} {name}")

    return click.option(name, **settings, hidden=True, expose_value=False, is_eager=True, callback=refuse)


def command(name: str) -> click.Command:
    """A command that --help does not show yet."""
    settings = {**SETTINGS, "ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(
        name, settings, callback=lambda: _refuse(f"burnish {name}"), add_help_option=False, hidden=True
    )


def _refuse(what: str) -> NoReturn:
    raise UsageError(f"{what} comes with a later version of burnish. Nothing was done.")
