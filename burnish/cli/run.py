"""`burnish run`: start what waits, look after what runs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from burnish.cli import foot, options
from burnish.cli.commands import SETTINGS
from burnish.cli.options import Context
from burnish.cli.parameters import DURATION, SHARE, CanaryType, Whole
from burnish.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from burnish.core.events import Fact
    from burnish.core.jobs import HostName, Job
    from burnish.core.state import State
    from burnish.detaching import Child
    from burnish.hook import Hook
    from burnish.plan import Outcome, Plan
    from burnish.remote.transport import Transport
    from burnish.session import Session

    Listener = Callable[[Sequence[Fact], State], None]
    Ways = Mapping[HostName, Transport]


@options.from_environment("BURNISH_RUN")
@click.command(context_settings=SETTINGS)
@click.option("--hosts", metavar="FILE", help="Run on the hosts of this inventory [default: this machine].")
@click.option("--limit", metavar="HOST_OR_GROUP", help="Only these hosts of the inventory.")
@click.option("--func", metavar="M.F", help="Call runner(runner_args, job_dict) for each job's command.")
@click.option("--python_file", metavar="FILE", help="Run: python FILE KEY VALUE ...")
@click.option("--command", "template", metavar="TEMPLATE", help="Fill a command line: 'python train.py lr={--lr}'.")
@click.option(
    "--python", metavar="PATH", help="The interpreter for --python_file [default: python or python3 on PATH]."
)
@click.option(
    "--num_workers",
    type=Whole(1, 100_000),
    metavar="N",
    help="Jobs at a time [default: 1; with --hosts, as many as there are slots].",
)
@click.option("--num_jobs", type=Whole(), metavar="N", help="Start at most this many, then end.")
@options.job_ids()
@click.option("--where", multiple=True, metavar="--KEY=VALUE", help="Only jobs with this cell; may be repeated.")
@click.option(
    "--retries", type=Whole(0, 1000), default=0, metavar="N", help="Start a job that failed again, up to N times."
)
@click.option("--time_limit", type=DURATION, metavar="T", help="End a job that takes longer: 90, 10m, 2h, 3d.")
@click.option("--max_fails", type=SHARE, metavar="N|N%", help="Start nothing more when so many jobs have failed.")
@click.option(
    "--canary",
    is_flag=False,
    flag_value="",
    type=CanaryType(),
    metavar="[hosts,T]",
    help="Start one job; the rest when it is COMPLETE or has lived T (10m, 1h; default 10m), or else nothing. "
    "hosts: one job on each host.",
)
@click.option(
    "--on_event",
    metavar="CMD",
    help="Call this for each failure, host that is down, and at the end; $BURNISH_EVENT says which.",
)
@click.option("--detach", is_flag=True, help="Go on without this terminal; what the run says goes to a file.")
@click.option("-n", "--dry_run", is_flag=True, help="Print what the first jobs would run, and start nothing.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what went wrong.")
@click.option("-v", "--verbose", is_flag=True, help="Say when each job starts and ends.")
@options.common
def run(context: Context, **asked: Any) -> int:
    """Run every NOT_RUNNING job until none is left, on this machine or on the hosts of an inventory.

    Takes back whatever an earlier run left running. Ctrl-C stops starting; running jobs live on. A host that does not answer is
    waited for; ends with 3 if no host can be used.

    \b
    Example: burnish run --num_workers 4 --command 'python train.py --lr {--lr}'
    """
    commands = {way: asked[way] for way in ("func", "python_file", "template")}
    options.exactly_one(
        "run", commands, "Nothing was started.", hint="burnish run --num_workers 4 --python_file train.py"
    )
    if asked["python"] and asked["python_file"] is None:
        raise UsageError("--python goes with --python_file only. Nothing was started.")
    child = _detached(context) if asked["detach"] and not asked["dry_run"] else None
    if isinstance(child, int):
        return child
    with _ways(asked) as ways:
        return _run(context, asked, child, ways)


def _run(context: Context, asked: dict[str, Any], child: Child | None, made: Ways) -> int:
    """`run`, in the process that goes on. `made`: the ways to hosts that were made before."""
    from burnish import session
    from burnish.core.table import ID_COLUMN, STATE_COLUMN
    from burnish.plan import Plan
    from burnish.store import refusals

    commands = {key: asked[key] for key in ("func", "python_file", "template", "python")}
    source = _source(**commands, here=asked["hosts"] is None, say=context.out.say)
    where = _where(asked["hosts"], asked["limit"], asked["num_workers"], context.out.say)
    opened = session.Session.open(context.paths, context.out.say)
    if not asked["dry_run"]:  # which writes neither
        opened.projection.refuse_read_only()  # or it would run all jobs, show none of it, and end with that
        refusals.refuse_their_logs(str(context.paths.log_dir))
    plan = Plan(
        **where,
        source=source,
        selection=session.selection(opened, asked["ids"], asked["where"]),
        num_jobs=asked["num_jobs"],
        retries=asked["retries"],
        time_limit=asked["time_limit"],
        max_fails=asked["max_fails"],
        canary=asked["canary"],
    )
    source.check((ID_COLUMN, STATE_COLUMN, *opened.state.columns))
    if asked["dry_run"]:
        from burnish.dry_run import dry_run

        context.out.lines(dry_run(opened, plan))
        source.close()
        return 0
    if os.geteuid() == 0 and not asked["quiet"]:
        context.out.say("You are root: so are the jobs on this machine, and what they write belongs to root.")
    log = None if child is None else _let_go(child, opened)
    opened.presence.about["says"] = "" if log is None else str(log)
    opened.presence.chosen = plan.selection
    opened.presence.num_jobs = plan.num_jobs
    outcome = _conduct(context, opened, plan, asked, made, begun=child.begin if child else None)
    return session.exit_code(opened, outcome)


@contextmanager
def _ways(asked: dict[str, Any]) -> Iterator[Ways]:
    """The way to this machine, if jobs are to run here: its agent starts while the parts of a run are still imported."""
    if asked["hosts"] is not None or asked["dry_run"]:
        yield {}
        return
    from burnish.core.jobs import HostName
    from burnish.remote.transport import LocalTransport

    here = LocalTransport()
    try:
        here.prepare()
        yield {HostName(here.name): here}
    finally:
        here.close()


def _conduct(
    context: Context, opened: Session, plan: Plan, asked: dict[str, Any], made: Ways, begun: Listener | None
) -> Outcome:
    """Run as planned, and say what there is to say. `begun` hears when that goes well, and later."""
    from burnish.cli import signals
    from burnish.views import live

    def more(job: Job) -> str:
        from burnish.viewing import where_to_read  # once a job fails

        return where_to_read(opened, job)

    voice = live.Voice(context.out.say, opened.state, quiet=asked["quiet"], verbose=asked["verbose"], more=more)
    hook = _hook(context, asked["on_event"])
    coordinator = opened.coordinator(plan, _tell(voice.hear, hook.hear if hook else None, begun), made)
    voice.taken, voice.few = coordinator.outcome.taken, plan.num_jobs is not None
    signals.heed(coordinator)
    try:
        below = foot.standing(context, opened, voice, coordinator.outcome.taken, coordinator.slots, plan.num_jobs)
        with below if not asked["quiet"] else nullcontext():
            if hook is not None:
                hook.down = coordinator.down
            outcome = coordinator.run()
        if plan.source is not None:
            plan.source.close()
        others, skipped = opened.presence.others(), opened.projection.skipped_rows
        voice.summary(outcome.taken, outcome.stopped_by, opened.me, others, skipped, outcome.stuck)
        if hook is not None:
            signals.heed(hook)
            hook.end(outcome.stopped_by, opened.state)
    finally:
        if hook is not None:
            hook.close()
    return outcome


def _tell(*listeners: Listener | None) -> Listener:
    """One listener to what is committed, for several."""

    def tell(facts: Sequence[Fact], state: State) -> None:
        for hear in listeners:
            if hear is not None:
                hear(facts, state)

    return tell


def _hook(context: Context, command: str | None) -> Hook | None:
    if command is None:
        return None
    from burnish.hook import Hook

    return Hook(command, context.paths.hook_log, context.paths.db, context.out.say)


def _let_go(child: Child, opened: Session) -> Path:
    """The run needs its terminal no more: the file in which it says what there is to say from now on."""
    opened.paths.make_log_dir()
    log = opened.paths.run_log(time.time(), os.getpid())
    child.let_go(log)
    return log


def _detached(context: Context) -> Child | int:
    """The run that outlives this terminal; here, what is left to say of it, and the exit code."""
    from burnish import detaching

    made = detaching.fork()
    if isinstance(made, detaching.Child):
        return made
    if made.code is None:
        context.out.say(
            f"The run goes on without this terminal as pid {made.pid}. What it says: {made.log}\n"
            f"burnish status shows how far it is, burnish wait waits for its end, kill {made.pid} ends it; jobs live on until "
            "burnish cancel."
        )
        return 0
    if made.log is not None and made.log.exists():
        context.out.say(made.log.read_text(encoding="utf-8", errors="backslashreplace").rstrip("\n"))
    return made.code


def _where(hosts: str | None, limit: str | None, num_workers: int | None, say: Callable[[str], None]) -> dict[str, Any]:
    """The hosts of a run and how much of them it may use: fields of a `Plan`. Raises InputError or UsageError."""
    if hosts is None:
        from burnish.plan import this_machine

        if limit is not None:
            raise UsageError("--limit goes with --hosts only. Nothing was started.")
        return {"hosts": (this_machine(),), "workers": num_workers or 1}
    from burnish.roster import Roster, strangers_may_write

    roster = Roster(hosts, limit)
    if warning := strangers_may_write(hosts):
        say(warning)
    return {"hosts": roster.hosts, "roster": roster, "most": num_workers}


def _source(
    func: str | None,
    python_file: str | None,
    template: str | None,
    python: str | None,
    here: bool,
    say: Callable[[str], None],
) -> Any:
    """Where commands come from: one of the three ways. Raises UsageError, InputError.

    `here`: jobs run on this machine, as this process would. `say` hears why no command can be made for now.
    """
    from burnish.runners import sources

    if func is not None:
        return sources.FunctionSource(func, say=say)
    if template is not None:
        return sources.TemplateSource(template, here=here)
    return sources.PythonFileSource(str(python_file), python, here=here)
