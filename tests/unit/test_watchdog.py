"""A loop that stands still is spoken for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support import wait_for

from burnish.watchdog import Watchdog

LOOK = 0.1  # s


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def watchdog(said: list[str]) -> Iterator[Watchdog]:
    made = Watchdog("burnish.db", said.append, LOOK)
    made.start()
    yield made
    made.stop()


def test_a_disk_that_does_not_answer_is_named_once_and_so_is_its_return(watchdog: Watchdog, said: list[str]) -> None:
    watchdog.turned()
    wait_for(lambda: len(said) == 1, lambda: said)
    watchdog.turned()
    wait_for(lambda: len(said) > 1, lambda: said)
    assert said[0].startswith("The disk of burnish.db, or that of the logs, has not answered for 60 s.")
    assert said[1] == "The disk of burnish.db answers again."


def test_a_loop_that_turns_is_not_spoken_for(watchdog: Watchdog, said: list[str]) -> None:
    turns = iter(range(1000))

    def turned() -> bool:
        watchdog.turned()
        return next(turns) > 20

    wait_for(turned, "", deadline=60)
    assert said == []
