"""From what people write to the text of a cell.

A cell is text; three texts mean something. Empty: the argument is left out. The column's own name: a bare flag. Anything else
is passed on as it stands. So a plain `true` becomes the column's name, plain `false` and `null` become empty, and everything
else keeps the characters that were typed: `1e-4` is not 0.0001.
"""

from __future__ import annotations

from burnish.core.columns import CONTROL_COLUMNS, RESERVED_COLUMNS, overlong
from burnish.core.document import Node, Scalar, kind
from burnish.errors import Problem, printable

# What YAML 1.1 read as booleans and nearly everything today reads as text.
LOOKS_BOOLEAN = frozenset({"y", "n", "yes", "no", "on", "off"})
NOT_A_NUMBER = frozenset({".nan", "nan", "+nan", "-nan"})

Value = str | bool | None


class Findings:
    """What is wrong with a file (which refuses it) and what is merely worth saying, both in the order of the file."""

    def __init__(self) -> None:
        self._problems: list[tuple[int, int, Problem]] = []
        self._notices: list[tuple[int, int, Problem]] = []

    def refuse(self, node: Node, what: str) -> None:
        self._problems.append((node.line, node.column, node.problem(what)))

    def note(self, node: Node, what: str) -> None:
        self._notices.append((node.line, node.column, node.problem(what)))

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for _, _, problem in sorted(self._problems))

    @property
    def notices(self) -> tuple[Problem, ...]:
        return tuple(notice for _, _, notice in sorted(self._notices))


def from_value(column: str, value: Value) -> str:
    """The cell for a Python value: True, False and None by the rule above, text as it is."""
    if value is True:
        return column
    return value if isinstance(value, str) else ""


def from_scalar(column: str, node: Node, findings: Findings) -> str:
    """The cell for a value in a grid; anything but a single value is refused and gives an empty cell."""
    if not isinstance(node, Scalar):
        findings.refuse(node, f"{printable(column)} holds {kind(node)} where a single value was expected.")
        return ""
    if node.null:
        return ""
    if node.boolean is not None:
        return from_value(column, node.boolean)
    _remark(column, node, findings)
    return node.text


def _remark(column: str, node: Scalar, findings: Findings) -> None:
    word = node.text.lower()
    if node.plain and word in NOT_A_NUMBER:
        findings.refuse(node, f"{node.text} cannot be searched over: it is not equal to itself. In quotes it is text.")
    elif node.plain and word in LOOKS_BOOLEAN:
        findings.note(
            node, f'{node.text} is passed as the text "{node.text}". Write true or false for a flag, or quote it.'
        )
    elif not node.text:
        findings.note(node, f'{printable(column)} is "", which leaves the argument out.')
    elif fault := uncellable(node.text):
        findings.refuse(node, fault)


def uncellable(text: str) -> str | None:
    """Why `text` cannot stand in a table, or None. Line feeds can; NUL and a carriage return alone cannot."""
    if "\0" in text:
        return "a NUL byte cannot stand in a table or in a command."
    if "\r" in text.replace("\r\n", ""):
        return "a carriage return without a line feed cannot stand in a table."
    fault = overlong(text)
    return f"this {fault}" if fault else None


def column_fault(name: str) -> str | None:
    """Why an argument cannot have this name, or None."""
    if name.upper() in RESERVED_COLUMNS:
        return f"{name} is burnish's own column and cannot be an argument."
    if name in CONTROL_COLUMNS:
        return f"{name} is a control column, not an argument: write it under `burnish: {{columns: {{{name}: …}}}}`."
    if not name.strip():
        return "an argument needs a name."
    return uncellable(name)
