"""A pytest plugin: of the files that pytest is given, runs the tests in `--chosen`, and writes to `--outcomes` how they went.

Node ids on pytest's command line would do, were it not that one name that is gone then keeps all others from being run.
`--chosen` names a file with a test on each line, as guards name them. `--outcomes` names a file that gets a line for each
phase of what ran: `passed`, `failed` or `skipped`, a space, the node id.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sabotage.run import covers


class Chosen:
    """Deselects all that `chosen` does not cover, and adds a line to `outcomes` as each phase of a test ends."""

    def __init__(self, chosen: Path, outcomes: Path) -> None:
        self._chosen = chosen.read_text(encoding="utf-8").splitlines()
        self._outcomes = outcomes

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if any(covers(test, item.nodeid) for test in self._chosen)]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "PYTEST_XDIST_WORKER" not in os.environ:  # else the process that started the workers hears of it too
            with self._outcomes.open("a", encoding="utf-8") as file:
                file.write(f"{report.outcome} {report.nodeid}\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--chosen", type=Path)
    parser.addoption("--outcomes", type=Path)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Chosen(config.getoption("chosen"), config.getoption("outcomes")))
