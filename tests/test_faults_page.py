"""docs/faults.md holds every fault once, each with tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
PAGE = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
WORLDS = "simulation/test_simulation.py::test_promises_hold_in_hundreds_of_worlds"
LAST = 81


def rows() -> list[tuple[int, str, str, str]]:
    """Number, fault, promise, tests."""
    found = re.findall(r"^\| F(\d+) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)
    return [(int(number), fault, promise, tests) for number, fault, promise, tests in found]


def named(tests: str) -> list[str]:
    """The tests of a row."""
    return [*re.findall(r"`([^`]+::[^`]+)`", tests), *([WORLDS] if re.search(r"\bWorlds\b", tests) else [])]


@cache
def functions(file: str) -> frozenset[str]:
    """Names of the functions that a file of tests defines."""
    path = TESTS / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_fault_is_there_once_in_order() -> None:
    assert [number for number, *_ in rows()] == list(range(1, LAST + 1))
    assert PAGE.count("\n| F") == LAST


@pytest.mark.parametrize("name", sorted({name for *_, tests in rows() for name in named(tests)}))
def test_named_test_exists(name: str) -> None:
    file, _, function = name.partition("::")
    assert function.startswith("test_") and function in functions(file)


def test_every_row_has_a_test() -> None:
    assert [number for number, _, _, tests in rows() if not named(tests)] == []
