"""Commands about hosts: hosts, check, drain, undrain, forget."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from burnish.cli import options
from burnish.cli.commands import SETTINGS
from burnish.cli.options import Context
from burnish.errors import UsageError

if TYPE_CHECKING:
    from burnish.views.hosts import FleetView


@click.command(context_settings=SETTINGS)
@click.argument("inventory", required=False, metavar="[FILE]")
@click.option("--list", "listed", is_flag=True, help="What the inventory says, defaults filled in; asks nobody.")
@click.option("--free", "only_free", is_flag=True, help="Only where a job could start now.")
@click.option("--limit", metavar="HOST_OR_GROUP", help="Only these hosts of the inventory.")
@click.option("--json", "as_json", is_flag=True, help="For programs; see docs/status-json.md.")
@click.option("--watch", is_flag=True, help="Again and again, until q or Ctrl-C.")
@options.common
def hosts(
    context: Context,
    inventory: str | None,
    listed: bool,
    only_free: bool,
    limit: str | None,
    as_json: bool,
    watch: bool,
) -> int:
    """Show every GPU of the hosts: memory, load, who is on it, which job of this table.

    Without FILE, the hosts that this table has used. A host that does not answer is named, and the others are shown. Ends with
    3 if none of them was reached.

    \b
    Example: burnish hosts hosts/lab.yaml --free
    """
    from burnish import roster, whereabouts
    from burnish.cli import signals
    from burnish.core.state import State
    from burnish.views import watch as watching
    from burnish.views.hosts import FleetView, InventoryView

    if listed and inventory is None:
        raise UsageError("--list needs an inventory. Nobody was asked.", hint="burnish hosts hosts/lab.yaml --list")
    if listed:
        context.out.show(InventoryView(roster.read(str(inventory), limit)))
        return 0
    opened = whereabouts.table_if_any(context.paths, context.out.say)
    asked = whereabouts.asked_for("hosts", inventory, limit, opened, context.paths.shown)

    def look() -> FleetView:
        if opened is not None:
            opened.sync(wait=False)
        state = State() if opened is None else opened.state
        return FleetView(time.time(), whereabouts.standings(asked, state, described=inventory is not None), only_free)

    if watch:
        signals.interrupt()
        watching.watch(look, context.out)
        return 0
    view = look()
    context.out.show(view)
    return 0 if any(standing.seen is not None for standing in view.standings) else 3


@click.command(context_settings=SETTINGS)
@click.argument("inventory", required=False, metavar="[FILE]")
@click.option("--limit", metavar="HOST_OR_GROUP", help="Only these hosts of the inventory.")
@click.option("--yaml", "sweep", metavar="FILE", help="A sweep to look over as well.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@options.common
def check(context: Context, inventory: str | None, limit: str | None, sweep: str | None, as_json: bool) -> int:
    """Look over the table and the hosts: what would keep a job from running, and what to do about it.

    Connects to each host, starts a tiny job there, hangs up, and sees whether the job lives on; tries its setup. Without FILE,
    the hosts that this table has used. Ends with 3 if a host is unusable, with 2 if a file is.

    \b
    Example: burnish check hosts/lab.yaml
    """
    from burnish import checkup
    from burnish.core.health import Grade, worst
    from burnish.views.checkup import CheckView

    files, opened = checkup.look_over(context.paths, context.out.say, inventory, sweep)
    checked = checkup.check(checkup.to_visit(inventory, limit, opened, bool(files), context.paths.shown))
    for note in dict.fromkeys(note for host in checked for note in host.notes):
        context.out.say(note)
    context.out.show(CheckView([*files, *((str(host.host.name), host.findings) for host in checked)]))
    if any(host.grade is Grade.UNUSABLE for host in checked):
        return 3
    return 2 if any(worst(found) is Grade.UNUSABLE for _, found in files) else 0


@click.command(context_settings=SETTINGS)
@click.argument("host")
@click.option("--reason", default="", metavar="TEXT", help="Shown in status.")
@click.option(
    "--hosts", "inventory", metavar="FILE", help="An inventory: its hosts may be drained before their first job."
)
@options.common
def drain(context: Context, host: str, reason: str, inventory: str | None) -> None:
    """Let no new job of this table start on a host, or on one GPU of it; what runs there is left to end.

    Every run obeys within seconds. A GPU is named by its index or UUID: gpu02:3.

    \b
    Example: burnish drain gpu02 --reason 'fan is broken'
    """
    from burnish import session, steering

    steering.drain(session.Session.open(context.paths, context.out.say), host, reason, inventory)


@click.command(context_settings=SETTINGS)
@click.argument("host")
@options.common
def undrain(context: Context, host: str) -> None:
    """Let jobs start on a drained host again.

    \b
    Example: burnish undrain gpu02
    """
    from burnish import session, steering

    steering.undrain(session.Session.open(context.paths, context.out.say), host)


@click.command(context_settings=SETTINGS)
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
