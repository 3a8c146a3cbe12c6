"""The console blocks of a page, and a shell that runs them as a reader would.

A block is fenced with ```console. A line that begins with `$ ` is typed; the lines below it are what comes, in that order: other
lines may come between them, `…` stands for anything within a line, and lengths of time and fractions are not compared.
"""

from __future__ import annotations

import os
import re
import selectors
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

DEADLINE = 120.0  # s for one command
DONE = "-- done, with"

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\b(\d+h\d\dm|\d+m\d\ds|\d+(\.\d+)? ?s)\b")
_FRACTION = re.compile(r"\b\d\.\d+\b")
# What a page shows as 0.9500 no screen prints: numbers come as JSON writes them. It stays, and is met by nothing.
_AS_PRINTED = re.compile(r"\b\d\.(?:\d|\d*[1-9])\b")


@dataclass
class Typed:
    """A command, and the lines that a reader is told to expect."""

    command: str
    shown: list[str] = field(default_factory=list)


def typed(page: str) -> Iterator[Typed]:
    """What the console blocks of a page tell a reader to type, in order."""
    for block in _BLOCK.findall(page):
        entry: Typed | None = None
        for line in block.splitlines():
            if line.startswith("$ "):
                if entry:
                    yield entry
                entry = Typed(line[2:])
            elif entry and line.strip() not in ("", "…"):
                entry.shown.append(line)
        if entry:
            yield entry


def unmet(shown: list[str], output: str) -> str | None:
    """The first of the `shown` lines that `output` does not have, in this order; None if it has all."""
    lines = iter([_normal(line) for line in output.splitlines()])
    for line in shown:
        pattern = re.escape(_normal(line, _AS_PRINTED)).replace(re.escape("…"), ".*")
        if not any(re.fullmatch(pattern, came) for came in lines):
            return line
    return None


def _normal(line: str, fraction: re.Pattern[str] = _FRACTION) -> str:
    return " ".join(fraction.sub("0.N", _TIME.sub("T", line)).split())


class Shell:
    """One bash for a whole page, so that `cd`, `$!` and `$?` mean what a reader thinks. stdout and stderr come together.

    `enter`: words that start it elsewhere.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], enter: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*enter, "bash", "--norc", "--noprofile"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._came = b""
        os.set_blocking(self._stdout.fileno(), False)

    def run(self, command: str) -> tuple[str, int]:
        """What the command wrote, and its exit code. Raises AssertionError if it takes longer than DEADLINE."""
        # Job control's own words ("Killed") are said when the shell next looks; the subshell gives $? back as it was.
        self._stdin.write(f"{command}\ncode=$?; echo; echo '{DONE}' $code; (exit $code)\n".encode())
        self._stdin.flush()
        end = re.compile(rb"\n" + DONE.encode() + rb" (\d+)\n")
        deadline = time.monotonic() + DEADLINE
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while not (found := end.search(self._came)):
                left = deadline - time.monotonic()
                assert left > 0, f"{command!r} has not ended after {DEADLINE:g} s. So far: {self._came.decode()}"
                if selector.select(left):
                    piece = os.read(self._stdout.fileno(), 65536)
                    assert piece, f"the shell is gone at {command!r}: {self._came.decode()}"
                    self._came += piece
        output, self._came = self._came[: found.start()], self._came[found.end() :]
        return output.decode(), int(found[1])

    def close(self) -> None:
        """End the shell. What it started in the background is not waited for."""
        self._stdin.close()
        self._stdout.close()
        self._process.wait(DEADLINE)
