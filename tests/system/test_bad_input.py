"""Every way to get burnish's input wrong: the exact screen, the exit code, and nothing written that was not to be.

A case is a folder in tests/data/bad; `support.screens` says how it is written. To add one: put the files there and a `screen`
with the commands, run `PYTHONPATH=tests python -m support.screens tests/data/bad/KIND/CASE`, and keep what that wrote into
`screen` if a stranger would understand it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

import pytest
from support import screens
from support.screens import Screen

BAD = Path(__file__).parent.parent / "data" / "bad"
CASES = sorted(path.parent for path in BAD.glob("*/*/screen"))

Played = dict[Path, Future[list[Screen]]]


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[Played]:
    """What the chosen cases show. Several at a time: mostly they wait for a table to stand still, or for the disk."""
    chosen = [item.callspec.params.get("case") for item in request.session.items if hasattr(item, "callspec")]
    screens.load()
    with ProcessPoolExecutor(8, multiprocessing.get_context("fork")) as pool:
        yield {case: pool.submit(screens.play, case) for case in CASES if case in chosen}


def test_every_folder_is_a_case() -> None:
    assert len(CASES) > 90
    assert [folder for folder in BAD.glob("*/*") if folder not in CASES] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.parent.name}-{case.name}")
def test_bad_input_is_answered_by_a_sentence(case: Path, played: Played) -> None:
    for expected, came in zip(screens.read(case), played[case].result(), strict=True):
        assert screens.alike(expected, came), f"expected:\n{expected}\n\ncame:\n{came}"
        assert screens.PACKAGE not in str(came), "a user's mistake is answered with a traceback"
