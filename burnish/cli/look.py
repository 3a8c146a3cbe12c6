"""Commands that show: status, view, explain, results, wait."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from burnish.cli import foot, later, options
from burnish.cli.commands import SETTINGS
from burnish.cli.options import Context
from burnish.cli.parameters import JobOrJobs, OneJob, State, Whole
from burnish.core.jobs import JobId, Word
from burnish.errors import UsageError

if TYPE_CHECKING:
    from burnish.core.events import Fact
    from burnish.core.standing import Standing
    from burnish.core.state import State as TableState
    from burnish.session import Session


AROUND = 5  # lines of a status about its rows: counts, a run, a blank, the head, what is not shown


@click.command(context_settings=SETTINGS)
@click.option("--all", "every", is_flag=True, help="Every job, also of a long table.")
@click.option(
    "--state",
    "words",
    multiple=True,
    type=State(),
    metavar="STATE",
    help="Only jobs in this state; may be repeated.",
)
@options.job_ids()
@click.option("--json", "as_json", is_flag=True, help="For programs; see docs/status-json.md.")
@click.option("--watch", is_flag=True, help="Again and again, until q or Ctrl-C.")
@click.option("--hosts", "inventory", metavar="FILE", help="Ask the hosts of this inventory, too, and show each.")
@options.common
def status(
    context: Context,
    every: bool,
    words: tuple[Word, ...],
    ids: Any,
    as_json: bool,
    watch: bool,
    inventory: str | None,
) -> None:
    """Show how many jobs are in which state, then the jobs.

    \b
    Example: burnish status --state ERROR
    """
    from burnish import session
    from burnish.views import snapshot
    from burnish.views.status import LONG, StatusView, picked

    opened = session.look(context.paths, context.out.say)
    if ids is not None:
        opened.jobs(ids, nothing="")  # or who mistyped an id would see nothing, and not why
    chosen = frozenset(words) or None
    ask = None if inventory is None else _asking(inventory, opened)

    def shown() -> StatusView:
        standings = None if ask is None else ask()
        presence = opened.presence
        room = shutil.get_terminal_size().lines - AROUND if watch and sys.stdout.isatty() else LONG
        jobs, partly = picked(opened.state, every or as_json, chosen, ids, room)
        taken = snapshot.take(opened.state, time.time(), runs=presence.others(), say=presence.runs(), jobs=jobs)
        return StatusView(taken, partly, standings)

    def again() -> StatusView:
        opened.sync(wait=False)
        return shown()

    if watch:
        from burnish.cli import signals
        from burnish.views import watch as watching

        signals.interrupt()
        watching.watch(again, context.out)
    else:
        context.out.show(shown())


def _asking(inventory: str, opened: Session) -> Callable[[], Sequence[Standing]]:
    """How each host of the inventory stands, asked when called. Only here: what talks to hosts takes long to import."""
    from burnish import roster, whereabouts

    hosts = roster.read(inventory, None)
    return lambda: whereabouts.standings(hosts, opened.state)


@click.command(context_settings=SETTINGS)
@click.argument("job", required=False, type=JobOrJobs())
@click.option("--job_id", "job_id", type=JobOrJobs(), metavar="N", help="Whose log; the same as JOB.")
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows, until the job ends.")
@click.option("-n", "--tail", type=Whole(), metavar="K", help="Only the last K lines.")
@click.option("--stderr", is_flag=True, help="What the job wrote to stderr.")
@click.option("--attempt", type=Whole(1), metavar="K", help="An older attempt's log.")
@click.option(
    "--errors",
    is_flag=True,
    help="The last lines of every failed job, or of those of JOB (also 3,5-8), alike ones together.",
)
@click.option("--meta", is_flag=True, help="Command, host, GPU, pid, times, exit, code version.")
@options.common
def view(
    context: Context, job: frozenset[JobId] | None, job_id: frozenset[JobId] | None, errors: bool, **how: Any
) -> None:
    """Show the newest log of a job.

    On a terminal in vim, read-only, with stderr in a window below when there is some; $BURNISH_VIEWER names another viewer.
    Elsewhere it is printed.

    \b
    Example: burnish view 3 --tail 20
    """
    from burnish import session, viewing

    if errors:
        if useless := [option for option, given in how.items() if given and option != "tail"]:
            raise UsageError(f"view --errors shows several logs, and takes no --{useless[0]}. Nothing was done.")
        if job is not None and job_id is not None and job != job_id:
            raise UsageError("view takes JOB or --job_id, not both. Nothing was done.")
        opened = session.look(context.paths, context.out.say, whole=True)
        context.out.lines(viewing.errors(opened, job_id if job is None else job, how["tail"]))
        return
    wanted = (job or frozenset()) | (job_id or frozenset())
    if len(wanted) != 1:
        raise UsageError("view needs one job: burnish view 3, or burnish view --errors.")
    viewing.view(session.look(context.paths, context.out.say, whole=True), context.out, *wanted, **how)


@click.command(context_settings=SETTINGS)
@click.argument("job", required=False, type=OneJob())
@click.option("--job_id", "job_id", type=OneJob(), metavar="N", help="Which job; the same as JOB.")
@options.common
def explain(context: Context, job: int | None, job_id: int | None) -> None:
    """Say why a job is running, or not.

    \b
    Example: burnish explain 3
    """
    from burnish import session, viewing
    from burnish.core import explain as explaining
    from burnish.store import unplaced

    wanted = {number for number in (job, job_id) if number is not None}
    if len(wanted) != 1:
        raise UsageError("explain needs one job: burnish explain 3.")
    opened = session.look(context.paths, context.out.say, whole=True)
    [asked] = opened.jobs(frozenset({JobId(wanted.pop())}), nothing="")
    projection = opened.projection
    more = partial(viewing.where_to_read, opened)
    presence, said = opened.presence, unplaced.left(opened.paths.unplaced)
    around = explaining.Surroundings(
        projection.skipped,
        projection.readable,
        presence.others(),
        more,
        presence.runs(),
        said,
        presence.narrowed(),
        presence.limited(),
    )
    context.out.lines(explaining.explain(opened.state, asked, around))


@click.command(context_settings=SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets.")
@later.option("--metric")
@later.option("--over")
@later.option("--sort")
@later.option("--md", is_flag=True)
@options.common
def results(context: Context, as_json: bool, as_csv: bool) -> None:
    """Show arguments and metrics of the jobs that have some.

    \b
    Example: burnish results --csv > results.csv
    """
    from burnish import session
    from burnish.views import snapshot
    from burnish.views.results import ResultsView

    if as_json and as_csv:
        raise UsageError("results takes --json or --csv, not both.")
    opened = session.look(context.paths, context.out.say, whole=True)
    shown = ResultsView(snapshot.take(opened.state, time.time()), opened.alone)
    if as_csv:
        context.out.lines(shown.csv())
    else:
        context.out.show(shown)


@click.command(context_settings=SETTINGS)
@options.job_ids()
@click.option("--where", multiple=True, metavar="--KEY=VALUE", help="Only jobs with this cell; may be repeated.")
@options.common
def wait(context: Context, ids: Any, where: tuple[str, ...]) -> int:
    """Wait until nothing is running or waiting; exit codes as of run.

    \b
    Example: burnish wait && echo done
    """
    from burnish import session
    from burnish.cli import signals
    from burnish.views import live

    opened = session.Session.open(context.paths, context.out.say)
    voice = live.Voice(context.out.say, opened.state)

    def news(facts: Sequence[Fact], state: TableState) -> None:
        if voice.foot is not None:
            voice.foot(facts, state)

    coordinator = opened.waiter(session.selection(opened, ids, where), news)
    signals.heed(coordinator)
    with foot.standing(context, opened, voice, coordinator.outcome.taken):
        outcome = coordinator.run()
    if outcome.stopped_by is not None or outcome.taken:
        voice.summary(outcome.taken, outcome.stopped_by, opened.me, opened.presence.others())
    return session.exit_code(opened, outcome)
