"""A script: one conversation with an agent, cut after each of its bytes, in each direction; the next link finishes it.

`cut_links.py FOLDER STRIDE FIRST`: every STRIDE-th cut from FIRST on. The conversation is what a coordinator says, on its first
link as on its tenth: what have you got, start what is not there, tell me its end, give me its logs, forget it. Cut is the link
that starts the job, and the one that comes back for it; at each byte in the four ways of `HOWS`. A process of its own, of one
thread: agents are forked from it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from burnish.remote.agent.frames import PREAMBLE, PROTOCOL, FrameReader, encode_frame
from burnish.remote.agent.serving import serve
from tests.support.agent_client import sizes_of

DEADLINE = 30.0  # s for an answer
TABLE, NONCE = "table-1", "00"
OUT, ERR, CODE = b"line\n" * 20, b"warning\n", 3
UP, DOWN = "up", "down"
FIRST, SECOND = "first", "second"
# What becomes of a link that is cut: each end learns that it broke (RST); each reads its orderly end (FIN); nobody learns
# anything, the agent lives on, and what was on its way arrives when the next link has done all (a hole); it ends with its agent.
RESET, FINISHED, HOLE, KILLED = HOWS = ("reset", "finished", "a hole", "agent killed")
PIECE = 64  # bytes of a log asked for at a time: more than one piece

Frame = dict[str, Any]


class Cut(NamedTuple):
    """Where a link breaks: after so many bytes in a direction. `how`: one of `HOWS`."""

    direction: str
    after: int
    how: str


class Broken(Exception):
    """The link is cut."""


class Link:
    """An agent of its own, and the way to it, which `cut` ends."""

    def __init__(self, state_dir: Path, cut: Cut | None = None) -> None:
        ours, theirs = connected()
        self._agent = os.fork()
        if self._agent == 0:
            ours.close()
            be_agent(theirs)
        theirs.close()
        ours.settimeout(DEADLINE)
        self._socket, self._cut, self._late = ours, cut, b""
        self._frames, self._heard, self._early = FrameReader(), b"", True
        self._inbox: list[Frame] = []
        self.carried = {UP: 0, DOWN: 0}
        self._hello = {"type": "hello", "protocol": PROTOCOL, "table": TABLE, "state_dir": str(state_dir)}

    def greet(self) -> None:
        self.send(self._hello)
        self.hear("welcome")

    def close(self, how: str) -> None:
        """Hang up, as `how` says; not yet, if this is a hole. Returns when the agent has ended."""
        if how == HOLE:
            return
        if how == FINISHED:
            self._finish()
        else:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
        os.waitpid(self._agent, 0)

    def arrive(self) -> None:
        """What the hole held back arrives, and then the end."""
        self._socket.sendall(self._late)
        self.close(FINISHED)

    def _finish(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)
        while self._socket.recv(1 << 16):
            pass

    def send(self, header: Frame) -> None:
        data = encode_frame(header)
        left = self._left(UP, len(data))
        self._late = data[left:]
        self._socket.sendall(data[:left])
        self._count(UP, len(data))

    def hear(self, *kinds: str) -> Frame:
        """The next frame of one of these types."""
        while True:
            while self._inbox:
                if (frame := self._inbox.pop(0))["type"] in kinds:
                    return frame
                assert frame["type"] != "refused", frame
            self._read()

    def _read(self) -> None:
        data = self._socket.recv(max(1, self._left(DOWN, 1 << 16)))
        assert data, "the agent hung up"
        self._count(DOWN, len(data))
        if self._early:
            self._heard += data
            _, found, data = self._heard.partition((PREAMBLE % NONCE).encode())
            self._early = not found
        for header, body in self._frames.feed(data):
            self._inbox.append({**header, "body": body})

    def _left(self, direction: str, most: int) -> int:
        if self._cut is None or self._cut.direction != direction:
            return most
        return min(most, self._cut.after - self.carried[direction])

    def _count(self, direction: str, number: int) -> None:
        self.carried[direction] += number
        if self._cut is not None and self._cut.direction == direction and self.carried[direction] >= self._cut.after:
            if self._cut.how == KILLED:
                os.kill(self._agent, signal.SIGKILL)
            raise Broken


def connected() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    for end in (ours, theirs):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ours, theirs


def be_agent(link: socket.socket) -> None:
    """Serve the link, and end."""
    try:
        os.dup2(link.fileno(), 0)
        os.dup2(link.fileno(), 1)
        link.close()
        serve(NONCE)
    finally:
        os._exit(0)


class Claim:
    """What a coordinator has of one job: its open attempt, its logs, its verdict, and whether the host knows that it has them."""

    def __init__(self, job: int, folder: Path) -> None:
        self._job, self._number = job, 1
        self.ledger = folder / f"ledger-{job}"
        self.logs = {"out": b"", "err": b""}
        self.final: Frame | None = None
        self.acked = False
        script = f"echo ran >> $0; printf '{OUT.decode()}'; printf '{ERR.decode()}' >&2; exit {CODE}"
        self._spec = {
            "argv": ["/bin/sh", "-c", script, str(self.ledger)],
            "cwd": "/",
            "env": {},
            "setup": "",
            "grace": 1.0,
        }

    @property
    def name(self) -> str:
        return f"{self._job}.{self._number}-9f86d081"

    def finish(self, link: Link, until: str = "") -> None:
        """What a coordinator says on every link. `until`: a status that is enough."""
        link.greet()
        link.send({"type": "list"})
        link.hear("listed")
        link.send({"type": "status", "attempt": self.name})
        while not self.acked:
            status = link.hear("status")
            if status["attempt"] != self.name:
                continue
            if status["status"] == "void":
                assert self.final is None, "void after its end"
                self._number += 1
                link.send({"type": "start", "attempt": self.name, "spec": self._spec})
            elif status["status"] in ("absent", "unstarted"):
                assert self.final is None, f"{status['status']} after its end"
                link.send({"type": "start", "attempt": self.name, "spec": self._spec})
            elif status["status"] == until:
                return
            elif status["status"] == "ended":
                self._store(link, status)

    def _store(self, link: Link, status: Frame) -> None:
        for stream in ("out", "err") if self.final is None else ():
            while len(self.logs[stream]) < sizes_of(status)[stream]:
                asked = {"attempt": self.name, "stream": stream, "offset": len(self.logs[stream]), "size": PIECE}
                link.send({"type": "pull", **asked})
                self.logs[stream] += link.hear("log")["body"]
        assert self.final in (None, status["final"]), f"{self.final} became {status['final']}"
        self.final = status["final"]
        link.send({"type": "ack", "attempt": self.name})
        link.send({"type": "ping", "id": self.name})
        link.hear("pong")
        self.acked = True

    def judge(self) -> None:
        """It ran once, and everything of it is here."""
        runs = self.ledger.read_text().count("ran")
        assert runs == 1, f"{self.name} ran {runs} times"
        assert self.final is not None and self.final["exit"]["code"] == CODE, self.final
        assert self.logs == {"out": OUT, "err": ERR}, self.logs


class Bench:
    """A host in `folder`, and the cuts that it goes through."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._state = folder, folder / "state"
        self._jobs = 0

    def points(self) -> Iterator[tuple[str, Cut]]:
        """(which link, where it is cut), after a time without any cut has shown how long each is."""
        for which in (FIRST, SECOND):
            carried = self.go(which, None)
            for direction in (UP, DOWN):
                for after in range(1, carried[direction] + 1):
                    for how in HOWS:
                        yield which, Cut(direction, after, how)

    def go(self, which: str, cut: Cut | None) -> dict[str, int]:
        """One job, whose link `which` is cut, and that the next one finishes. What the first of them carried."""
        self._jobs += 1
        claim = Claim(self._jobs, self._folder)
        if which == SECOND:
            self._link(claim, None, until="ended")
        link = self._link(claim, cut)
        claim.acked = False
        self._link(claim, None)
        claim.judge()
        if cut is not None and cut.how == HOLE:
            link.arrive()
        self._forget(claim)
        return link.carried

    def judge(self) -> None:
        """No job ran again later, when a hole gave back what it held."""
        ran = {ledger.name: ledger.read_text().count("ran") for ledger in self._folder.glob("ledger-*")}
        assert set(ran.values()) == {1}, ran

    def _link(self, claim: Claim, cut: Cut | None, until: str = "") -> Link:
        link = Link(self._state, cut)
        try:
            claim.finish(link, until)
        except Broken:
            pass
        link.close(FINISHED if cut is None else cut.how)
        return link

    def _forget(self, claim: Claim) -> None:
        left = sorted(path.name for path in self._state.glob(f"*/attempts/{TABLE}/{claim.name}/*"))
        assert left == ["acked", "final.json", "start.json"], left
        for folder in self._state.glob(f"*/attempts/{TABLE}/*"):
            shutil.rmtree(folder)


def main() -> None:
    folder, stride, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    os.environ["BURNISH_LOCK_DIR"] = str(folder / "locks")
    bench, began, cuts = Bench(folder), time.monotonic(), 0
    for which, cut in islice(bench.points(), first, None, stride):
        try:
            bench.go(which, cut)
        except (AssertionError, OSError) as error:
            sys.exit(f"{which} link, cut after byte {cut.after} {cut.direction}, {cut.how}: {error!r}")
        cuts += 1
    bench.judge()
    print(json.dumps({"cuts": cuts, "seconds": round(time.monotonic() - began)}))


if __name__ == "__main__":
    main()
