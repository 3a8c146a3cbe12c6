"""Fixtures of the contract tests: the bench of real hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hosts import Bench, Network


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench without hosts; those that a test adds end with it."""
    made = Bench(tmp_path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def network(bench: Bench) -> Iterator[Network]:
    """A network that can be cut, for hosts of the bench; it goes after them."""
    made = Network()
    try:
        yield made
    finally:
        bench.close()
        made.close()
