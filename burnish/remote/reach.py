"""From a host of the inventory to the transport that leads there. SSH is loaded only where it is used."""

from __future__ import annotations

from collections.abc import Callable

from burnish.core.hosts import Host
from burnish.remote.transport import LocalTransport, Transport


def transport(host: Host, note: Callable[[str], None]) -> Transport:
    """The way to `host`. `note` gets sentences for the user while it is travelled."""
    if host.connection == "local":
        return LocalTransport(name=str(host.name))
    from burnish.remote.ssh import SshTransport

    return SshTransport(host, note=note)
