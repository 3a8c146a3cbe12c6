"""Which way leads to a host, and to which none does yet."""

from __future__ import annotations

from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.remote.reach import transport
from burnish.remote.transport import LocalTransport


def test_this_machine_needs_no_ssh() -> None:
    assert isinstance(transport(Host(HostName("desk"), connection="local"), print), LocalTransport)
