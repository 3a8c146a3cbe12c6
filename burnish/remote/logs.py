"""Logs of attempts on other machines, brought home while they grow, and whole and on disk before their verdict: after it the host
forgets its copy.

Each byte is written at its own offset, and what to ask for next is the size of the file at home: nothing else is remembered, so
pulling again, after a crash or by two coordinators at once, changes nothing. At most one piece per stream is on its way, and at
most `AT_ONCE` per host, so that a flood on one host delays neither the others nor this host's verdicts, and no memory grows.

A log that has not grown is let alone until its host tells that it has, or its attempt ends: jobs that say nothing for an hour
keep neither the hosts nor this machine awake. Where a host cannot tell, it is asked for less and less often.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from msgspec import Struct

from burnish.core.reports import LogGrown, LogPulled
from burnish.errors import StoreError

PIECE = 256 << 10  # bytes asked for at a time
AT_ONCE = 4  # pieces on their way per host
STREAMS = ("out", "err")
SHORTEST, LONGEST = 0.25, 5.0  # s between two questions about a log that does not grow, whose growth nobody will tell
SPACE, BURST = 0.1, 16  # s between two such questions to a host, of any of its logs, and how many may be made up for
TOLD = 300.0  # s, the same where its host will: nothing is lost for good with a word that went missing


class _Stream(Struct):
    """One log on its way. `goal`: its final size, once the attempt has ended. `asked`: a piece is on its way. `kept`: on disk.

    `pause`: s for which it is let alone, because it did not grow, and until when (monotonic).
    """

    path: str
    goal: int | None = None
    asked: bool = False
    pause: float = 0.0
    until: float = 0.0
    size: int = 0
    kept: bool = False

    @property
    def whole(self) -> bool:
        return self.goal is not None and self.size >= self.goal

    def wake(self) -> None:
        """It has grown."""
        self.pause = self.until = 0.0

    def rest(self, pause: float, longest: float) -> None:
        """It has not grown. Logs that rest longest wake up together."""
        self.pause = min(longest, pause)
        self.until = time.monotonic() + self.pause
        if self.pause == longest:
            self.until -= self.until % longest


class LogPull:
    """The logs of one host's attempts. `send` queues a frame to that host. One that does not grow rests for up to `longest` s."""

    def __init__(self, send: Callable[[dict[str, Any]], None], longest: float = LONGEST) -> None:
        self._send = send
        self._longest = longest
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._questions, self._paced = float(BURST), time.monotonic()  # about silent logs, and when there were as many

    def watch(self, name: str, paths: dict[str, str]) -> None:
        """Bring the logs of this attempt to `paths` (by stream) from now on. Raises StoreError if they cannot be written."""
        if name not in self:
            opened = {(name, stream): _Stream(paths[stream], size=_size(paths[stream])) for stream in STREAMS}
            self._streams.update(opened)  # all or none: where one cannot be written, the next report tries again

    def __contains__(self, name: str) -> bool:
        """True if the logs of this attempt are watched, all of them."""
        return (name, STREAMS[0]) in self._streams

    def ended(self, name: str, sizes: dict[str, int]) -> bool:
        """The attempt has ended with logs of these sizes; True once they are whole at home. Raises StoreError.

        One that its host could not ask for its size is pulled until there is no more.
        """
        for stream in STREAMS:
            if (kept := self._streams.get((name, stream))) is not None:
                kept.goal = sizes.get(stream, sys.maxsize)
        self.ask()
        return self.whole(name)

    def whole(self, name: str) -> bool:
        """True if every byte of an ended attempt's logs is at home, where no power loss takes it. Raises StoreError."""
        mine = [stream for (owner, _), stream in self._streams.items() if owner == name]
        if not all(stream.whole for stream in mine):
            return False
        for stream in mine:
            if stream.size and not stream.kept:
                _sync(stream)
        return True

    def ask(self) -> None:
        """Ask for the next pieces; those of ended attempts first, since a verdict waits for them."""
        if not self._streams:
            return
        free = AT_ONCE - sum(kept.asked for kept in self._streams.values())
        now = time.monotonic()
        self._questions = min(float(BURST), self._questions + (now - self._paced) / SPACE)
        self._paced = now
        waiting = [
            (key, kept)
            for key, kept in self._streams.items()
            if not kept.asked and not kept.whole and (kept.goal is not None or now >= kept.until)
        ]
        waiting.sort(key=lambda item: item[1].goal is None)
        for (name, stream), kept in waiting[: max(0, free)]:
            if kept.goal is None and kept.pause:
                if self._questions < 1:
                    break
                self._questions -= 1
            kept.asked = True
            self._streams[name, stream] = self._streams.pop((name, stream))  # to the end: all get their turn
            self._send({"type": "pull", "attempt": name, "stream": stream, "offset": kept.size, "size": PIECE})

    def take(self, report: LogPulled) -> bool:
        """Write a piece where it belongs. True if there is more to ask for at once. Raises StoreError if it cannot be written."""
        kept = self._streams.get((report.name, report.stream))
        if kept is None:
            return False
        kept.asked = False
        if report.offset > kept.size:
            return False  # it was never asked for: it would stand behind a hole
        _write_at(kept.path, report.offset, report.data)
        kept.size = max(kept.size, report.offset + len(report.data))
        if kept.goal is not None and kept.goal > report.end:
            kept.goal = report.end  # the log was truncated on its host after the job had ended
        if report.data:
            kept.wake()
        elif report.told:
            kept.rest(TOLD, TOLD)
        else:
            kept.rest(max(SHORTEST, 2 * kept.pause), self._longest)
        return kept.size < report.end

    def grown(self, report: LogGrown) -> None:
        """There is more of a log than was pulled: ask for it."""
        kept = self._streams.get((report.name, report.stream))
        if kept is not None and kept.until:  # else it is asked for in any case
            kept.wake()
            self.ask()

    def give_up(self, name: str) -> None:
        """The host has no such log any more: what is at home is all there will be."""
        for (owner, _), kept in self._streams.items():
            if owner == name:
                kept.asked, kept.goal = False, kept.size

    def forget(self, name: str) -> None:
        """The attempt is settled."""
        for stream in STREAMS:
            self._streams.pop((name, stream), None)

    def restart(self) -> None:
        """The connection is a new one: nothing is on its way."""
        for kept in self._streams.values():
            kept.asked, kept.until = False, 0.0


def _size(path: str) -> int:
    """Of the file at home, which is made if it is not there."""
    with suppress(OSError):  # it is there, or this disk has no such call: what is wrong, the next one says
        os.mknod(path, stat.S_IFREG | 0o666)  # one call, where to open, ask and close takes three
        return 0
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            return os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _disk(path, error) from None


def _write_at(path: str, offset: int, data: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, offset)
                view, offset = view[written:], offset + written
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _disk(path, error) from None


def _sync(stream: _Stream) -> None:
    try:
        descriptor = os.open(stream.path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        stream.size = 0  # what the disk has of it is not known: it is pulled once more
        raise _disk(stream.path, error) from None
    stream.kept = True


def _disk(path: str, error: OSError) -> StoreError:
    return StoreError(
        f"{path}: {error.strerror}. This log stays on its host, and its job open, until it can be written."
    )
