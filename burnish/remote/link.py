"""One coordinator's end of one host: a connection that is thrown away and made again.

The link owns no truth. A thread of its own connects, reads frames and turns them into reports on the coordinator's inbox; another
one writes, so that a host which does not read cannot stop the coordinator. When the connection drops, what was queued for it is
dropped too: the coordinator hears `HostConnected` after the next connect and gives again all orders that its state calls for.

A host that has answered once is taken to be usable: a refusal after that may pass, as one while it boots, and for some minutes it
is tried again. Not so where its host key says that it may be another host.

A connection is dead when nothing was heard for `DEAD` seconds, although a ping was sent after `PING`; or when its agent did not
begin to speak in that time. Time in which this process itself stood still (SIGSTOP, a suspended laptop) does not count.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from burnish.core import compact, reports
from burnish.core.jobs import HostName
from burnish.core.reports import Report
from burnish.errors import HostKeyRefused, HostRefused, HostUnreachable, NameUnknown
from burnish.remote import messages
from burnish.remote.agent.frames import PROTOCOL, FrameReader, ProtocolError, encode_frame
from burnish.remote.transport import Channel, Transport, bootstrap

PING = 20.0  # s of silence; longer than from one look at a host to the next, whose answer says that it lives
AGAIN = 60.0  # s after which it is measured again how long an answer takes
DEAD = 45.0  # s
SLOWEST_RETRY = 60.0  # s between two attempts to connect
REFUSALS = 20  # in a row, some ten minutes, after which one that has answered is believed that it lets us not in
PAUSE = 8.0  # s between two looks at the clock, two of a run at rest and more: longer, and it was us who stood still
READ_SIZE = 1 << 16

_STOP = None


class Link:
    """A host as a coordinator sees it. `start` once, `send` any time, `watch` now and then, `close` at the end."""

    def __init__(
        self,
        host: HostName,
        transport: Transport,
        table: str,
        state_dir: str,
        report: Callable[[Report], None],
        clock: Callable[[], float] = time.monotonic,
        engine: str = "host",
    ) -> None:
        self.host = host
        self.welcome: reports.Welcome | None = None
        self.round_trip = 0.0  # s from the last ping to its answer
        self._transport = transport
        self._hello = {"type": "hello", "protocol": PROTOCOL, "table": table, "state_dir": state_dir}
        self._hello["engine"] = engine
        self._report = report
        self._clock = clock
        self._channel: Channel | None = None
        self._outgoing: SimpleQueue[bytes | None] = SimpleQueue()
        self._met = False  # it has said what it is
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._heard = self._looked = self._pinged = clock()
        self._ping_id = ""
        self._thread = threading.Thread(target=self._live, name=f"link {host}", daemon=True)

    def start(self) -> None:
        """Begin to connect, and do so until `close`."""
        self._thread.start()

    @property
    def up(self) -> bool:
        """True between HostConnected and HostDropped."""
        return self.welcome is not None

    def send(self, *headers: dict[str, Any]) -> None:
        """Queue frames. While the link is down this does nothing: HostConnected will come."""
        if self.welcome is not None:
            self._outgoing.put(b"".join(encode_frame(header, encode=compact.encode) for header in headers))

    def watch(self) -> None:
        """Ping when it is time to; give up a connection on which nothing was heard for too long."""
        now = self._clock()
        if now - self._looked > PAUSE:
            self._heard += now - self._looked
        self._looked = now
        if now - self._heard > DEAD:
            self._drop_channel()
        elif self.welcome is not None and (now - max(self._heard, self._pinged) > PING or now - self._pinged > AGAIN):
            self._ping()

    def _ping(self) -> None:
        self._pinged, self._ping_id = self._clock(), secrets.token_hex(4)
        self.send({"type": "ping", "id": self._ping_id})

    def close(self) -> None:
        """End the connection and its threads; what runs on the host runs on."""
        self._closing.set()
        self._drop_channel()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    # -- the link's own threads ------------------------------------------------------------------------------------

    def _live(self) -> None:
        failures = refusals = 0
        while not self._closing.is_set():
            unknown, refused = "", 0
            try:
                try:
                    early = self._connect()
                    failures = 0
                    self._read(early)
                    why = "the connection ended"
                finally:
                    self._leave()
            except HostRefused as error:
                refused = refusals + 1
                if not self._met or refused >= REFUSALS or isinstance(error, HostKeyRefused):
                    hint = f"\nhint: {error.hint}" if error.hint else ""
                    self._tell(reports.HostTurnedAway(self.host, f"{error}{hint}"))
                    return
                why = str(error).replace("This host is left out.", "It is tried again.")
            except HostUnreachable as error:
                why, unknown = str(error), error.name if isinstance(error, NameUnknown) else ""
            except Exception as error:  # a link that dies silently would leave its host for ever "connecting"
                why = f"{type(error).__name__}: {error}"
            self._tell(reports.HostDropped(self.host, why, unknown))
            failures, refusals = max(failures, refused) + 1, refused
            self._closing.wait(min(SLOWEST_RETRY, 0.5 * 2 ** min(failures, 8)) * random.uniform(0.5, 1))

    def _connect(self) -> bytes:
        """Start an agent at the other end; what it said beyond its first words."""
        channel = self._transport.open()
        self._heard = self._clock()
        with self._lock:
            self._channel = channel
        if self._closing.is_set():
            channel.close()
        early = bootstrap(channel)
        self._outgoing = SimpleQueue()
        threading.Thread(
            target=self._write, args=(channel, self._outgoing), name=f"to {self.host}", daemon=True
        ).start()
        self._outgoing.put(encode_frame(self._hello))
        return early

    def _read(self, data: bytes) -> None:
        channel, frames = self._channel, FrameReader(compact.decode)
        while channel is not None:
            try:
                for header, body in frames.feed(data):
                    self._take(header, body)
            except (ProtocolError, KeyError, TypeError, ValueError) as error:
                raise HostUnreachable(f"{self.host}: its agent said something that is no message ({error}).") from None
            data = channel.read(READ_SIZE)
            self._heard = self._clock()
            if not data:
                return

    def _write(self, channel: Channel, outgoing: SimpleQueue[bytes | None]) -> None:
        while (frame := outgoing.get()) is not _STOP:
            frames = [frame]
            while not outgoing.empty():
                if (more := outgoing.get()) is _STOP:
                    outgoing.put(_STOP)
                    break
                frames.append(more)
            try:
                channel.write(b"".join(frames))
            except HostUnreachable:
                channel.close()
                return

    def _take(self, header: dict[str, Any], body: bytes) -> None:
        if header["type"] == "pong" and header.get("id") == self._ping_id:
            self.round_trip = self._clock() - self._pinged
        match messages.report(self.host, header, body):
            case reports.RequestRefused(request="hello", why=why):
                raise messages.cannot_work(self.host, why, passing=bool(header.get("passing")))
            case reports.HostConnected(welcome=welcome) as connected:
                self.welcome, self._met = welcome, True
                self._tell(connected)
                self._ping()
            case None:
                pass
            case told:
                self._tell(told)

    def _tell(self, report: Report) -> None:
        if not self._closing.is_set():
            self._report(report)

    def _leave(self) -> None:
        self.welcome = None
        self._outgoing.put(_STOP)
        self._drop_channel()

    def _drop_channel(self) -> None:
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
