"""Which way leads to a host, and to which none does yet."""

from __future__ import annotations

import pytest

from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.errors import HostRefused
from burnish.remote.reach import transport
from burnish.remote.transport import LocalTransport


def test_nothing_is_started_on_a_login_node_of_slurm() -> None:
    way = transport(Host(HostName("hpc"), engine="slurm", connection="local"), print)
    with pytest.raises(
        HostRefused, match=r"hpc: `engine: slurm` comes with a later version of burnish\. This host is left out\."
    ):
        way.open()


def test_this_machine_needs_no_ssh() -> None:
    assert isinstance(transport(Host(HostName("desk"), connection="local"), print), LocalTransport)
