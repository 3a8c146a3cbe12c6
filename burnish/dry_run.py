"""What a run would start first, and with which command: `burnish run --dry_run`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from itertools import islice

from burnish.core import secrecy
from burnish.core.command import as_shown
from burnish.core.hosts import Host
from burnish.core.jobs import HostName, Job, JobId, Slot
from burnish.core.phases import Phase, phase
from burnish.core.placement import Site, WaitingQueue, assign, names, why_nowhere
from burnish.core.requirements import requirements, why_never_met
from burnish.core.slots import environment, slots_of
from burnish.core.state import State
from burnish.errors import counted, printable
from burnish.plan import Plan
from burnish.runners.refusal import RunnerRefused
from burnish.session import Session
from burnish.slurm.script import shown
from burnish.slurm.text import Demand

SHOWN_COMMANDS = 5


def dry_run(session: Session, plan: Plan) -> Iterator[str]:
    """What the first jobs would run: host, slot, what inventory, slot and runner add to the environment, command."""
    assert plan.source is not None
    skipped = session.projection.skipped
    queue = WaitingQueue(lambda job, state: job.id not in skipped and plan.selection.admits(job, state))
    queue.update(session.state.jobs, session.state)
    idle = _without_a_start(queue, session.state, plan.hosts)
    waiting = len(queue) + len(queue.blocked) - len(idle)
    sites = [
        Site(host, slots, slots, bool(plan.workers)) for host in plan.hosts if (slots := _slots(host, plan.workers))
    ]
    would = waiting if plan.num_jobs is None else min(waiting, plan.num_jobs)
    at_once = min(plan.most or sum(len(site.slots) for site in sites), max(would, 1))
    hosts = {host.name: host for host in plan.hosts}
    submitted: dict[HostName, dict[JobId, Demand]] = {}
    for job_id, given in assign(queue, sites, min(SHOWN_COMMANDS, would, at_once)):
        job = session.state.jobs[job_id]
        yield from _shown_command(session, plan, hosts[given[0].host], job, given)
        asked = requirements(job, session.state)
        limit = plan.time_limit if asked.time_limit is None else asked.time_limit
        submitted.setdefault(given[0].host, {})[job_id] = Demand(asked.gpus, limit, asked.sbatch)
    for host in plan.hosts:
        if host.engine == "slurm" and host.name in submitted:
            yield from shown(host, session.state.table, submitted[host.name])
    for job_id, why in islice(idle.items(), SHOWN_COMMANDS):
        yield f"{job_id} would not run: {why}."
    if len(idle) > SHOWN_COMMANDS:
        yield f"… and {len(idle) - SHOWN_COMMANDS} more would not."
    few = "" if would == waiting else f"{would:,} of "
    asked_for = f" (--num_jobs {plan.num_jobs})" if few else ""
    yield (
        f"{few}{counted(waiting, 'job')} would run{asked_for}, {at_once} at a time. Nothing was started (--dry_run)."
    )


def _without_a_start(queue: WaitingQueue, state: State, hosts: Sequence[Host]) -> dict[JobId, str]:
    """What waits and would go on waiting, whatever the hosts turn out to have, and why: clauses."""
    waiting = dict(queue.waiting())
    idle = {job: why_nowhere(kind) for job, kind in waiting.items() if not any(names(kind, host) for host in hosts)}
    if queue.blocked:
        idle.update({job: why for job, why in why_never_met(state).items() if job in queue.blocked})
    comes = waiting.keys() | queue.blocked.keys()
    followers: dict[JobId, list[JobId]] = {}
    for job_id in queue.blocked.keys() - idle.keys():
        for other in (JobId(number) for ids in requirements(state.jobs[job_id], state).after for number in ids):
            if other in comes or phase(state.jobs[other]) in (Phase.COMPLETE, Phase.CLAIMED, Phase.RUNNING):
                followers.setdefault(other, []).append(job_id)
            else:
                idle[job_id] = f"it comes after job {other}, which is {state.jobs[other].word} and would not run"
    behind = list(idle)
    while behind:
        before = behind.pop()
        for job_id in followers.get(before, ()):
            if job_id not in idle:
                idle[job_id] = f"it comes after job {before}, which would not run"
                behind.append(job_id)
    return dict(sorted(idle.items()))


def _shown_command(session: Session, plan: Plan, where: Host, job: Job, slots: tuple[Slot, ...]) -> Iterator[str]:
    assert plan.source is not None
    values = {"JOB_ID": str(job.id), "STATE": job.word.value, **session.state.values(job)}
    logs = session.paths.log_dir
    host, gpus = slots[0].host, ",".join(slot.gpu for slot in slots if slot.gpu is not None)
    try:
        made = plan.source.prepare(
            values, {"log_dir": str(logs.parent), "prefix": logs.name, "host": host, "gpus": gpus}
        )
    except RunnerRefused as refusal:
        yield f"{job.id}: {refusal}"
        return
    gpu = {"CUDA_VISIBLE_DEVICES": gpus} if gpus else {}
    entry = dict(where.env) if where.engine == "slurm" else environment(where, slots)
    added = {**entry, **gpu, **(made.env or {})}
    extra = "".join(f"{name}={secrecy.shown(name, shlex.quote(value))} " for name, value in added.items())
    numbers = ",".join(str(slot.index) for slot in slots)
    yield printable(f"{job.id} on {host}, slot {numbers}: {extra}{as_shown(made.argv)}", 4000)


def _slots(host: Host, workers: int | None) -> tuple[Slot, ...]:
    return slots_of(host) if workers is None else tuple(Slot(host.name, number) for number in range(workers))
