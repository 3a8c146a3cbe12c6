"""The other end of an agent's frames, as plain calls: ask, and wait for an answer with a deadline."""

from __future__ import annotations

import os
import queue
import secrets
import select
import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from burnish.errors import BurnishError
from burnish.remote.agent.frames import BODY_LIMIT, PROTOCOL, FrameReader, encode_frame
from burnish.remote.transport import Channel, Transport, bootstrap

Frame = dict[str, Any]
DEADLINE = 20.0  # s


class LinkEnded(AssertionError):
    """The agent went away while a test waited for it to speak."""


class AgentClient:
    """One link to one agent. `welcome` is its answer to hello; frames that nobody asked for yet wait in `backlog`."""

    def __init__(self, transport: Transport, table: str, state_dir: str) -> None:
        self.channel: Channel = transport.open()
        self.backlog: list[Frame] = []
        self.ending = ""
        self._frames: queue.Queue[Frame | None] = queue.Queue()
        first = bootstrap(self.channel)
        threading.Thread(target=self._listen, args=(first,), daemon=True).start()
        hello = {"protocol": PROTOCOL, "table": table, "state_dir": state_dir}
        self.welcome = self.ask("hello", answer="welcome", **hello)
        self.pid: int = self.welcome.get("pid", 0)

    def __enter__(self) -> AgentClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.channel.close()

    def send(self, kind: str, **fields: Any) -> None:
        self.channel.write(encode_frame({"type": kind, **fields}))

    def next_frame(self, deadline: float = DEADLINE) -> Frame:
        """The next frame from the agent; a log's bytes are under "body"."""
        try:
            frame = self._frames.get(timeout=deadline)
        except queue.Empty:
            raise AssertionError(
                f"no frame within {deadline} s; not yet used: {[_brief(f) for f in self.backlog]}"
            ) from None
        if frame is None:
            self._frames.put(None)
            raise LinkEnded(f"the agent is gone ({self.ending}); not yet used: {[_brief(f) for f in self.backlog]}")
        return frame

    def wait(self, wanted: Callable[[Frame], bool], deadline: float = DEADLINE) -> Frame:
        """The first frame, seen before or still to come, for which `wanted` is true; others stay in `backlog`."""
        for index, frame in enumerate(self.backlog):
            if wanted(frame):
                return self.backlog.pop(index)
        end = time.monotonic() + deadline
        while True:
            frame = self.next_frame(max(0.001, end - time.monotonic()))
            if wanted(frame):
                return frame
            self.backlog.append(frame)

    def ask(self, kind: str, answer: str, **fields: Any) -> Frame:
        """Send a request; return its answer, about its attempt if it names one, or the refusal. What came before is forgotten."""
        self.backlog.clear()
        self.send(kind, **fields)

        def wanted(frame: Frame) -> bool:
            if frame["type"] == answer:
                return "attempt" not in fields or bool(frame["attempt"] == fields["attempt"])
            return bool(frame["type"] == "refused" and frame["request"] == kind)

        return self.wait(wanted)

    def wait_status(self, attempt: str, *statuses: str, deadline: float = DEADLINE) -> Frame:
        """The next status of `attempt` that is one of `statuses`."""
        return self.wait(
            lambda frame: frame["type"] == "status" and frame["attempt"] == attempt and frame["status"] in statuses,
            deadline,
        )

    def status(self, attempt: str) -> Frame:
        return self.ask("status", "status", attempt=attempt)

    def void(self, attempt: str, **fields: Any) -> Frame:
        return self.ask("void", "status", attempt=attempt, why="the test says so", **fields)

    def cancel(self, attempt: str, grace: float = 1.0, by: str = "alice", deadline: float = DEADLINE) -> Frame:
        """Ask for the end of an attempt, and wait for it."""
        self.backlog.clear()
        self.send("cancel", attempt=attempt, grace=grace, by=by)
        return self.wait_status(attempt, "ended", "void", deadline=deadline)

    def ack(self, attempt: str) -> Frame:
        """Have an attempt put away; the answer to what was asked next, or the refusal."""
        self.backlog.clear()
        self.send("ack", attempt=attempt)
        self.send("ping", id=attempt)
        return self.wait(lambda frame: frame["type"] == "pong" or frame.get("request") == "ack")

    def statuses(self) -> dict[str, Frame]:
        """What `list` says, by attempt."""
        self.backlog.clear()
        self.send("list")
        self.wait(lambda frame: frame["type"] == "listed")
        return {frame["attempt"]: frame for frame in self.backlog if frame["type"] == "status"}

    def pull(self, attempt: str, stream: str = "out") -> bytes:
        """All of a log."""
        text = b""
        while True:
            fields = {"attempt": attempt, "stream": stream, "offset": len(text), "size": BODY_LIMIT}
            log = self.ask("pull", "log", **fields)
            assert log["type"] == "log", log
            text += log["body"]
            if len(text) >= log["end"]:
                return text

    def start(self, *argv: str, attempt: str = "", **fields: Any) -> str:
        """Send a start, return the attempt's name. `fields` go into the spec, `cwd` is / unless given."""
        attempt = attempt or new_attempt()
        self.send("start", attempt=attempt, spec=make_spec(*argv, **fields))
        return attempt

    def run(self, *argv: str, **fields: Any) -> Frame:
        """Start a command and wait until its attempt has ended, or was voided."""
        return self.wait_status(self.start(*argv, **fields), "ended", "void")

    def _listen(self, data: bytes) -> None:
        frames = FrameReader()
        try:
            while True:
                for header, body in frames.feed(data):
                    self._frames.put({**header, "body": body} if header["type"] == "log" else header)
                data = self.channel.read(1 << 16)
                if not data:
                    break
        except BurnishError as error:
            self.ending = str(error)
        self._frames.put(None)


def make_spec(*argv: str, **fields: Any) -> Frame:
    """A spec that runs `argv` in /, with `fields` in place of the defaults."""
    spec: Frame = {"argv": list(argv), "cwd": "/", "env": {}, "setup": "", "out": None, "err": None}
    return {**spec, "grace": 5.0, "locks": [], "time_limit": None, **fields}


_numbers = iter(range(1, 1 << 30))


def new_attempt() -> str:
    return f"{next(_numbers)}.1-{secrets.token_hex(4)}"


def kill(pid: int) -> None:
    """SIGKILL to a pid that the test recorded, and wait until it is dead: from then on its children have another parent."""
    death = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(death, signal.SIGKILL)
        assert select.select([death], [], [], DEADLINE)[0], f"{pid} outlives SIGKILL"
    finally:
        os.close(death)


def _brief(frame: Frame) -> str:
    return f"{frame['type']} {frame.get('attempt', '')} {frame.get('status', frame.get('why', ''))}".strip()


def sizes_of(status: Frame) -> dict[str, int]:
    """Of the logs of an attempt that has ended: its verdict says them, or its host."""
    sizes: dict[str, int] = status["final"].get("exit", {}).get("sizes") or status["sizes"]
    return sizes
