"""A few questions to one host, and their answers: for commands that need no link of their own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from burnish.errors import HostUnreachable
from burnish.remote.agent.frames import PROTOCOL, FrameReader, encode_frame
from burnish.remote.messages import cannot_work
from burnish.remote.transport import Transport, bootstrap

LIMIT = 30.0  # s for the whole conversation
READ_SIZE = 1 << 16


class Conversation:
    """An agent that answers one question after the other. Use it in a `with` block; `welcome` is what it said of its host.

    Entering it and asking raise HostRefused or HostUnreachable. It ends after `LIMIT` s in any case.
    """

    def __init__(self, transport: Transport, table: str, state_dir: str, engine: str = "host") -> None:
        self.welcome: dict[str, Any] = {}
        self._transport = transport
        where = {"table": table, "state_dir": state_dir, "engine": engine}
        self._hello = {"type": "hello", "protocol": PROTOCOL, **where}

    def __enter__(self) -> Conversation:
        self._channel = self._transport.open()
        self._watchdog = threading.Timer(LIMIT, self._channel.close)
        self._watchdog.daemon = True
        self._watchdog.start()
        try:
            self._headers = self._heard(bootstrap(self._channel))
            self.welcome = self.ask(self._hello, "welcome")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, question: dict[str, Any], answer: str) -> dict[str, Any]:
        """Send `question`; the next frame of type `answer`. Raises HostUnreachable, with the agent's reason if it gave one."""
        self._channel.write(encode_frame(question))
        return self.hear(answer, about=question["type"])

    def hear(self, answer: str, about: str) -> dict[str, Any]:
        """The next frame of type `answer`. Raises HostUnreachable as `ask` does, HostRefused where its agent cannot work."""
        for header in self._headers:
            if header["type"] == answer:
                return header
            if header["type"] == "refused" and about == "hello":
                raise cannot_work(self._transport.name, str(header["why"]), passing=bool(header.get("passing")))
            if header["type"] == "refused":
                raise HostUnreachable(f"{self._transport.name}: {about}: {header['why']}")
        raise HostUnreachable(f"{self._transport.name} did not answer {about} within {LIMIT:.0f} s.")

    def _heard(self, data: bytes) -> Iterator[dict[str, Any]]:
        frames = FrameReader()
        while True:
            for header, _ in frames.feed(data):
                yield header
            if not (data := self._channel.read(READ_SIZE)):
                return

    def _end(self) -> None:
        self._watchdog.cancel()
        self._channel.close()
