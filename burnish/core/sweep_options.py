"""The `burnish:` block of a sweep: everything that a plain grid cannot say.

Reading it gives a `SweepOptions`; what the options do is in `sweep.py`. An option is added by a field, a reader in `_READERS`
and a use there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from burnish.core import columns
from burnish.core.cells import Findings, column_fault
from burnish.core.document import Mapping as MappingNode
from burnish.core.document import Node, Scalar, Sequence, kind
from burnish.errors import printable

BLOCK = "burnish"


class SweepOptions(Struct, frozen=True):
    """What a `burnish:` block says; nodes are kept where a complaint may still follow.

    `repeat`: argument -> how many (0, 1, …). `zip`: groups of arguments that advance together. `exclude`: combinations left out,
    argument -> value or list of values. `random`: how many to draw. `columns`: control column -> text.
    """

    repeat: tuple[tuple[Scalar, int], ...] = ()
    zip: tuple[tuple[Scalar, ...], ...] = ()
    exclude: tuple[MappingNode, ...] = ()
    random: int | None = None
    sample_seed: int = 0
    shuffle: bool = False
    columns: tuple[tuple[str, str], ...] = ()


def read(block: Node, most: int, findings: Findings) -> SweepOptions:
    """The options in `block`; what is wrong with it goes to `findings`. `most`: how many jobs a table may get (--max_jobs)."""
    options = SweepOptions()
    if isinstance(block, Scalar) and block.null:
        return options
    if not isinstance(block, MappingNode):
        findings.refuse(block, f"`{BLOCK}:` is {kind(block)}; expected options such as `repeat: {{--seed: 5}}`.")
        return options
    for key, node in block:
        reader = _READERS.get(key.text)
        if reader is None:
            near = columns.did_you_mean(key.text, _READERS)
            findings.refuse(
                key, f'burnish knows no option "{printable(key.text)}".{near} Known: {", ".join(_READERS)}.'
            )
        else:
            options = reader(options, node, most, findings)
    return options


def _repeat(options: SweepOptions, node: Node, most: int, findings: Findings) -> SweepOptions:
    repeats = []
    for key, value in _mapping(node, "repeat", "{--seed: 5}", findings):
        times = _whole(value, f"repeat: {printable(key.text)}", 1, most, findings)
        if fault := column_fault(key.text):
            findings.refuse(key, fault)
        elif times is not None:
            repeats.append((key, times))
    return replace(options, repeat=tuple(repeats))


def _zip(options: SweepOptions, node: Node, most: int, findings: Findings) -> SweepOptions:
    expected = "expected lists of arguments that advance together, such as [[--model, --batch]]"
    if not isinstance(node, Sequence):
        findings.refuse(node, f"zip is {kind(node)}; {expected}.")
        return options
    listed = node.items if all(isinstance(item, Sequence) for item in node.items) else (node,)
    groups = []
    for item in listed:
        names = [name for name in getattr(item, "items", ()) if isinstance(name, Scalar) and not name.null]
        if len(names) < 2 or len(names) != len(getattr(item, "items", ())):
            findings.refuse(item, f"this does not name two arguments or more; {expected}.")
        else:
            groups.append(tuple(names))
    return replace(options, zip=tuple(groups))


def _exclude(options: SweepOptions, node: Node, most: int, findings: Findings) -> SweepOptions:
    items = node.items if isinstance(node, Sequence) else (node,)
    rules = []
    for item in items:
        if isinstance(item, MappingNode) and item.entries:
            rules.append(item)
        else:
            expected = "expected combinations such as [{--opt: sgd, --lr: 1}]"
            findings.refuse(item, f"exclude holds {kind(item)}; {expected}.")
    return replace(options, exclude=tuple(rules))


def _random(options: SweepOptions, node: Node, most: int, findings: Findings) -> SweepOptions:
    return replace(options, random=_whole(node, "random", 1, most, findings))


def _sample_seed(options: SweepOptions, node: Node, most: int, findings: Findings) -> SweepOptions:
    return replace(options, sample_seed=_whole(node, "sample_seed", 0, 10**9, findings) or 0)


def _order(options: SweepOptions, node: Node, most: int, findings: Findings) -> SweepOptions:
    words = {"shuffle": True, "as written": False}
    if isinstance(node, Scalar) and node.text in words:
        return replace(options, shuffle=words[node.text])
    findings.refuse(node, f'order is {kind(node)}; expected shuffle, or "as written".')
    return options


def _columns(options: SweepOptions, node: Node, most: int, findings: Findings) -> SweepOptions:
    cells = []
    for key, value in _mapping(node, "columns", "{TIME_LIMIT: 2h}", findings):
        if key.text not in columns.CONTROL_COLUMNS:
            near = columns.did_you_mean(key.text, columns.CONTROL_COLUMNS)
            known = ", ".join(columns.CONTROL_COLUMNS)
            findings.refuse(key, f'"{printable(key.text)}" is no control column.{near} Known: {known}.')
        elif not isinstance(value, Scalar):
            findings.refuse(value, f"{key.text} holds {kind(value)}; expected one value, which every job gets.")
        elif fault := columns.fault(key.text, "" if value.null else value.text):
            findings.refuse(value, fault)
        elif not value.null:
            cells.append((key.text, value.text))
    return replace(options, columns=tuple(cells))


def _mapping(node: Node, name: str, example: str, findings: Findings) -> tuple[tuple[Scalar, Node], ...]:
    if isinstance(node, MappingNode):
        return node.entries
    findings.refuse(node, f"{name} is {kind(node)}; expected a mapping such as {example}.")
    return ()


def _whole(node: Node, name: str, least: int, most: int, findings: Findings) -> int | None:
    text = node.text if isinstance(node, Scalar) and node.plain else ""
    if text.isascii() and text.isdigit() and len(text) < 19 and least <= int(text) <= most:
        return int(text)
    findings.refuse(node, f"{name} is {kind(node)}; expected a whole number from {least} to {most}.")
    return None


_Reader = Callable[[SweepOptions, Node, int, Findings], SweepOptions]
_READERS: Mapping[str, _Reader] = {
    "repeat": _repeat,
    "zip": _zip,
    "exclude": _exclude,
    "random": _random,
    "sample_seed": _sample_seed,
    "order": _order,
    "columns": _columns,
}
