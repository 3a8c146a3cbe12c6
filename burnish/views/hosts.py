"""What is shown of hosts: every GPU and who is on it (`burnish hosts`), a line per host (`status --hosts`), the inventory.

Unknown is shown as `?`, and a host that does not answer by the sentence why, so that no gap looks like a zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import asdict

from burnish.core import secrecy
from burnish.core.hosts import Host
from burnish.core.jobs import Attempt
from burnish.core.sighting import GpuSeen, Sighting
from burnish.core.standing import Standing
from burnish.errors import counted, printable
from burnish.views import tables
from burnish.views.tables import Column, Table

SCHEMA = 1
MIB = 1 << 10  # MiB in a GiB
STALE = 60.0  # s: older readings of GPUs are named as such

_GPUS = (
    Column("HOST", least=11, keep_empty=True, apart=True),
    Column("GPU", right=True),
    Column("MODEL", least=8, optional=4),
    Column("MEMORY", right=True, least=13, optional=3),
    Column("UTIL", right=True, optional=1),
    Column("USED BY", least=8, tight=6),
    Column("JOB", tight=6),
    Column("WORKERS", right=True, optional=2),
    Column("LOAD", right=True, optional=4),
    Column("NOTE", least=10, tight=6),
)
_HOSTS = (
    Column("HOST", least=8, keep_empty=True, apart=True),
    Column("IS", keep_empty=True),
    Column("SLOTS", right=True, keep_empty=True),
    Column("LOAD", right=True, optional=1),
    Column("GPUS", least=8, optional=1),
    Column("NOTE", least=10),
)


class FleetView(Struct, frozen=True):
    """`burnish hosts`: a row per GPU, and per host that has none. `only_free`: only where a job could start now."""

    now: float
    standings: Sequence[Standing]
    only_free: bool = False

    def text(self, width: int | None = None, colour: bool = False) -> Iterator[str]:
        yield from tables.wrapped(_summary(self.standings), width)
        rows = [row for standing in self.standings for row in self._rows(standing)]
        if rows:
            yield ""
            yield from tables.lines(Table(_GPUS, rows), width, colour)
        elif self.only_free:
            yield "Nothing is free."
        if not self.only_free:
            yield from _hints(self.standings, width)

    def json(self) -> object:
        return {"schema": SCHEMA, "now": self.now, "hosts": [self._json(standing) for standing in self.standings]}

    def _json(self, standing: Standing) -> dict[str, object]:
        shown = host_json(standing)
        if self.only_free and standing.seen is not None:
            free = [gpu_json(standing, gpu) for gpu in standing.gpus if standing.is_free(gpu)]
            shown["gpus"] = free
        return shown

    def _rows(self, standing: Standing) -> Iterator[list[str]]:
        seen, gpus = standing.seen, standing.gpus
        shown = [gpu for gpu in gpus if not self.only_free or standing.is_free(gpu)]
        for number, gpu in enumerate(shown):
            load, of_host = (_load(seen), note(standing)) if number == 0 else ("", "")
            yield [*_gpu_cells(standing, gpu), "", load, "; ".join(filter(None, (_drain(standing, gpu), of_host)))]
        workers = standing.free_workers
        on_workers = [attempt for attempt in standing.attempts if not attempt.gpus or not gpus]
        if workers if self.only_free else not gpus or standing.workers or on_workers:
            load, of_host = ("", "") if shown else (_load(seen), note(standing))
            offered = f"{workers} free" if standing.slots else ""
            yield [standing.host.name, "", "", "", "", "", _names(on_workers), offered, load, of_host]


class HostsView(Struct, frozen=True):
    """`status --hosts`: a row per host."""

    standings: Sequence[Standing]

    def text(self, width: int | None = None, colour: bool = False) -> Iterator[str]:
        yield from tables.lines(Table(_HOSTS, [self._row(standing) for standing in self.standings]), width, colour)
        yield from _hints(self.standings, width)

    def json(self) -> object:
        return [host_json(standing) for standing in self.standings]

    def _row(self, standing: Standing) -> list[str]:
        return [
            standing.host.name,
            word(standing),
            f"{len(standing.attempts)}/{'?' if standing.slots is None else standing.slots}",
            _load(standing.seen),
            ", ".join(_brief(standing, gpu) for gpu in standing.gpus),
            note(standing),
        ]


class InventoryView(Struct, frozen=True):
    """`burnish hosts --list`: what an inventory says of each host, once defaults and groups are in; nobody is asked.

    What most hosts have is shown once, above them, and at each of them what is otherwise.
    """

    hosts: Sequence[Host]

    def text(self, width: int | None = None, colour: bool = False) -> Iterator[str]:
        spelled = [{key: _spelled(value) for key, value in settled(host).items()} for host in self.hosts]
        usual = _usual(spelled)
        if usual:
            yield f"All {len(spelled)} hosts, where they say nothing else:"
            yield from _keys(usual, width)
            yield ""
        for host, values in zip(self.hosts, spelled, strict=True):
            groups = f"  ({', '.join(host.groups)})" if host.groups else ""
            yield f"{host.name}{groups}"
            yield from _keys({key: value for key, value in values.items() if usual.get(key) != value}, width)

    def json(self) -> object:
        return {
            "schema": SCHEMA,
            "hosts": [{"name": h.name, "groups": list(h.groups), **settled(h)} for h in self.hosts],
        }


def _usual(spelled: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The keys that all hosts have, with the value that most of them have; none where there is one host."""
    if len(spelled) < 2:
        return {}
    everywhere = [key for key in spelled[0] if all(key in values for values in spelled)]
    most = {key: Counter(values[key] for values in spelled).most_common(1)[0] for key in everywhere}
    return {key: value for key, (value, count) in most.items() if count * 2 > len(spelled)}


def _keys(values: Mapping[str, str], width: int | None) -> Iterator[str]:
    for key, value in values.items():
        line = f"    {key}: {printable(value, 500)}"
        yield line if width is None else tables.cut(line, width)


def _spelled(value: object) -> str:
    """A value as one writes it in an inventory."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_spelled(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_spelled, value)) + "]"
    return f"{value:g}s" if isinstance(value, float) else str(value)


def settled(host: Host) -> dict[str, object]:
    """The values of a host that are set, by their key in the inventory."""
    values = asdict(host)
    del values["name"], values["groups"]
    values["env"] = {name: secrecy.shown(name, value) for name, value in host.env}
    values["setup"], values["sbatch"] = secrecy.without_secrets(host.setup), dict(host.sbatch)
    values["on_failure"] = dict(host.on_failure)
    values["gpus"] = "none" if host.gpus == () else list(host.gpus) if isinstance(host.gpus, tuple) else host.gpus
    values["busy"] = "share" if host.busy is None else asdict(host.busy)
    return {key: value for key, value in values.items() if value not in (None, "", {})}


def host_json(standing: Standing) -> dict[str, object]:
    """One host of docs/status-json.md."""
    seen = standing.seen or Sighting()
    return {
        "name": standing.host.name,
        "reached": standing.seen is not None,
        "trouble": standing.trouble or None,
        "hint": standing.hint or None,
        "drained": standing.drained,
        "lacks": standing.lacks or None,
        "slots": standing.slots,
        "jobs": [int(attempt.id.job) for attempt in standing.attempts],
        "load": seen.load,
        "cpus": seen.cpus,
        "disk_free": seen.disk_free,
        "python": seen.python or None,
        "gpu_error": seen.gpu_error or None,
        "gpus": [gpu_json(standing, gpu) for gpu in standing.gpus] if seen.gpus is not None or standing.gpus else None,
    }


def gpu_json(standing: Standing, gpu: GpuSeen) -> dict[str, object]:
    """One GPU of docs/status-json.md."""
    jobs = [int(attempt.id.job) for attempt in standing.on(gpu)]
    shown = {name: value for name, value in asdict(gpu).items() if name not in ("was_held", "holders", "pci")}
    shown["processes"] = [asdict(process) for process in gpu.processes]
    shown |= {name: shown[name] or None for name in ("uuid", "name")}
    shown["shares"] = None if gpu.held is None else gpu.shares
    more = {"trouble": gpu.trouble or None, "free": standing.is_free(gpu), "drained": standing.why_drained(gpu)}
    return {**shown, "jobs": jobs, **more}


def word(standing: Standing) -> str:
    """`up`, `drained`, or `away` for a host that was not reached."""
    if standing.seen is None:
        return "away"
    return "up" if standing.drained is None else "drained"


def note(standing: Standing) -> str:
    """What else is to be known of a host, in a few words; empty when all is well."""
    notes = [standing.trouble] if standing.trouble else []
    if standing.drained is not None:
        notes.append(f"drained ({standing.drained})" if standing.drained else "drained")
    notes += [standing.lacks] if standing.lacks else []
    if (seen := standing.seen) is not None:
        if seen.gpus and seen.mask is not None and standing.host.gpus == "auto" and standing.described:
            notes.append(f"CUDA_VISIBLE_DEVICES={seen.mask} there")
        notes += ["no nvidia-smi answers: its GPUs are taken at their word"] if standing.at_their_word else []
        notes += [seen.gpu_error] if seen.gpu_error else []
        if seen.gpus and (seen.age or 0.0) > STALE:
            notes.append(f"its GPUs were seen {seen.age:.0f} s ago")
    return "; ".join(notes)


def _summary(standings: Sequence[Standing]) -> str:
    reached = [standing for standing in standings if standing.seen is not None]
    gpus = [standing.is_free(gpu) for standing in reached for gpu in standing.gpus]
    hosts = counted(len(standings), "host")
    silent = len(standings) - len(reached)
    parts = [f"{hosts}, {silent} of them not reached" if silent else hosts]
    if gpus:
        parts.append(f"{counted(len(gpus), 'GPU')}, {sum(gpus)} free")
    return ": ".join(parts)


def _hints(standings: Sequence[Standing], width: int | None) -> Iterator[str]:
    for standing in standings:
        if standing.hint:
            yield from tables.wrapped(f"hint for {standing.host.name}: {printable(standing.hint, 500)}", width)


def _gpu_cells(standing: Standing, gpu: GpuSeen) -> list[str]:
    return [
        standing.host.name,
        (gpu.uuid or "?") if gpu.index is None else str(gpu.index),
        gpu.name,
        f"{_memory(gpu)} GiB",
        "?" if gpu.util is None else f"{gpu.util}%",
        users(standing, gpu),
        _names(standing.on(gpu)),
    ]


def users(standing: Standing, gpu: GpuSeen) -> str:
    """Who has processes on a GPU, with their memory; `burnish` where only its lock is held, `busy` where nobody is to be seen."""
    memory: dict[str, int] = {}
    for process in gpu.processes:
        who = process.user or "?"
        memory[who] = memory.get(who, 0) + (process.memory or 0)
    if memory:
        return ", ".join(f"{who} ({amount / MIB:.1f} GiB)" if amount else who for who, amount in memory.items())
    if gpu.held and not standing.on(gpu):
        return "burnish, another table"
    return "busy" if standing.is_busy(gpu) else ""


def _brief(standing: Standing, gpu: GpuSeen) -> str:
    util = "?" if gpu.util is None else f"{gpu.util}%"
    jobs = _names(standing.on(gpu))
    out = " drained" if standing.why_drained(gpu) is not None else f" {gpu.trouble}" if gpu.trouble else ""
    more = (f" job {jobs}" if jobs else "") + out
    return f"{(gpu.uuid or '?') if gpu.index is None else gpu.index}: {util} {_memory(gpu)} GiB{more}"


def _drain(standing: Standing, gpu: GpuSeen) -> str:
    """What keeps jobs from a GPU, in a few words."""
    why = standing.why_drained(gpu)
    return gpu.trouble if why is None else f"drained ({why})" if why else "drained"


def _memory(gpu: GpuSeen) -> str:
    used = "?" if gpu.memory_used is None else f"{gpu.memory_used / MIB:.1f}"
    return f"{used}/{'?' if gpu.memory_total is None else f'{gpu.memory_total / MIB:.0f}'}"


def _load(seen: Sighting | None) -> str:
    if seen is None:
        return ""
    load = "?" if seen.load is None else f"{seen.load:.1f}"
    return f"{load}/{'?' if seen.cpus is None else seen.cpus}"


def _names(attempts: Sequence[Attempt] | Iterator[Attempt]) -> str:
    return ", ".join(str(attempt.id.job) for attempt in attempts)
