"""From a host of the inventory to the transport that leads there. SSH is loaded only where it is used."""

from __future__ import annotations

from collections.abc import Callable

from burnish.core.hosts import Host
from burnish.errors import HostRefused
from burnish.remote.transport import Channel, LocalTransport, Transport


class NoTransport:
    """To a host that this version cannot use: a login node of Slurm is not for running jobs on."""

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        self._why = why

    def open(self) -> Channel:
        """Raises HostRefused."""
        raise HostRefused(f"{self.name}: {self._why} This host is left out.")


def transport(host: Host, note: Callable[[str], None]) -> Transport:
    """The way to `host`. `note` gets sentences for the user while it is travelled."""
    if host.engine == "slurm":
        return NoTransport(str(host.name), "`engine: slurm` comes with a later version of burnish.")
    if host.connection == "local":
        return LocalTransport(name=str(host.name))
    from burnish.remote.ssh import SshTransport

    return SshTransport(host, note=note)
