"""A host as the inventory describes it, and choosing among hosts by name, glob or group.

A `Host` says how to reach a machine and what may run there. What a later run needs to find the machine again goes into each
claim as its *entry*, plain JSON, so that no inventory is needed to collect what it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from burnish.core.columns import did_you_mean
from burnish.core.jobs import HostName
from burnish.errors import UsageError, printable

Gpus: TypeAlias = "Literal['auto'] | int | tuple[str, ...]"
"""All that are found, this many of them, or these: indices in PCI order or UUIDs. The empty tuple is none."""


class Busy(Struct, frozen=True):
    """When a GPU counts as somebody else's: memory in MiB, utilisation in percent, and the seconds it must have been quiet."""

    max_mem_mib: int = 500
    max_util: int = 10
    quiet_for: float = 120.0


class Host(Struct, frozen=True):
    """One host. None leaves a value to ssh's configuration; `workdir` None is the coordinator's current folder.

    `slots`: jobs at a time that use no GPU; None leaves it to what the host has. `busy` None shares GPUs with other people.
    `on_failure`: kind of a failure -> policy, both of `core.failures`.
    """

    name: HostName
    hostname: str | None = None
    port: int | None = None
    user: str | None = None
    proxy_jump: str | None = None
    ssh_config: str | None = None
    host_keys: Literal["strict", "accept-new"] = "strict"
    connection: Literal["ssh", "local"] = "ssh"
    engine: Literal["host", "slurm"] = "host"
    sbatch: tuple[tuple[str, str], ...] = ()
    workdir: str | None = None
    python: str = "python3"
    state_dir: str = "~/.burnish"
    setup: str = ""
    env: tuple[tuple[str, str], ...] = ()
    gpus: Gpus = "auto"
    slots_per_gpu: int = 1
    slots: int | None = None
    on_failure: tuple[tuple[str, str], ...] = ()
    busy: Busy | None = Busy()
    groups: tuple[str, ...] = ()

    def to_entry(self) -> dict[str, Any]:
        """What a claim keeps of this host: how to reach it and where it keeps attempts, without defaults. Plain JSON."""
        kept = {name: value for name in _ENTRY if (value := getattr(self, name)) != getattr(_BARE, name)}
        return {"name": str(self.name), **kept}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Host:
        """The host of a claim, as far as reaching it goes. Keys of a newer burnish are passed over. Raises KeyError, no name."""
        return cls(HostName(entry["name"]), **{name: entry[name] for name in _ENTRY if name in entry})


_ENTRY = (
    "hostname", "port", "user", "proxy_jump", "ssh_config", "host_keys", "connection", "engine", "workdir", "python",
    "state_dir",
)  # fmt: skip
_BARE = Host(HostName(""))


class Inventory(Struct, frozen=True):
    """The hosts of a file, in its order; each name once."""

    hosts: tuple[Host, ...]

    @property
    def groups(self) -> dict[str, tuple[HostName, ...]]:
        """Group -> its hosts."""
        names = dict.fromkeys(group for host in self.hosts for group in host.groups)
        return {name: tuple(host.name for host in self.hosts if name in host.groups) for name in names}


def select(hosts: Sequence[Host], limit: str) -> tuple[Host, ...]:
    """The hosts that `limit` names, in inventory order.

    `limit` is a comma-separated list of host names, groups, and globs over both; one with `!` before it takes hosts away, and a
    list of only such takes them from all. Raises UsageError for a part that names nothing.
    """
    parts = [part.strip() for part in limit.split(",") if part.strip()]
    if not parts:
        raise UsageError("--limit names no host; expected a host, a group or a glob such as 'gpu*'.")
    wanted = [part for part in parts if not part.startswith("!")]
    chosen = {host.name for part in wanted for host in _named(hosts, part)} if wanted else {host.name for host in hosts}
    chosen -= {host.name for part in parts if part.startswith("!") for host in _named(hosts, part[1:])}
    return tuple(host for host in hosts if host.name in chosen)


def without_name(host: str, sentence: str) -> str:
    """What is said of `host`, for where its name stands already, and where nothing is tried again or left out."""
    first, *hints = sentence.split("\n")
    first = first.removesuffix(" It is tried again.").removesuffix(" This host is left out.").removeprefix(f"{host}: ")
    if first.startswith(f"{host} ("):
        first = first[len(host) + 2 :].replace("): ", ": ", 1)  # `gpu1 (alice@10.0.0.9:2222): ...`
    return "\n".join([first, *hints])


def matches(host: Host, pattern: str) -> bool:
    """Whether `pattern` (a name, a group or a glob; `all`) names `host`."""
    return pattern == "all" or any(fnmatchcase(name, pattern) for name in (host.name, *host.groups))


def _named(hosts: Iterable[Host], pattern: str) -> list[Host]:
    everything = list(hosts)
    found = [host for host in everything if matches(host, pattern)]
    if not found:
        names = dict.fromkeys(name for host in everything for name in (host.name, *host.groups))
        raise UsageError(
            f'no host or group of the inventory is called "{printable(pattern)}".{did_you_mean(pattern, names)}'
        )
    return found
