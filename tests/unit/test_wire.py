"""What carries an SSH connection is released when it is closed, whatever there is a want of."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from support.sweeps import children

from burnish.remote.ssh_config import Endpoint
from burnish.remote.wire import Wire

NONE_HAS = 1 << 46  # bytes of stack that no thread can have


class Carried:
    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def no_threads() -> Iterator[None]:
    before = threading.stack_size(NONE_HAS)
    yield
    threading.stack_size(before)


def test_wire_is_released_although_no_thread_can_be_started(no_threads: None) -> None:
    with pytest.raises(RuntimeError):
        threading.Thread(target=print).start()
    wire, carried, before = Wire(), Carried(), children(os.getpid())
    dialled = wire.dial(Endpoint("far", "far", 22, "alice", proxy_command="cat"))
    wire.add(carried)
    assert len(children(os.getpid())) == len(before) + 1
    wire.close()
    wire.close()
    assert carried.closed and dialled.fileno() == -1 and children(os.getpid()) == before
