"""A long wire between two networks: every packet arrives late, or, while it is cut, not at all.

The kernel's own way to do this (netem) is missing from many kernels, so the packets pass through this process: each end is a TUN
device. What is late is the packet, so handshakes and acknowledgements take their time too. Needs root and /dev/net/tun.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import threading
import time
from collections import deque

from tests.support.hosts import Network

FAR = "10.99.0."  # the hosts are 1 to 127 of it
NEAR = "10.99.0.254"
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
PACKET = 65536  # bytes, at most


class Wire:
    """From `near`, where clients are, to `far`, where hosts of a bench may be: `delay` s each way."""

    def __init__(self, delay: float) -> None:
        self.near, self.far = Network(), Network(FAR)
        self.cut = threading.Event()  # while it is set, packets are lost
        self._delay = delay
        self._ends = self.near.inside(open_end), self.far.inside(open_end)
        self._stop, self._stopped = os.pipe()
        _ip(self.near, f"addr add {NEAR} dev wire", "link set wire up", f"route add {FAR}0/25 dev wire")
        _ip(self.far, "link set wire up", f"route add local {FAR}0/25 dev lo", f"route add {NEAR} dev wire")
        self._thread = threading.Thread(target=self._carry, name="wire", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take it down; call when the hosts have ended."""
        os.close(self._stopped)
        self._thread.join()
        for descriptor in (*self._ends, self._stop):
            os.close(descriptor)
        self.near.close()
        self.far.close()

    def _carry(self) -> None:
        near, far = self._ends
        under_way: deque[tuple[float, int, bytes]] = deque()  # when it arrives, where, what
        while True:
            until = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
            ready = select.select([near, far, self._stop], [], [], until)[0]
            if self._stop in ready:
                return
            for end in ready:
                packet = os.read(end, PACKET)
                if not self.cut.is_set():
                    under_way.append((time.monotonic() + self._delay, far if end == near else near, packet))
            while under_way and under_way[0][0] <= time.monotonic():
                _, end, packet = under_way.popleft()
                try:
                    os.write(end, packet)
                except OSError:
                    pass  # its queue is full: lost, as on any wire


def open_end() -> int:
    """One end, in the network of the calling thread."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
    return end


def _ip(network: Network, *commands: str) -> None:
    for command in commands:
        subprocess.run([*network.enter, "ip", *command.split()], check=True)
