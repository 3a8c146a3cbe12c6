"""The parameter types of this command line: from what was typed to a value, or a sentence that says what was expected.

click's own sentences name no remedy ("is not a valid integer range"); and a value that cannot be read must never become a
default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.core import ParameterSource

from burnish.core import canary, durations, ids, share
from burnish.core.jobs import Word
from burnish.errors import UsageError, printable

if TYPE_CHECKING:
    _Type = click.ParamType[Any]
else:
    _Type = click.ParamType  # generic only in later click than we need

LONGEST_NUMBER = 20  # digits; Python refuses to read thousands of them
# What a flag may be in the environment.
NO = ("", "0", "false", "f", "no", "n", "off")
YES = ("1", "true", "t", "yes", "y", "on")


def refuse(param: click.Parameter | None, ctx: click.Context | None, value: str, expected: str) -> NoReturn:
    """Raise UsageError: which option, what was typed, what was expected."""
    raise UsageError(f'{_named(param, ctx)} "{printable(value)}": expected {expected}. Nothing was done.')


def _named(param: click.Parameter | None, ctx: click.Context | None) -> str:
    """Where a value was typed: `--job_id`, `$BURNISH_RUN_JOB_ID`."""
    if param is None or ctx is None or param.param_type_name != "option":
        return "the argument"
    return f"${param.envvar}" if _from_environment(param, ctx) else max(param.opts, key=len)


def _from_environment(param: click.Parameter, ctx: click.Context) -> bool:
    return ctx.get_parameter_source(str(param.name)) is ParameterSource.ENVIRONMENT


class Ids(_Type):
    """`3`, `3,5-8` -> a frozenset of ids; `all` -> None."""

    name = "ids"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if not isinstance(value, str) else ids.parse_ids(value, _named(param, ctx))


class JobOrJobs(Ids):
    """`3`, and for a command that can show several `3,5-8` or `all`, as `Ids`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except UsageError:
            refuse(param, ctx, value, "the number of a job, such as 3 (with --errors also 3,5-8, or all)")


class OneJob(_Type):
    """The number of a job, however large: whether there is such a job, the table says."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        if not ids.is_number(value):
            refuse(param, ctx, value, "the number of a job, such as 3")
        return int(value)


class Parsed(_Type):
    """What `parse` reads from a text; None from it means that something else was `expected`."""

    def __init__(self, name: str, parse: Callable[[str], Any], expected: str) -> None:
        self.name = name
        self.parse = parse
        self.expected = expected

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        read = self.parse(value)
        if read is None:
            refuse(param, ctx, value, self.expected)
        return read


DURATION = Parsed("duration", durations.parse, durations.EXPECTED)  # `90`, `90s`, `10m`, `2h`, `3d` -> seconds
SHARE = Parsed("share", share.parse, share.EXPECTED)  # `5` or `10%` -> `core.share.Share`


class CanaryType(_Type):
    """`30m`, `hosts`, `hosts,30m` -> `core.canary.Canary`. In the environment, "1" or "true" do as for a flag, and "0" is no."""

    name = "canary"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        word = value.strip().lower()
        if ctx is not None and param is not None and _from_environment(param, ctx) and word in (*NO, *YES):
            return None if word in NO else canary.Canary()
        if (read := canary.parse(value)) is None:
            refuse(param, ctx, value, canary.EXPECTED)
        return read


class Flag(click.types.BoolParamType):
    """A flag that may stand in the environment: `1` or `0`, or such a word. By what it derives from click knows it for a flag."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        if not isinstance(value, str):
            return bool(value)
        word = value.strip().lower()
        if word not in (*NO, *YES):
            refuse(param, ctx, value, "1 or 0 (or true or false, yes or no, on or off)")
        return word in YES


class Whole(_Type):
    """A whole number, `least` or more, `most` at most."""

    name = "number"

    def __init__(self, least: int = 0, most: int | None = None) -> None:
        self.least = least
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        number = int(value) if value.isascii() and value.isdigit() and len(value) < LONGEST_NUMBER else -1
        if number < self.least or (self.most is not None and number > self.most):
            upwards = "or more" if self.most is None else f"to {self.most}"
            if self.most is None and len(value) >= LONGEST_NUMBER:
                upwards += f", of fewer than {LONGEST_NUMBER} digits"
            refuse(param, ctx, value, f"a whole number, {self.least} {upwards}")
        return number


class State(_Type):
    """A word of the STATE column, in any case, with - or _ -> `Word`."""

    name = "state"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Word):
            return value
        word = value.upper().replace("-", "_")
        if word not in Word.__members__:
            refuse(param, ctx, value, f"one of {', '.join(Word.__members__)} (for several, give it several times)")
        return Word(word)
