"""The `burnish` command: what happens to what is typed, to errors, and which exit code it ends with.

Nothing heavy is imported here, so that `burnish --help` is quick: each command imports what it needs when it runs.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

import click

import burnish
from burnish.cli.commands import NAMES, SETTINGS, Commands
from burnish.errors import BurnishError, InternalError, Interrupted, concluded, printable

COMPLETES = "_BURNISH_COMPLETE"  # the variable that the shells' functions set


@click.group(cls=Commands, context_settings=SETTINGS, invoke_without_command=True)
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


def main() -> None:
    """Entry point: run a command and exit with the code that docs and errors.py promise."""
    if COMPLETES in os.environ:
        from burnish.cli import completion

        completion.answer(cli)
    code = outcome(sys.argv[1:])
    try:
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)  # or Python would end with a code of its own
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
        from burnish.cli import mistakes

        say(f"error: {mistakes.told(error, arguments, NAMES)}")
        if error.hint:
            say(f"hint: {error.hint}")
        return error.exit_code
    except click.exceptions.Abort:
        say("")  # what is printed next does not stand behind ^C
        return 130
    except click.ClickException as error:
        from burnish.cli import mistakes

        sentence, hint = mistakes.told_of_typing(error, arguments, NAMES)
        say(f"error: {sentence}")
        if hint:
            say(f"hint: {hint}")
        return error.exit_code
    except PermissionError as error:
        from burnish.cli import mistakes

        undone = mistakes.undone(arguments, NAMES)
        say(f"error: {concluded(f'{error.filename}: you have no permission.', undone)}")
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
        _silence(sys.stdout)
        return error.strerror
    return None


def say(text: str) -> None:
    """Lines to stderr, control characters escaped; they are dropped where nobody can be told any more."""
    try:
        for line in text.split("\n"):
            print(printable(line, 2000), file=sys.stderr)  # noqa: T201
    except OSError:
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    from burnish.views.output import silence

    silence(stream)


def _broke(error: Exception, what: str) -> int:
    say(f"error: burnish broke ({what}). This is a defect in burnish; running jobs are not affected.")
    say(f"hint: please report it, with the details in {_keep(error)}")
    return 4


def _keep(error: BaseException) -> str:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="burnish-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
        return file.name


if __name__ == "__main__":
    main()
