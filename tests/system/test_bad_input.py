"""Every way to get burnish's input wrong: the exact screen, the exit code, and nothing written that was not to be.

A case is a folder in tests/data/bad; `support.screens` says how it is written. To add one: put the files there and a `screen`
with the commands, run `PYTHONPATH=tests python -m support.screens tests/data/bad/KIND/CASE`, and keep what that wrote into
`screen` if a stranger would understand it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from support import screens

BAD = Path(__file__).parent.parent / "data" / "bad"
KINDS = sorted(folder.name for folder in BAD.iterdir())
AT_ONCE = 6  # mostly they wait, for a table to stand still or for the disk


def wrong(case: Path, came: list[screens.Screen]) -> Iterator[str]:
    """Where the screens of a case are not what they should be."""
    for expected, shown in zip(screens.read(case), came, strict=True):
        if not screens.alike(expected, shown):
            yield f"{case}, expected:\n{expected}\n\ncame:\n{shown}\n"
        if screens.PACKAGE in str(shown):
            yield f"{case}: a user's mistake is answered with a traceback:\n{shown}\n"


def test_every_folder_is_a_case() -> None:
    assert len(list(BAD.glob("*/*"))) > 150
    assert [folder for folder in BAD.glob("*/*") if not (folder / "screen").is_file()] == []


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_answered_by_a_sentence(kind: str) -> None:
    cases = sorted((BAD / kind).iterdir())
    screens.load()
    with ProcessPoolExecutor(AT_ONCE, multiprocessing.get_context("fork")) as pool:
        found = [
            line for case, came in zip(cases, pool.map(screens.play, cases), strict=True) for line in wrong(case, came)
        ]
    assert not found, "\n".join(found)
