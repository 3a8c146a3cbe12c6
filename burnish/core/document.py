"""A YAML file as people typed it: nodes with their place and their own text.

YAML's idea of types is not a person's: `1e-4` is text to it, `no` is False, `010` is 8 and `1.10` is 1.1. So a scalar stays
the text that was typed, together with whether it stood there plainly or in quotes, and whoever reads a node decides what it
means. Every node knows its place, because every complaint about it must name one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct

from burnish.errors import Problem

NULL_WORDS = frozenset({"", "~", "null", "Null", "NULL"})
TRUE_WORDS = frozenset({"true", "True", "TRUE"})
FALSE_WORDS = frozenset({"false", "False", "FALSE"})


class Placed(Struct, frozen=True):
    """Something at `line` and `column` (both from 1) of `file` (the path as the user gave it)."""

    file: str
    line: int
    column: int

    @property
    def where(self) -> str:
        """`grid.yaml:4:1`, as compilers write it."""
        return f"{self.file}:{self.line}:{self.column}"

    def problem(self, what: str) -> Problem:
        """The complaint `what` about this node."""
        return Problem(self.where, what)


class Scalar(Placed, frozen=True):
    """One value. `text` is what was typed (escapes and folding undone); `plain` is False in quotes, `|`, `>` or `!!str`."""

    text: str
    plain: bool

    @property
    def null(self) -> bool:
        """True for nothing, `~` and `null`, typed plainly."""
        return self.plain and self.text in NULL_WORDS

    @property
    def boolean(self) -> bool | None:
        """The truth value of a plain `true` or `false`; None for anything else, `yes` and `on` included."""
        if self.plain and self.text in TRUE_WORDS:
            return True
        if self.plain and self.text in FALSE_WORDS:
            return False
        return None


class Sequence(Placed, frozen=True):
    """A list."""

    items: tuple[Node, ...]


class Mapping(Placed, frozen=True):
    """`key: value` pairs in file order, aliases and `<<` resolved. No key text occurs twice."""

    entries: tuple[tuple[Scalar, Node], ...]

    def get(self, key: str) -> Node | None:
        """The value of `key`, or None where there is no such key."""
        return next((value for name, value in self.entries if name.text == key), None)

    def __contains__(self, key: str) -> bool:
        return any(name.text == key for name, _ in self.entries)

    def __iter__(self) -> Iterator[tuple[Scalar, Node]]:
        return iter(self.entries)


Node: TypeAlias = "Scalar | Sequence | Mapping"


def kind(node: Node) -> str:
    """What a person would call it: `nothing`, `a list`, `a mapping`, or the text itself."""
    match node:
        case Sequence():
            return "a list"
        case Mapping():
            return "a mapping"
        case Scalar(null=True):
            return "nothing"
        case Scalar():
            return f'"{node.text}"'
