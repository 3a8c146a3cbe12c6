#!/usr/bin/env python3
"""A script: stands in for Python on a host, between sshd and the agent, and treats their frames as its own name says.

`pieces`: each byte of a frame goes by itself, the next one when that was read. `stalls`: in the midst of the first frame of each
type in `STALLED` nothing goes on for `STALL` s. `doubles`: what may be sent again (on a new link, or when refused) goes twice at
once, and so does each status. What it does is a line in a file beside it, its name with `.did`.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator

NAME = os.path.basename(sys.argv[0])
STALL = 3.0  # s
STALLED = ("start", "status", "log")  # up, down, and down with a body
LOOK = 0.0001  # s between two looks whether a byte was read
DOUBLED = ("list", "look", "status", "start", "void", "cancel", "pull", "ack")


class Way:
    """Bytes from one descriptor to another."""

    def __init__(self, source: int, sink: int) -> None:
        self.sink = sink
        self._source, self._buffer = source, b""
        self._unread = termios.FIONREAD if stat.S_ISFIFO(os.fstat(sink).st_mode) else termios.TIOCOUTQ

    def take(self, size: int) -> bytes:
        """So many bytes. Raises EOFError."""
        while len(self._buffer) < size:
            self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def take_line(self) -> bytes:
        """All up to the end of the line. Raises EOFError."""
        while b"\n" not in self._buffer:
            self._more()
        return self.take(self._buffer.index(b"\n") + 1)

    def frames(self) -> Iterator[tuple[str, bytes]]:
        """The type of each frame that comes, and the frame."""
        while True:
            prefix = self.take(8)
            header, body = struct.unpack(">II", prefix)
            text = self.take(header)
            yield json.loads(text)["type"], prefix + text + self.take(body)

    def give(self, data: bytes) -> None:
        """All of it."""
        while data:
            data = data[os.write(self.sink, data) :]

    def give_bytes(self, data: bytes) -> None:
        """One at a time: each is read before the next one comes."""
        for number in range(len(data)):
            self.give(data[number : number + 1])
            while struct.unpack("i", fcntl.ioctl(self.sink, self._unread, b"\0\0\0\0"))[0]:
                time.sleep(LOOK)

    def _more(self) -> None:
        data = os.read(self._source, 1 << 16)
        if not data:
            raise EOFError
        self._buffer += data


def note(line: str) -> None:
    """Write down what was done."""
    with open(f"{sys.argv[0]}.did", "a") as did:
        did.write(f"{line}\n")


def pass_on(way: Way) -> None:
    """Frames, treated as our name says. Raises EOFError, OSError."""
    stalled = set()
    for kind, frame in way.frames():
        if NAME == "pieces":
            way.give_bytes(frame)
        elif NAME == "stalls" and kind in STALLED and kind not in stalled:
            stalled.add(kind)
            middle = len(frame) // 2
            way.give(frame[:middle])
            time.sleep(STALL)
            way.give(frame[middle:])
        elif NAME == "doubles" and kind in DOUBLED:
            way.give(frame * 2)
        else:
            way.give(frame)
            continue
        note(kind)


def up(way: Way) -> None:
    """From the coordinator: the agent's text, then frames."""
    try:
        line = way.take_line()
        way.give(line + way.take(json.loads(line)["size"]))
        pass_on(way)
    except (EOFError, OSError):
        os.close(way.sink)


def down(way: Way) -> None:
    """From the agent: its first words, then frames."""
    try:
        way.give(way.take_line() + way.take_line())
        pass_on(way)
    except (EOFError, OSError):
        pass


def main() -> None:
    agent = subprocess.Popen(["python3", *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert agent.stdin is not None and agent.stdout is not None
    note("begun")
    threading.Thread(target=up, args=(Way(0, agent.stdin.fileno()),), daemon=True).start()
    down(Way(agent.stdout.fileno(), 1))
    os._exit(agent.wait())


if __name__ == "__main__":
    main()
