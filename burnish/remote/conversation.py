"""One question to one host, and its answer: for commands that need no link of their own."""

from __future__ import annotations

import threading
from typing import Any

from burnish.errors import HostUnreachable
from burnish.remote import agent
from burnish.remote.transport import Transport, bootstrap

LIMIT = 30.0  # s for the whole conversation
READ_SIZE = 1 << 16


def ask(transport: Transport, table: str, state_dir: str, question: dict[str, Any], answer: str) -> dict[str, Any]:
    """Send `question` to an agent; the first frame of type `answer`. Raises HostRefused or HostUnreachable."""
    channel = transport.open()
    watchdog = threading.Timer(LIMIT, channel.close)
    watchdog.start()
    try:
        data = bootstrap(channel)
        hello = {"type": "hello", "protocol": agent.PROTOCOL, "table": table, "state_dir": state_dir}
        channel.write(agent.encode_frame(hello) + agent.encode_frame(question))
        frames = agent.FrameReader()
        while True:
            for header, _ in frames.feed(data):
                if header["type"] == answer:
                    return header
                if header["type"] == "refused":
                    raise HostUnreachable(f"{transport.name}: {question['type']}: {header['why']}")
            if not (data := channel.read(READ_SIZE)):
                break
        raise HostUnreachable(f"{transport.name} did not answer {question['type']} within {LIMIT:.0f} s.")
    finally:
        watchdog.cancel()
        channel.close()
