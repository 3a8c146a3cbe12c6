"""What people ask of hosts by command: drain, undrain, forget. Pure functions from the state to facts and sentences."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct, field

from burnish.core import events
from burnish.core.columns import did_you_mean
from burnish.core.events import Fact
from burnish.core.host_values import HOST
from burnish.core.hosts import Host
from burnish.core.ids import name_ids, typed_ids
from burnish.core.jobs import Attempt, HostName
from burnish.core.slots import named_gpus
from burnish.core.state import State
from burnish.errors import UsageError, printable


class HostWish(Struct):
    """The facts to commit, and what to tell the user."""

    facts: list[Fact] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def known(state: State) -> tuple[HostName, ...]:
    """Names of the hosts that the table has used, those of the newest attempts last."""
    names = (attempt.host for job in state.jobs.values() for attempt in job.attempts if attempt.host)
    return tuple(dict.fromkeys([*names, *state.drained]))


def drain(state: State, host: str, reason: str, by: str, listed: Collection[Host] = ()) -> HostWish:
    """No new job goes to `host`, or to one GPU of it (`gpu01:3`); what runs there runs on. `listed`: hosts of an inventory.

    Raises UsageError for a host that is neither listed nor known, and for a GPU that the inventory does not give to its host.
    """
    if not HOST.fullmatch(host):
        raise UsageError(f'"{printable(host)}" cannot be the name of a host. Nothing was changed.')
    name, names = HostName(host), [found.name for found in listed]
    whole = {*known(state), *names}
    of_gpu = name not in whole and HostName(host.rpartition(":")[0]) in whole
    if name not in whole and not of_gpu:
        raise UsageError(
            f"{_unknown(state, host, names)} Nothing was changed.",
            hint=None if listed else f"burnish drain {host} --hosts hosts/lab.yaml drains a host before its first job",
        )
    running = state.open.on(name) or _open_on_gpu(state, host)
    wish = HostWish([events.HostDrained(host, reason, by)])
    wish.said.append(f"{host} takes no new jobs of this table. burnish undrain {host} lets it again.")
    if running:
        wish.said.append(f"{_jobs(running)} on it and is left to end; burnish cancel stops a job.")
    elif of_gpu and (doubt := _unseen(state, host, listed)):
        wish.said.append(doubt)
    return wish


def _unseen(state: State, host: str, listed: Collection[Host]) -> str:
    """Where nothing tells that there is a GPU `gpu01:3`, a sentence that says so.

    Raises UsageError where the inventory tells that there is none: it names GPUs by index as well. A UUID may be any of them.
    """
    name, _, gpu = host.rpartition(":")
    described = next((found for found in listed if found.name == name and found.gpus != "auto"), None)
    if described is not None:
        named = named_gpus(described)
        if gpu in named:
            return ""
        if gpu.isdigit() and all(one.isdigit() for one in named):
            has = f"{'GPU' if len(named) == 1 else 'GPUs'} {name_ids([*map(int, named)])}" if named else "none"
            raise UsageError(f"{name} has no GPU {gpu}: the inventory gives it {has}. Nothing was changed.")
    there = (attempt for job in state.jobs.values() for attempt in job.attempts if attempt.host == name)
    seen = dict.fromkeys(one for attempt in there for one in attempt.gpus)
    if gpu in seen:
        return ""
    others = f", but on {', '.join([*seen][:12])}" if seen else ""
    return f"No job of this table has been on GPU {gpu} of {name} so far{others}: whether there is one, burnish cannot tell."


def undrain(state: State, host: str, by: str) -> HostWish:
    """Jobs may go to `host` again. Raises UsageError for a host that nobody has heard of."""
    if HostName(host) in state.drained:
        return HostWish([events.HostUndrained(host, by)], [f"{host} takes jobs again."])
    drained = f"these are: {', '.join(state.drained)}" if state.drained else "no host is"
    if HostName(host) not in known(state):
        raise UsageError(f"{_unknown(state, host)} It is not drained; {drained}. Nothing was changed.")
    return HostWish([], [f"{host} is not drained; {drained}. Nothing was changed."])


def consequences(state: State, host: str) -> str:
    """What `forget` breaks, in plain words. Raises UsageError if there is nothing to forget."""
    attempts = state.open.on(HostName(host))
    if not attempts:
        where = ", ".join(dict.fromkeys(attempt.host for attempt in state.open.values()))
        elsewhere = f"; those that are, are on {where}" if where else ""
        near = did_you_mean(host, known(state)) if HostName(host) not in known(state) else ""
        raise UsageError(f"No job of this table is open on {printable(host)}{elsewhere}.{near} Nothing was changed.")
    ids = name_ids([attempt.id.job for attempt in attempts])
    several = len(attempts) > 1
    return (
        f"{host} is given up without its word: job{'s' * several} {ids} {'become' if several else 'becomes'} ERROR, LOST.\n"
        f"If {'they still run' if several else 'it still runs'} there, nobody will see the end: {'their' if several else 'its'} "
        "results and the rest of the logs stay on that host, the GPUs stay taken,\n"
        "and a reset starts a second copy, which may write to the same files at the same time.\n"
        "Nothing of this is needed for a host that will answer again: its jobs are taken back then."
    )


def forget(state: State, host: str, by: str) -> HostWish:
    """Give up the open attempts of `host`, whichever machine went by that name."""
    attempts = state.open.on(HostName(host))
    identities = dict.fromkeys(attempt.state_id for attempt in attempts)
    facts: list[Fact] = [events.HostForgotten(host, state_id, by) for state_id in identities]
    again = typed_ids([attempt.id.job for attempt in attempts])
    return HostWish(facts, [f"{host} is forgotten. To run again: burnish reset --job_id {again}"] if attempts else [])


def _unknown(state: State, host: str, listed: Collection[HostName] = ()) -> str:
    names = tuple(dict.fromkeys([*known(state), *listed]))
    there = f" It has used {', '.join(names[:12])}." if names and not listed else ""
    neither = ", and the inventory does not list it" if listed else ""
    near = did_you_mean(host, names)
    return f"No job of this table has been on {printable(host)} so far{neither}.{near or there}"


def _open_on_gpu(state: State, name: str) -> list[Attempt]:
    """Attempts on what a drain calls `gpu01:3`."""
    host, _, gpu = name.rpartition(":")
    return [attempt for attempt in state.open.on(HostName(host)) if gpu in attempt.gpus]


def _jobs(attempts: list[Attempt]) -> str:
    ids = name_ids([attempt.id.job for attempt in attempts])
    return f"Job {ids} runs" if len(attempts) == 1 else f"Each of the jobs {ids} runs"
