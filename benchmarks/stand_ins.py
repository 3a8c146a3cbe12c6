"""Hosts that stand in for real ones: they speak the agent's protocol over sockets, and no job runs on them.

What the loader and the agent of a host say and in which order is theirs; that a job has started is said at once, and that it
has ended after a time that is drawn. Nothing is written anywhere. All of them live in one thread of one process.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import random
import selectors
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burnish.remote.agent.frames import PREAMBLE, PROTOCOL, FrameReader, encode_frame

READ_SIZE = 1 << 18
SPREAD = 0.5  # a job lasts between so much less and so much more than `seconds`

Frame = dict[str, Any]


@dataclass
class Attempt:
    """One that was started here: its slot, its start.json and, once it has ended, its final.json."""

    slot: int
    start: Frame
    final: Frame | None = None


@dataclass
class StandIn:
    """One host, from its loader's first byte on."""

    number: int
    socket: socket.socket
    loaded: bool = False
    early: bytes = b""
    reader: FrameReader = field(default_factory=FrameReader)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    behind: dict[str, Frame] = field(default_factory=dict)  # the attempt that is waited for -> the `start` that waits
    used: set[int] = field(default_factory=set)  # slots that have had a job
    outgoing: bytearray = field(default_factory=bytearray)

    @property
    def state_id(self) -> str:
        return f"{self.number:016x}"

    @property
    def incarnation(self) -> str:
        return f"stand-in-{self.number}"


class StandIns:
    """Listens at `path`; each connection is a host. A job lasts about `seconds` and prints `output` bytes.

    `used`: slots that have had a job. `acked`, `frames` and `busy` (s of all slots together) count from the last `reset` on.
    """

    def __init__(self, path: Path, seconds: float, output: int = 0, seed: int = 0) -> None:
        self.used = self.acked = self.frames = 0
        self.busy = 0.0
        self._running = 0
        self._seconds = seconds
        self._output = b"x" * (output - 1) + b"\n" if output else b""
        self._random = random.Random(seed)
        self._hosts = 0
        self._ends: list[tuple[float, int, str, StandIn]] = []  # when (monotonic) which attempt ends
        self._changed = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(4096)
        self._selector.register(self._listener, selectors.EVENT_READ)

    def reset(self) -> None:
        """Count from now on."""
        self._count()
        self.acked = self.frames = 0
        self.busy = 0.0

    def serve(self, until: float) -> None:
        """Be those hosts until this moment (monotonic)."""
        while (now := time.monotonic()) < until:
            self._end(now)
            following = min(until, self._ends[0][0]) if self._ends else until
            for key, _ in self._selector.select(max(0.0, following - now)):
                if key.data is None:
                    self._accept()
                else:
                    self._hear(key.data)
        self._count()

    def close(self) -> None:
        """All connections break."""
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _count(self, change: int = 0) -> None:
        now = time.monotonic()
        self.busy += self._running * (now - self._changed)
        self._changed = now
        self._running += change

    # -- connections -----------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        self._hosts += 1
        self._selector.register(connection, selectors.EVENT_READ, StandIn(self._hosts, connection))

    def _hear(self, host: StandIn) -> None:
        try:
            data = host.socket.recv(READ_SIZE)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(host.socket)
            host.socket.close()
            self._count(-sum(attempt.final is None for attempt in host.attempts.values()))
            host.attempts.clear()
            return
        if not host.loaded:
            data = self._load(host, data)
        for header, _ in host.reader.feed(data):
            self.frames += 1
            self._serve(host, header)
        self._flush(host)

    def _flush(self, host: StandIn) -> None:
        data, host.outgoing = host.outgoing, bytearray()
        with contextlib.suppress(OSError):  # it has hung up; that is read next
            host.socket.sendall(data)

    def _load(self, host: StandIn, data: bytes) -> bytes:
        """The loader's part; what came behind the agent's text."""
        host.early += data
        line, _, source = host.early.partition(b"\n")
        if b"\n" not in host.early or len(source) < (greeting := json.loads(line))["size"]:
            return b""
        host.loaded, host.early = True, b""
        host.outgoing += (PREAMBLE % greeting["nonce"]).encode()
        return source[greeting["size"] :]

    # -- the agent's words -----------------------------------------------------------------------------------------

    def _say(self, host: StandIn, kind: str, body: bytes = b"", **fields: Any) -> None:
        host.outgoing += encode_frame({**fields, "type": kind}, body)

    def _serve(self, host: StandIn, request: Frame) -> None:
        match request["type"]:
            case "hello":
                self._greet(host)
            case "ping":
                self._say(host, "pong", id=request["id"])
            case "list":
                self._say(host, "listed")
            case "look":
                self._say(host, "seen", **_seen(host))
            case "start":
                self._start(host, request)
            case "void":
                self._void(host, request["attempt"], request["why"])
            case "pull":
                self._give_log(host, request)
            case "ack":
                self.acked += host.attempts.pop(request["attempt"], None) is not None
            case kind:
                self._say(
                    host, "refused", request=kind, attempt=request.get("attempt"), why="a stand-in does not do that"
                )

    def _greet(self, host: StandIn) -> None:
        about: Frame = {"state_id": host.state_id, "incarnation": host.incarnation, "hostname": f"host{host.number}"}
        about |= {"source": f"/home/stand-in/agent-{host.number}.py", "python": "3.11.0"}
        self._say(host, "welcome", protocol=PROTOCOL, uid=1000, pid=host.number, now=time.time(), **about)

    def _start(self, host: StandIn, request: Frame) -> None:
        after = request.get("after") or ""
        leader = host.attempts.get(after)
        if (leader is not None and leader.final is None) or any(
            one["attempt"] == after for one in host.behind.values()
        ):
            host.behind[after] = request
            return
        name, spec = request["attempt"], request["spec"]
        if name in host.attempts:
            self._tell(host, name)
            return
        slot = spec["slots"]["cpu"][0]
        seconds = self._random.uniform(1 - SPREAD, 1 + SPREAD) * self._seconds
        if slot not in host.used:
            host.used.add(slot)
            self.used += 1
            seconds *= self._random.random()  # as if it had been running for a while: the slots do not end as one
        go = {
            "supervisor": {"pid": 1000 + slot, "starttime": 12345678},
            "started": time.time(),
            "incarnation": host.incarnation,
            "host": f"host{host.number}",
            "argv0": spec["argv"][0],
            "pid": 2000 + slot,
        }
        host.attempts[name] = Attempt(slot, {"go": go})
        self._count(+1)
        heapq.heappush(self._ends, (time.monotonic() + seconds, id(host), name, host))
        self._tell(host, name)

    def _tell(self, host: StandIn, name: str) -> None:
        """How an attempt stands that was started here."""
        attempt = host.attempts[name]
        if attempt.final is None:
            self._say(host, "status", attempt=name, status="running", supervised=True, start=attempt.start)
        else:
            about = {"start": attempt.start, "final": attempt.final, "sizes": attempt.final["exit"]["sizes"]}
            self._say(host, "status", attempt=name, status="ended", **about)

    def _void(self, host: StandIn, name: str, why: str) -> None:
        """One that waits never starts; one that has started goes on."""
        if name in host.attempts:
            self._tell(host, name)
            return
        leader = next((leader for leader, start in host.behind.items() if start["attempt"] == name), "")
        if leader:
            del host.behind[leader]
        if leader and name in host.behind:  # who is next in its line waits for who was before it
            host.behind[leader] = host.behind.pop(name)
        self._say(host, "status", attempt=name, status="void", start={"void": {"why": why}})

    def _end(self, now: float) -> None:
        """What is over by now."""
        told = {}
        while self._ends and self._ends[0][0] <= now:
            _, _, name, host = heapq.heappop(self._ends)
            if (attempt := host.attempts.get(name)) is None:
                continue  # its connection broke
            self._count(-1)
            attempt.final = self._final(attempt)
            self._tell(host, name)
            if name in host.behind:
                self._start(host, host.behind.pop(name))
            told[host.number] = host
        for host in told.values():
            self._flush(host)

    def _final(self, attempt: Attempt) -> Frame:
        started, ended = attempt.start["go"]["started"], time.time()
        times = {"started": started, "ended": ended, "duration": ended - started}
        sizes = {"out": len(self._output), "err": 0}
        about = {"pid": attempt.start["go"]["pid"], "max_rss": 13000, "leftovers": 0, "cancelled": None, "sizes": sizes}
        return {"exit": {"code": 0, **times, **about}}

    def _give_log(self, host: StandIn, request: Frame) -> None:
        """Its output is there when it has ended."""
        attempt, offset = host.attempts.get(request["attempt"]), request["offset"]
        printed = self._output if attempt and attempt.final and request["stream"] == "out" else b""
        body = printed[offset : offset + request["size"]]
        what: Frame = {"attempt": request["attempt"], "stream": request["stream"], "offset": offset}
        self._say(host, "log", body, size=len(body), end=len(printed), **what)


def _seen(host: StandIn) -> Frame:
    """Of a host without GPUs; the names of the locks of slots that are held."""
    held = [f"cpu-{host.state_id}-{attempt.slot}" for attempt in host.attempts.values() if attempt.final is None]
    return {
        "now": time.time(),
        "load": list(os.getloadavg()),
        "cpus": 8,
        "disk_free": 1 << 40,
        "workdir": None,
        "needs": [],
        "python": "3.11.0",
        "user": "stand-in",
        "mask": None,
        "driver": "",
        "gpus": [],
        "gpu_error": None,
        "gpu_exit": None,
        "age": None,
        "held": held,
    }
