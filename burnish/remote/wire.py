"""What carries an SSH connection: the socket to the first sshd on the way, and all that must go when it goes.

Shutting a socket down never blocks, and wakes whoever reads or writes on it, through all connections that are nested in it.
That is how limits are kept and how a watchdog ends a connection; paramiko's own ways of closing may wait for locks.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from typing import Protocol

from burnish.remote.ssh_config import Endpoint

DEAD_PEER = 45  # s until the kernel gives up a connection whose peer does not acknowledge
KEEPALIVE = 20  # s of silence after which something is sent: a NAT keeps its entry, and a dead peer is noticed
PROXY_GRACE = 2.0  # s for a ProxyCommand to end after TERM


class Closable(Protocol):
    """A connection that this wire carries."""

    def close(self) -> None:
        """Release it; may block."""


class Wire:
    """One dialled socket. Any thread may close it, at any time, more than once."""

    def __init__(self) -> None:
        self.closed = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._proxy: subprocess.Popen[bytes] | None = None
        self._carried: list[Closable] = []

    def dial(self, endpoint: Endpoint) -> socket.socket:
        """A socket that leads to `endpoint`'s sshd, over TCP or through its ProxyCommand. Raises OSError."""
        dialled = self._through_command(endpoint.proxy_command) if endpoint.proxy_command else _connected(endpoint)
        with self._lock:
            self._socket = dialled
        return dialled

    def add(self, connection: Closable) -> None:
        """`connection` is closed with this wire."""
        self._carried.append(connection)

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Cut the wire when the block takes longer, which ends whatever it waits for."""
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        """Cut, and have everything released. Never blocks, unless there is no thread to be had."""
        with self._lock:
            first, self.closed = not self.closed, True
        self._cut()
        if first:
            release = threading.Thread(target=self._release, name="ssh close", daemon=True)
            try:
                release.start()
            except RuntimeError:  # there are as many as this user, or its container, may have
                self._release()

    def _cut(self) -> None:
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _release(self) -> None:
        for connection in reversed(self._carried):
            with contextlib.suppress(Exception):  # whatever state it is in, the others must go too
                connection.close()
        if self._socket is not None:
            self._socket.close()
        if self._proxy is not None:
            self._proxy.terminate()
            try:
                self._proxy.wait(PROXY_GRACE)
            except subprocess.TimeoutExpired:
                self._proxy.kill()
                self._proxy.wait()

    def _through_command(self, command: str) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._proxy = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C at burnish must not end it
            )
        return ours


def _connected(endpoint: Endpoint) -> socket.socket:
    """A TCP connection to `endpoint`, by the first of its addresses that answers. Raises OSError."""
    failure: OSError | None = None
    for family, kind, protocol, _, address in socket.getaddrinfo(
        endpoint.hostname, endpoint.port, endpoint.address_family, socket.SOCK_STREAM
    ):
        dialled = socket.socket(family, kind, protocol)
        try:
            dialled.settimeout(endpoint.connect_timeout)
            dialled.connect(address)
        except OSError as error:
            dialled.close()
            failure = failure or error
            continue
        dialled.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE)
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        dialled.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER * 1000)
        return dialled
    raise failure or OSError("the name has no address")
