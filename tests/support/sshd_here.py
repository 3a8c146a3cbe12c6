"""An sshd on this machine, among its own processes and files: the same host as the local pipe reaches, at the other end of SSH.

For tests that look at what an agent did, by pid and path. The bench (`hosts.py`) has hosts that are really different.
"""

from __future__ import annotations

import getpass
import itertools
import os
import shlex
import subprocess
from pathlib import Path

from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.remote.doorstep import Doorsteps
from burnish.remote.ssh import SshChannel, SshTransport
from tests.support.hosts import free_port, leave_the_machines_network, make_key
from tests.support.waiting import wait_for

# A /run of its own, where sshd has its empty folder.
BOOT = """
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/sshd
exec /usr/sbin/sshd -D -e -f "$1"
"""


class SshdHere:
    """Listens on loopback, lets in whoever runs the tests. Needs root. `close` ends it. `name`: of the host."""

    def __init__(self, folder: Path, name: str = "here") -> None:
        leave_the_machines_network()  # where the bench will go too
        self._folder = folder
        self.name = name
        self._numbers = itertools.count()
        port = free_port()
        config = folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"PermitRootLogin yes\nPasswordAuthentication no\nAuthorizedKeysFile {folder}/id_ed25519.pub\n"
        )
        public = make_key(folder / "host_key")
        (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
        make_key(folder / "id_ed25519")
        self._ssh_config = folder / "ssh_config"
        self._ssh_config.write_text(
            f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
            f"  UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile none\n"
            f"  IdentityFile {folder}/id_ed25519\n  IdentitiesOnly yes\n  IdentityAgent none\n"
        )
        self._log = folder / "sshd.log"
        with self._log.open("wb") as log:
            command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", BOOT, "boot", str(config)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: b"Server listening" in self._log.read_bytes(), lambda: self._log.read_text())

    def transport(self, python: str) -> OverSsh:
        """The way to an agent that `python` runs."""
        return OverSsh(self, python)

    def entry(self, python: str) -> Host:
        """This machine, with `python` in the environment that the test has now, as the local pipe would have it."""
        wrapper = self._folder / f"python{next(self._numbers)}"
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in os.environ.items())
        wrapper.write_text(f'#!/bin/sh\n{exports}exec {shlex.quote(python)} "$@"\n')
        wrapper.chmod(0o755)
        return Host(HostName(self.name), ssh_config=str(self._ssh_config), python=str(wrapper))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class OverSsh:
    """A transport to this machine: each `open` is a connection of its own."""

    def __init__(self, sshd: SshdHere, python: str) -> None:
        self.name = sshd.name
        self._sshd = sshd
        self._python = python

    def open(self) -> SshChannel:
        return SshTransport(self._sshd.entry(self._python), doorsteps=Doorsteps(at_once=8, failures=2)).open()
