"""The `burnish` command: its commands, and what happens to errors.

Nothing heavy is imported here, so that `burnish --help` is quick: each command imports what it needs when it runs.
"""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from typing import Any

import click

import burnish
from burnish.cli import completion, create, hosts, later, look, mistakes, options, run, steer
from burnish.errors import BurnishError, InternalError, Interrupted, UsageError, concluded, printable
from burnish.views.output import silence


class Commands(click.Group):
    """The group of all commands, listed in the order a person meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, command in self.commands.items() if not command.hidden]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            place = next((place for place, word in enumerate(typed) if word in self.commands), None)
            if place is None or not any(
                error.option_name in option.opts for option in self.commands[typed[place]].params
            ):
                raise
            moved = shlex.join(["burnish", typed[place], *typed[:place], *typed[place + 1 :]])
            raise UsageError(
                f"{error.option_name} stands before the command; options come after it.", hint=moved
            ) from None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0].replace("-", "_")
        if self.get_command(ctx, name) is None and not name.startswith("_") and not ctx.resilient_parsing:
            raise click.UsageError(mistakes.unknown_command(args[0], self.list_commands(ctx)), ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings=options.SETTINGS, invoke_without_command=True)
@click.version_option(burnish.__version__, message="burnish %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run a grid of experiments over the GPU boxes you have.

    \b
    burnish create --yaml grid.yaml                  make a table: a row per job
    burnish run --num_workers 4 --python_file train.py
    burnish status                                   what became of them
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _command in (
    create.create,
    run.run,
    look.status,
    look.view,
    look.explain,
    look.results,
    steer.edit,
    steer.reset,
    steer.cancel,
    steer.hold,
    steer.release,
    look.wait,
    hosts.hosts,
    hosts.check,
    hosts.drain,
    hosts.undrain,
    hosts.forget,
    steer.clean,
    later.command("report"),
    later.command("top"),
):
    cli.add_command(_command)
completion.attach(cli)


def main() -> None:
    """Entry point: run a command and exit with the code that docs and errors.py promise."""
    if completion.ASKED in os.environ:
        completion.answer(cli)
    code = outcome(sys.argv[1:])
    try:
        sys.stderr.flush()
    except OSError:
        silence(sys.stderr)  # or Python would end with a code of its own
    sys.exit(code)


def outcome(arguments: list[str]) -> int:
    """Run a command; its exit code. A user's mistake is a sentence on stderr, never a traceback."""
    try:
        result = cli.main(arguments, prog_name="burnish", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except InternalError as error:
        return _broke(error, str(error))
    except Interrupted as interrupted:
        say(str(interrupted))
        return interrupted.exit_code
    except BurnishError as error:
        say(f"error: {mistakes.told(error, arguments, list(cli.commands))}")
        if error.hint:
            say(f"hint: {error.hint}")
        return error.exit_code
    except click.exceptions.Abort:
        return 130
    except click.ClickException as error:
        sentence, hint = mistakes.told_of_typing(error, arguments, list(cli.commands))
        say(f"error: {sentence}")
        if hint:
            say(f"hint: {hint}")
        return error.exit_code
    except PermissionError as error:
        say(
            f"error: {concluded(f'{error.filename}: you have no permission.', mistakes.undone(arguments, list(cli.commands)))}"
        )
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more as it exits
        return 141
    except Exception as error:
        if (why := _stdout_refuses()) is not None:
            say(f"error: stdout cannot be written: {why}. What was shown is not complete.")
            return 1
        return _broke(error, f"{type(error).__name__}: {error}")


def _stdout_refuses() -> str | None:
    """Why nothing can be printed, a full disk perhaps; None if it can. What did not arrive before, Python has forgotten."""
    try:
        os.write(sys.stdout.fileno(), b"\n")
    except OSError as error:
        silence(sys.stdout)
        return error.strerror
    return None


def say(text: str) -> None:
    """Lines to stderr, control characters escaped; they are dropped where nobody can be told any more."""
    try:
        for line in text.split("\n"):
            print(printable(line, 2000), file=sys.stderr)  # noqa: T201
    except OSError:
        silence(sys.stderr)


def _broke(error: Exception, what: str) -> int:
    say(f"error: burnish broke ({what}). This is a defect in burnish; running jobs are not affected.")
    say(f"hint: please report it, with the details in {_keep(error)}")
    return 4


def _keep(error: BaseException) -> str:
    import tempfile

    with tempfile.NamedTemporaryFile("w", prefix="burnish-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
        return file.name


if __name__ == "__main__":
    main()
