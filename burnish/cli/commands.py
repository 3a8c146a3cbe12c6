"""The commands by name. A command's module is imported when the command is asked for, so that each pays for itself alone.

`burnish --help` needs no more than their names and a sentence about each, so those stand here as well;
tests/unit/test_commands.py holds them to what the commands say of themselves.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from burnish.errors import UsageError

SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": lambda name: name.replace("-", "_"),
    "max_content_width": 100,
}

# Command -> the module of burnish.cli that has it, and what it does; in the order a person meets them.
LISTED = {
    "create": ("create", "Make a table: a row per job."),
    "run": ("run", "Run every NOT_RUNNING job until none is left, on this machine or on the hosts of an inventory."),
    "status": ("look", "Show how many jobs are in which state, then the jobs."),
    "view": ("look", "Show the newest log of a job."),
    "explain": ("look", "Say why a job is running, or not."),
    "results": ("look", "Show arguments and metrics of the jobs that have some."),
    "edit": ("steer", "Edit the table in $VISUAL or $EDITOR, also while jobs run."),
    "reset": ("steer", "Put jobs back to NOT_RUNNING."),
    "cancel": ("steer", "Stop running jobs; waiting ones become HOLD."),
    "hold": ("steer", "Keep waiting jobs out until they are released."),
    "release": ("steer", "Let held jobs run again: HOLD becomes NOT_RUNNING."),
    "wait": ("look", "Wait until nothing is running or waiting; exit codes as of run."),
    "hosts": ("hosts", "Show every GPU of the hosts: memory, load, who is on it, which job of this table."),
    "check": (
        "hosts",
        "Look over the table and the hosts: what would keep a job from running, and what to do about it.",
    ),
    "drain": (
        "hosts",
        "Let no new job of this table start on a host, or on one GPU of it; what runs there is left to end.",
    ),
    "undrain": ("hosts", "Let jobs start on a drained host again."),
    "forget": ("hosts", "Give up what runs on a host that will never answer again."),
    "clean": ("steer", "Remove logs, journal and table."),
}
PROMISED = ("report", "top")  # for a later version
NAMES = (*LISTED, *PROMISED)


class Commands(click.Group):
    """The group of all commands, listed in the order a person meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(LISTED)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.named(cmd_name) if cmd_name in NAMES else None

    def named(self, name: str) -> click.Command:
        """The command of that name, one of `NAMES`."""
        if name in PROMISED:
            from burnish.cli import later

            return later.command(name)
        command: click.Command = getattr(import_module(f"burnish.cli.{LISTED[name][0]}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        room = formatter.width - 6 - max(map(len, LISTED))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, click.Command(name, help=does).get_short_help_str(room)) for name, (_, does) in LISTED.items()]
            )

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. An interrupt is `Abort` from here on: click would first end the line on a terminal that may be gone."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed = list(args)
        if args[:1] == ["help"]:
            # `burnish help run`; a shell that completes it gets the names of commands
            about = [word for word in args[1:2] if word != "help"]
            args = [*about, *(() if ctx.resilient_parsing else ("--help",)), *args[2:]]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            place = next((place for place, word in enumerate(typed) if word in NAMES), None)
            if place is None or not any(error.option_name in option.opts for option in self.named(typed[place]).params):
                raise
            import shlex

            moved = shlex.join(["burnish", typed[place], *typed[:place], *typed[place + 1 :]])
            raise UsageError(
                f"{error.option_name} stands before the command; options come after it.", hint=moved
            ) from None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0].replace("-", "_")
        if name not in NAMES and not name.startswith("_") and not ctx.resilient_parsing:
            from burnish.cli import mistakes

            raise click.UsageError(mistakes.unknown_command(args[0], list(LISTED)), ctx)
        return super().resolve_command(ctx, args)
