"""A cable between burnish and a host of the bench that can be spoilt: a relay of TCP connections, in threads of the test.

What it holds back is not lost for TCP's own purposes: both kernels go on acknowledging. So only who asks for an answer notices.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.support.hosts import ACCOUNT, Bench, RemoteHost

UP, DOWN = "to the host", "to burnish"


class Relay:
    """Listens on loopback for `host`. ssh's configuration leads there under the name that `way_to` gives."""

    def __init__(self, host: RemoteHost) -> None:
        self.carried = {UP: 0, DOWN: 0}  # bytes, on the newest connection
        self.connections = 0
        self.on_bytes: Callable[[], None] = lambda: None  # called after each piece, in a thread of the relay
        self._host = host
        self._flows = {UP: threading.Event(), DOWN: threading.Event()}
        self._ends: list[socket.socket] = []
        self._lost: set[socket.socket] = set()  # ends of connections that lead nowhere any more
        self._lock = threading.Lock()
        for flow in self._flows.values():
            flow.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._serve()

    def hold(self, *directions: str) -> None:
        """From now on nothing that goes in these directions arrives. Nobody hangs up."""
        for direction in directions:
            self._flows[direction].clear()

    def flow(self) -> None:
        """Everything arrives, what was held back first."""
        for flow in self._flows.values():
            flow.set()

    def reset(self) -> None:
        """Break every connection off, as a firewall does that forgot it (RST, and no FIN before it)."""
        ends = self._taken()
        wakers = [end.dup() for end in ends]
        for end in ends:
            end.close()  # so that a thread that wakes has nothing left to end in an orderly way
        for waker in wakers:
            with suppress(OSError):
                waker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                waker.shutdown(socket.SHUT_RD)
            waker.close()

    def hang_up(self) -> None:
        """End every connection as its other end would (FIN)."""
        for end in self._taken():
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def lose(self) -> None:
        """From now on nothing arrives on the connections that there are, and nobody hangs up. New ones are sound."""
        with self._lock:
            self._lost.update(self._ends)

    def refuse(self) -> None:
        """Break every connection off, and take no new ones: nobody listens any more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts, and only then is the port free
        self._listener.close()
        self.reset()

    def listen(self) -> None:
        """Take connections again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._serve()

    def close(self) -> None:
        self.refuse()
        self.flow()

    def _taken(self) -> list[socket.socket]:
        with self._lock:
            ends, self._ends = self._ends, []
        return ends

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                try:
                    far = socket.create_connection((self._host.address, self._host.port))
                except OSError:
                    near.close()
                    continue
                self.connections += 1
                self.carried = {UP: 0, DOWN: 0}
                with self._lock:
                    self._ends += [near, far]
                for direction, source, sink in ((UP, near, far), (DOWN, far, near)):
                    threading.Thread(target=self._carry, args=(direction, source, sink), daemon=True).start()

    def _carry(self, direction: str, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 14):
                self._flows[direction].wait()
                if source in self._lost:
                    continue
                sink.sendall(data)
                self.carried[direction] += len(data)
                self.on_bytes()
        for end in (source, sink) if source not in self._lost else ():
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def way_to(bench: Bench, host: RemoteHost, name: str) -> Relay:
    """A relay to `host`, which ssh reaches as `name`."""
    relay = Relay(host)
    public = (host.folder / "host_key.pub").read_text().strip()
    with bench.known_hosts.open("a") as file:
        file.write(f"[127.0.0.1]:{relay.port} {public}\n")
    bench.configure(f"Host {name}\n  HostName 127.0.0.1\n  Port {relay.port}\n  User {ACCOUNT}\n")
    return relay
