"""The inventory: from a YAML document to hosts, or to all of its problems at once.

Values stack up: the host's own beat those of its groups, those beat `defaults`. A name given outright beats the same name out
of a range, so that one host of `gpu[01:04]` can differ. A host in two groups is one host; where its groups disagree on a value
that the host does not settle itself, that is asked about rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

from msgspec import Struct, field

from burnish.core import host_values
from burnish.core.document import Mapping, Node, Scalar, Sequence, kind
from burnish.core.host_values import HOST_KEYS, Reader, Unreadable
from burnish.core.hosts import Host, Inventory
from burnish.core.jobs import HostName
from burnish.errors import InputError, Problem, printable

MAX_HOSTS = 10_000
SLURM_SLOTS = 100  # jobs at a time that a cluster is given whose entry says nothing

_RANGE = re.compile(r"\[([0-9]{1,9}):([0-9]{1,9})\]")
_TOP = ("hosts", "defaults", "groups", "host_keys")

Values = dict[str, Any]
"""Key -> value, with one key `env.NAME` for each variable, so that environments merge like everything else."""


class _Found(Struct):
    """What the file says about one host: `own` and `ranged` values, and the groups it is in. `place` is its first mention."""

    name: HostName
    place: Scalar
    own: Values = field(default_factory=dict)
    ranged: Values = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)


def read(document: Node) -> Inventory:
    """The inventory that `document` describes. Raises InputError with every problem in it."""
    reader = _Reader()
    hosts = reader.document(document)
    if reader.problems:
        raise InputError(sorted(set(reader.problems), key=_by_place))
    return Inventory(hosts)


class _Reader:
    """Collects problems while reading, so that a person sees all of them at once."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._found: dict[str, _Found] = {}
        self._groups: dict[str, Values] = {}

    def document(self, node: Node) -> tuple[Host, ...]:
        if not isinstance(node, Mapping):
            self.problems.append(node.problem(f"the inventory is {kind(node)}; expected `hosts: [gpu01, gpu02]`."))
            return ()
        for key, _ in node:
            if key.text not in _TOP:
                self._attempt(host_values.known, key, dict.fromkeys(_TOP, host_values.text))
        defaults = self._values(node.get("defaults"), "defaults")
        if (policy := node.get("host_keys")) is not None:
            word = self._attempt(HOST_KEYS["host_keys"], "host_keys", policy)
            defaults.setdefault("host_keys", word)
        self._hosts(node.get("hosts"), None)
        self._read_groups(node.get("groups"))
        if not self._found and not self.problems:
            self.problems.append(node.problem("the inventory names no host; expected `hosts: [gpu01, gpu02]`."))
        hosts = tuple(self._host(found, defaults) for found in self._found.values())
        self._refuse_twins(hosts)
        return hosts

    def _read_groups(self, node: Node | None) -> None:
        if node is None:
            return
        if not isinstance(node, Mapping):
            self.problems.append(node.problem(f"groups is {kind(node)}; expected {{name: {{hosts: […]}}}}."))
            return
        for name, group in node:
            if not host_values.GROUP.fullmatch(name.text) or name.text == "all":
                self.problems.append(name.problem(f'"{printable(name.text)}" cannot name a group.'))
            elif not isinstance(group, Mapping):
                self.problems.append(
                    group.problem(f"the group {name.text} is {kind(group)}; expected {{vars: {{…}}, hosts: […]}}.")
                )
            else:
                self._group(name.text, group)
        for name, _ in node:
            if name.text in self._found:
                self.problems.append(name.problem(f"{name.text} is a group and a host; --limit could mean either."))

    def _group(self, name: str, node: Mapping) -> None:
        for key, _ in node:
            if key.text not in ("vars", "hosts"):
                self._attempt(host_values.known, key, dict.fromkeys(("vars", "hosts"), host_values.text))
        self._groups[name] = self._values(node.get("vars"), f"vars of {name}")
        self._hosts(node.get("hosts"), name)

    def _hosts(self, node: Node | None, group: str | None) -> None:
        """Take in a list of names, or a mapping of names to values."""
        match node:
            case None | Scalar(null=True):
                return
            case Mapping():
                entries: list[tuple[Scalar, Node | None]] = [(key, value) for key, value in node]
            case Sequence():
                entries = list(self._listed(node))
            case Scalar():
                hint = f' Perhaps ["{node.text}"].' if _RANGE.search(node.text) else ""
                self.problems.append(
                    node.problem(f"hosts is {kind(node)}; expected a list of names, or a mapping.{hint}")
                )
                return
        here: dict[str, tuple[bool, str]] = {}
        for key, value in entries:
            names = self._attempt(expand, key) or ()
            values = self._values(value, key.text)
            for name in names:
                self._add(key, name, values, group, here)

    def _listed(self, node: Sequence) -> Iterator[tuple[Scalar, Node | None]]:
        for item in node.items:
            if isinstance(item, Scalar):
                yield item, None
            elif isinstance(item, Mapping):
                yield from item
            else:
                self.problems.append(item.problem("a list in a list of hosts; expected names."))

    def _add(
        self, key: Scalar, name: str, values: Values, group: str | None, here: dict[str, tuple[bool, str]]
    ) -> None:
        ranged = name != key.text
        if name in here and here[name][0] == ranged:
            self.problems.append(key.problem(f"{name} is listed twice (first at {here[name][1]})."))
            return
        here[name] = (ranged, key.where)
        found = self._found.setdefault(name, _Found(HostName(name), key))
        layer = found.ranged if ranged else found.own
        for setting, value in values.items():
            if layer.setdefault(setting, value) != value:
                self.problems.append(
                    key.problem(f"{name} has two values for {setting} (the other at {found.place.where}).")
                )
        if group is not None and group not in found.groups:
            found.groups.append(group)

    def _host(self, found: _Found, defaults: Values) -> Host:
        values = {**defaults, **self._of_groups(found), **found.ranged, **found.own}
        env = tuple((key.removeprefix("env."), value) for key, value in values.items() if key.startswith("env."))
        plain = {key: value for key, value in values.items() if not key.startswith("env.")}
        if plain.get("engine") == "slurm":  # which GPU is Slurm's to say, and slots are jobs that it is given at a time
            plain = {"slots": SLURM_SLOTS, **plain, "gpus": ()}
        host = Host(found.name, **plain, env=env, groups=tuple(found.groups))
        if host.gpus == () and host.slots == 0:
            self.problems.append(
                found.place.problem(
                    f"{host.name} has no GPU (gpus: none) and no slot (slots: 0), so nothing could run there."
                )
            )
        return host

    def _of_groups(self, found: _Found) -> Values:
        merged: Values = {}
        origin: dict[str, str] = {}
        for group in found.groups:
            for key, value in self._groups.get(group, {}).items():
                if key in merged and merged[key] != value and key not in found.own | found.ranged:
                    self.problems.append(
                        found.place.problem(
                            f"{found.name} is in the groups {origin[key]} and {group}, which disagree on {key}. "
                            f"Write {key} at the host."
                        )
                    )
                merged.setdefault(key, value)
                origin.setdefault(key, group)
        return merged

    def _values(self, node: Node | None, whose: str) -> Values:
        """The values in a mapping of host keys; what cannot be read becomes a problem and is left out."""
        if node is None or (isinstance(node, Scalar) and node.null):
            return {}
        if not isinstance(node, Mapping):
            self.problems.append(
                node.problem(f"{printable(whose)} is {kind(node)}; expected a mapping such as {{port: 2222}}.")
            )
            return {}
        values: Values = {}
        for key, value in node:
            reader: Reader | None = self._attempt(host_values.known, key, HOST_KEYS)
            if reader is None:
                continue
            try:
                read = reader(key.text, value)
            except Unreadable as error:
                self.problems.append(error.problem)
                continue
            if key.text == "env":
                values.update({f"env.{name}": text for name, text in read.items()})
            else:
                values[key.text] = read
        return values

    def _refuse_twins(self, hosts: tuple[Host, ...]) -> None:
        """Two names for one address and one state folder are one host; the host's own word on that comes at contact."""
        first: dict[object, Host] = {}
        for host in hosts:
            machine = (host.hostname or host.name, host.port or 22, host.connection, host.state_dir, host.proxy_jump)
            twin = first.setdefault(machine, host)
            if twin is not host:
                place = self._found[host.name].place
                self.problems.append(
                    place.problem(f"{host.name} and {twin.name} are the same machine ({machine[0]}); keep one of them.")
                )

    def _attempt(self, read: Any, *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except Unreadable as error:
            self.problems.append(error.problem)
            return None


def expand(name: Scalar) -> tuple[str, ...]:
    """The host names that `gpu[01:04]` stands for, zeros kept; a plain name stands for itself. Raises Unreadable."""
    parts = _RANGE.split(name.text)
    if len(parts) == 1:
        if "[" in name.text:
            raise Unreadable(name.problem(f'"{printable(name.text)}" is no range; expected such as gpu[01:04].'))
        return (host_values.host_name(name),)
    choices = [[parts[0]]]
    for index in range(1, len(parts), 3):
        low, high = parts[index], parts[index + 1]
        count = int(high) - int(low) + 1
        if not 1 <= count <= MAX_HOSTS:
            raise Unreadable(name.problem(f"the range [{low}:{high}] holds no host, or more than {MAX_HOSTS}."))
        width = len(low) if low.startswith("0") else 0
        choices += [[str(number).zfill(width) for number in range(int(low), int(high) + 1)], [parts[index + 2]]]
    total = 1
    for choice in choices:
        total *= len(choice)
    if total > MAX_HOSTS:
        raise Unreadable(name.problem(f'"{printable(name.text)}" stands for more than {MAX_HOSTS} hosts.'))
    names = tuple("".join(combination) for combination in product(*choices))
    host_values.host_name(Scalar(name.file, name.line, name.column, names[0], plain=False))
    return names


def _by_place(problem: Problem) -> tuple[str, int, int]:
    file, line, column = problem.where.rsplit(":", 2)
    return file, int(line), int(column)
