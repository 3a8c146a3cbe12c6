"""Commands about hosts: hosts, check, drain, undrain, forget."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from burnish.cli import options
from burnish.cli.options import Context
from burnish.errors import UsageError

if TYPE_CHECKING:
    from burnish.session import Session
    from burnish.views.hosts import FleetView


@click.command(context_settings=options.SETTINGS)
@click.argument("inventory", required=False, metavar="[FILE]")
@click.option("--list", "listed", is_flag=True, help="What the inventory says, defaults filled in; asks nobody.")
@click.option("--free", "only_free", is_flag=True, help="Only where a job could start now.")
@click.option("--limit", metavar="HOST_OR_GROUP", help="Only these hosts of the inventory.")
@click.option("--json", "as_json", is_flag=True, help="For programs; see docs/status-json.md.")
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@options.common
def hosts(
    context: Context,
    inventory: str | None,
    listed: bool,
    only_free: bool,
    limit: str | None,
    as_json: bool,
    watch: bool,
) -> None:
    """Show every GPU of the hosts: memory, load, who is on it, which job of this table.

    Without FILE, the hosts that this table has used. A host that does not answer is named, and the others are shown.

    \b
    Example: burnish hosts hosts/lab.yaml --free
    """
    from burnish import session, whereabouts
    from burnish.core.state import State
    from burnish.views import watch as watching
    from burnish.views.hosts import FleetView, InventoryView

    if inventory is None and (listed or limit is not None):
        raise UsageError(
            f"{'--list' if listed else '--limit'} needs an inventory. Nobody was asked.",
            hint="burnish hosts hosts/lab.yaml --list",
        )
    if listed:
        context.out.show(InventoryView(session.lab(str(inventory), limit)))
        return
    opened = table_if_any(context)
    state = State() if opened is None else opened.state
    asked = whereabouts.asked_for(inventory, limit, state, context.paths.shown)

    def look() -> FleetView:
        if opened is not None and opened.state.table:
            opened.sync(wait=False)
        return FleetView(time.time(), whereabouts.standings(asked, state, described=inventory is not None), only_free)

    if watch:
        watching.watch(look, context.out)
    else:
        context.out.show(look())


@click.command(context_settings=options.SETTINGS)
@click.argument("host")
@click.option("--reason", default="", metavar="TEXT", help="Shown in status.")
@options.common
def drain(context: Context, host: str, reason: str) -> None:
    """Let no new job of this table start on a host; what runs there is left to end.

    Every run obeys within seconds.

    \b
    Example: burnish drain gpu02 --reason 'fan is broken'
    """
    from burnish import session, steering

    steering.drain(session.Session.open(context.paths, context.out.say), host, reason)


@click.command(context_settings=options.SETTINGS)
@click.argument("host")
@options.common
def undrain(context: Context, host: str) -> None:
    """Let jobs start on a drained host again.

    \b
    Example: burnish undrain gpu02
    """
    from burnish import session, steering

    steering.undrain(session.Session.open(context.paths, context.out.say), host)


@click.command(context_settings=options.SETTINGS)
@click.argument("host")
@options.yes
@options.common
def forget(context: Context, host: str, yes: bool) -> None:
    """Give up what runs on a host that will never answer again.

    Says first what that breaks, and asks at a terminal.

    \b
    Example: burnish forget gpu03
    """
    from burnish import session, steering
    from burnish.core import host_verbs

    opened = session.Session.open(context.paths, context.out.say)
    context.out.say(host_verbs.consequences(opened.state, host))
    if context.confirm(f"Forget {host}?", yes):
        steering.forget(opened, host)
    else:
        context.out.say("Nothing was changed.")


def table_if_any(context: Context) -> Session | None:
    """The table, to look at; None where there is none, which is no mistake of whoever asks about hosts."""
    from burnish import session

    if not os.path.lexists(context.paths.db) and not context.paths.root.exists():
        return None
    return session.look(context.paths, context.out.say)
