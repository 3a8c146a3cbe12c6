"""Where everything that burnish says leaves it: data to stdout, talk to stderr, as a table, as plain text, or as JSON.

A command hands a `View` to the `Output` it was given and does not know which of the three it is. On a terminal, tables fit its
width and may be coloured; in a pipe they are whole and plain. Whoever reads may stop reading (`burnish status | head`, a
terminal that is closed): that is no error, and is told by `Output.closed`. Talk that cannot be written is dropped: no run ends
because the disk that holds what it says is full.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO, cast

from burnish.errors import BurnishError, printable
from burnish.views import tables

GONE = (errno.EPIPE, errno.EIO)  # the reader, or the terminal


class View(Protocol):
    """Something to show."""

    def text(self, width: int | None, colour: bool) -> Iterator[str]:
        """Lines without newlines, at most `width` terminal columns wide (None: whatever it takes)."""

    def json(self) -> object:
        """The same as values that `json.dumps` takes; documented in docs/status-json.md."""


class Output:
    """Plain text: whole, without colour. The base of the other two, and what a pipe gets.

    `closed` becomes true when the reader of stdout went away; what is shown from then on is dropped.
    """

    width: int | None = None
    colour = False

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self.closed = False
        self._out = out
        self._err = cast(TextIO, Lossy(err))
        self._above: Callable[[str], None] | None = None

    def show(self, view: View) -> None:
        """Data: to stdout."""
        self.lines(self.page(view))

    def page(self, view: View) -> Iterable[str]:
        """The lines that `show` writes."""
        return view.text(self.width, self.colour)

    def lines(self, lines: Iterable[str]) -> None:
        """Lines of data, as they are: whoever makes them escapes what is foreign in them."""
        self._write(self._out, (line + "\n" for line in lines))

    def raw(self, text: str) -> None:
        """Text for a terminal as it is, escape sequences and all."""
        self._write(self._out, [text])

    def say(self, sentence: str) -> None:
        """Talk: to stderr. Control characters are escaped; newlines stay."""
        lines = [_escaped(line) for line in sentence.split("\n")]
        if self._above is None:
            self._write(self._err, (line + "\n" for line in lines))
            return
        for line in lines:
            self._above(_encodable(line, self._err))

    @property
    def drawable(self) -> TextIO | None:
        """Stderr, if it is a terminal on which something can stand still while talk goes by."""
        return self._err if self._err.isatty() and os.environ.get("TERM", "dumb") != "dumb" else None

    @contextmanager
    def above(self, say: Callable[[str], None]) -> Iterator[None]:
        """Meanwhile, what is said goes through `say`, a line at a time: it prints above what stands there."""
        self._above = say
        try:
            yield
        finally:
            self._above = None

    def error(self, error: BurnishError) -> None:
        """An error's sentence, and below it what to do about it."""
        self.say(f"error: {error}")
        if error.hint:
            self.say(f"hint: {error.hint}")

    def _write(self, stream: TextIO, pieces: Iterable[str]) -> None:
        if self.closed and stream is self._out:
            return
        try:
            stream.writelines(_encodable(piece, stream) for piece in pieces)
            stream.flush()
        except OSError as error:
            if error.errno not in GONE:
                raise
            self.closed = True
            silence(stream)


class Lossy:
    """A stream that drops what cannot be written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As of a file; never raises OSError."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As of a file; never raises OSError."""
        self._try(lambda: self._stream.writelines(lines))

    def flush(self) -> None:
        """As of a file; never raises OSError."""
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            if error.errno in GONE:
                silence(self._stream)


class TableOutput(Output):
    """For a terminal `width` columns wide."""

    def __init__(self, out: TextIO, err: TextIO, width: int, colour: bool) -> None:
        super().__init__(out, err)
        self.width = width
        self.colour = colour


class JsonOutput(Output):
    """For programs: one JSON document per view, on one line, in ASCII."""

    def page(self, view: View) -> Iterable[str]:
        value = view.json()
        try:
            text = json.dumps(value, allow_nan=False)
        except ValueError:
            text = json.dumps(strict(value), allow_nan=False)
        return [text]


def choose(
    out: TextIO,
    err: TextIO,
    *,
    as_json: bool = False,
    no_color: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Output:
    """The output that fits: JSON when asked for, a table on a terminal, plain text otherwise.

    Colour needs a terminal that is not `dumb`, and neither `no_color` nor a non-empty NO_COLOR.
    """
    if as_json:
        return JsonOutput(out, err)
    if not out.isatty():
        return Output(out, err)
    width = max(tables.NARROWEST, shutil.get_terminal_size().columns)
    colour = not no_color and not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb"
    return TableOutput(out, err, width, colour)


def strict(value: object) -> object:
    """`value` with what JSON cannot say put as text: `NaN`, `Infinity`, `-Infinity`."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    return value


def _escaped(line: str) -> str:
    return line if line.isprintable() else printable(line, max(len(line) * 10, 1))


def _encodable(text: str, stream: TextIO) -> str:
    """`text` as far as the stream's encoding goes; the rest as escapes (a Latin-1 terminal, a surrogate from a file name)."""
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
        return text
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)


def silence(stream: TextIO) -> None:
    """Point a broken stream at nothing, so that Python does not complain about it once more when it exits."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
    except (OSError, ValueError):
        pass  # not a real file (a test's StringIO): there is nothing to complain about
