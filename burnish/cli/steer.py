"""Commands that change what is to run: edit, reset, cancel, hold, release, clean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from burnish.cli import options
from burnish.cli.commands import SETTINGS
from burnish.cli.options import Context
from burnish.cli.parameters import DURATION
from burnish.errors import UsageError


@click.command(context_settings=SETTINGS)
@options.common
def edit(context: Context) -> None:
    """Edit the table in $VISUAL or $EDITOR, also while jobs run.

    Rows that cannot be read are shown, and the editor opens again. What was saved is merged with what happened meanwhile.

    \b
    Example: EDITOR=nano burnish edit
    """
    from burnish import editing, session

    def ask(answers: Sequence[str]) -> str:
        choice = click.Choice([*answers, *(answer[0] for answer in answers)])
        question = f"What now? {', '.join(f'({answer[0]}){answer[1:]}' for answer in answers)}"
        typed = click.prompt(question, type=choice, default=answers[0][0], show_choices=False, err=True)
        return next(answer for answer in answers if answer[0] == typed[0])

    editing.edit(session.Session.open(context.paths, context.out.say), ask if context.interactive else None)


@click.command(context_settings=SETTINGS)
@options.job_ids()
@click.option("--errors", "errors_only", is_flag=True, help="Only jobs in ERROR.")
@click.option("--kill", is_flag=True, help="Stop running jobs first.")
@options.yes
@options.common
def reset(context: Context, ids: Any, errors_only: bool, kill: bool, yes: bool) -> int:
    """Put jobs back to NOT_RUNNING.

    The next run starts them again. Old logs stay. Jobs that run are left alone and named, unless --kill stops them first.

    \b
    Example: burnish reset --errors
    """
    from burnish import session

    opened = session.Session.open(context.paths, context.out.say)
    wish = opened.plan_reset(ids, errors_only)
    forgotten = opened.complete_among(wish.done)
    if forgotten and not context.confirm(f"Forget the results of {session.named(forgotten)}?", yes):
        context.out.say("Nothing was changed.")
        return 0
    left = opened.cancel(frozenset(wish.alive)) if kill and wish.alive else []
    opened.reset(ids, errors_only, cancelled=bool(left))
    return 3 if left else 0


@click.command(context_settings=SETTINGS)
@options.job_ids()
@click.option("--all", "everything", is_flag=True, help="Every job that runs or waits.")
@click.option("--grace", type=DURATION, default="10s", show_default=True, metavar="TIME", help="Between TERM and KILL.")
@options.common
def cancel(context: Context, ids: Any, everything: bool, grace: float) -> int:
    """Stop running jobs; waiting ones become HOLD.

    A job is stopped with its whole process tree, wherever it is, also when the run that started it is gone.

    \b
    Example: burnish cancel --job_id 3,5-8
    """
    from burnish import session

    given_by = click.get_current_context().get_parameter_source
    named = given_by("ids") is not ParameterSource.DEFAULT
    if named == everything:
        given = "both" if named else "neither"
        raise UsageError(f"cancel needs one of --job_id IDS and --all; given: {given}. Nothing was cancelled.")
    opened = session.Session.open(context.paths, context.out.say)
    asked = None if given_by("grace") is ParameterSource.DEFAULT else grace
    left = opened.cancel(None if everything else ids, asked)
    opened.refuse_unwritten()
    return 3 if left else 0


@click.command(context_settings=SETTINGS)
@options.job_ids(required=True)
@options.common
def hold(context: Context, ids: Any) -> None:
    """Keep waiting jobs out until they are released.

    \b
    Example: burnish hold --job_id 4-9
    """
    from burnish import session

    session.Session.open(context.paths, context.out.say).hold(ids)


@click.command(context_settings=SETTINGS)
@options.job_ids(required=True)
@options.common
def release(context: Context, ids: Any) -> None:
    """Let held jobs run again: HOLD becomes NOT_RUNNING.

    \b
    Example: burnish release --job_id all
    """
    from burnish import session

    session.Session.open(context.paths, context.out.say).release(ids)


@click.command(context_settings=SETTINGS)
@click.option("--keep_db", is_flag=True, help="Keep the table; remove logs and journal.")
@click.option("--older_than", type=DURATION, metavar="AGE", help="Only logs of jobs that ended longer ago.")
@click.option("--force", is_flag=True, help="Cancel what runs first.")
@options.yes
@options.common
def clean(context: Context, keep_db: bool, older_than: float | None, force: bool, yes: bool) -> int:
    """Remove logs, journal and table. Refuses while jobs run.

    \b
    Example: burnish clean --keep_db
    """
    from burnish import cleaning

    opened = cleaning.opened(context.paths, context.out.say)
    left = opened.cancel(None) if force and opened.alive() and opened.state.closed_by is None else []
    plan = cleaning.plan(opened, keep_db=keep_db, older_than=older_than, unreachable=left)
    if not context.confirm(f"{plan.question} Go on?", yes):
        context.out.say("Nothing was removed.")
        return 0
    context.out.say(cleaning.carry_out(opened, plan))
    return 3 if left else 0
