"""Fixtures of the contract tests: the bench of real hosts, and the transports that every host's promises hold over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.remote.transport import LocalTransport, Transport
from tests.support.hosts import Bench, Network
from tests.support.one_host import PYTHON, oldest_python
from tests.support.sshd_here import SshdHere

PYTHONS = {"local": PYTHON, "ssh": PYTHON}
if old := oldest_python():
    PYTHONS["local on Python 3.8"] = old


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


@pytest.fixture(scope="session")
def sshd_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdHere]:
    """An sshd on this machine, for as long as the tests run."""
    made = SshdHere(tmp_path_factory.mktemp("sshd"))
    yield made
    made.close()


@pytest.fixture(params=list(PYTHONS))
def transport(request: pytest.FixtureRequest) -> Transport:
    """A way to an agent on this machine, by pipe or by SSH."""
    python = PYTHONS[request.param]
    if request.param != "ssh":
        return LocalTransport(python)
    sshd: SshdHere = request.getfixturevalue("sshd_here")
    return sshd.transport(python)
