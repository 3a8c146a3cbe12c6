"""docs/bad-input.md holds every kind of bad input once, each with screens or tests that exist, and every screen has its row."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).resolve().parent
BAD = TESTS / "data" / "bad"
PAGE = (TESTS.parent / "docs" / "bad-input.md").read_text(encoding="utf-8")
LAST = 65

ROWS = re.findall(r"^\| B(\d+) \| .+? \| .+? \| (.+?) \|$", PAGE, re.MULTILINE)
NAMED = {name for _, proofs in ROWS for name in re.findall(r"`([^`]+)`", proofs)}


@cache
def functions(file: str) -> frozenset[str]:
    """Names of the functions that a file of tests defines."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_row_is_there_once_in_order_with_a_proof() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, LAST + 1))
    assert PAGE.count("\n| B") == LAST
    assert [number for number, proofs in ROWS if "`" not in proofs] == []


def test_what_the_page_names_exists() -> None:
    tests = {name for name in NAMED if "::" in name}
    assert [name for name in sorted(tests) if name.partition("::")[2] not in functions(name.partition("::")[0])] == []
    assert [name for name in sorted(NAMED - tests) if not (BAD / name / "screen").is_file()] == []


def test_every_screen_has_its_row() -> None:
    screens = {screen.parent.relative_to(BAD).as_posix() for screen in BAD.glob("*/*/screen")}
    kinds = {name.partition("/")[0] for name in NAMED if "::" not in name}
    assert kinds == {screen.partition("/")[0] for screen in screens}
    assert sorted(screens - NAMED) == []
