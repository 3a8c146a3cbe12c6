"""What leaves burnish: the right stream, the right form, and quiet when nobody reads any more."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from burnish.errors import BurnishError
from burnish.views.output import JsonOutput, Output, TableOutput, choose


class Greeting:
    def text(self, width: int | None, colour: bool) -> Iterator[str]:
        yield f"width {width} colour {colour}"

    def json(self) -> object:
        return {"hello": float("nan"), "list": [float("inf"), 1.5, None, "é"]}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_pipe_gets_plain_text_without_width() -> None:
    out = io.StringIO()
    choose(out, io.StringIO(), environ={"TERM": "xterm"}).show(Greeting())
    assert out.getvalue() == "width None colour False\n"


@pytest.mark.parametrize(
    ("environ", "no_color", "colour"),
    [
        ({"TERM": "xterm"}, False, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, False, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False, False),
        ({"TERM": "xterm"}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({}, False, False),
    ],
)
def test_colour_only_where_it_is_wanted(environ: dict[str, str], no_color: bool, colour: bool) -> None:
    output = choose(Terminal(), io.StringIO(), no_color=no_color, environ=environ)
    assert isinstance(output, TableOutput)
    assert output.colour is colour


def test_json_is_strict_even_where_python_is_not() -> None:
    out = io.StringIO()
    output = choose(out, io.StringIO(), as_json=True)
    assert isinstance(output, JsonOutput)
    output.show(Greeting())

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    document = json.loads(out.getvalue(), parse_constant=refuse)
    assert document == {"hello": "NaN", "list": ["Infinity", 1.5, None, "é"]}


def test_errors_and_hints_go_to_stderr_without_control_characters() -> None:
    out, err = io.StringIO(), io.StringIO()
    Output(out, err).error(BurnishError("burnish.db:9: \x1b[2J is no id.\nSkipped.", hint="burnish edit"))
    assert out.getvalue() == ""
    assert err.getvalue() == "error: burnish.db:9: \\x1b[2J is no id.\nSkipped.\nhint: burnish edit\n"


def test_text_beyond_the_terminals_encoding_is_escaped() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    Output(out, io.StringIO()).lines(["lr → 0.1 \udcff"])
    assert raw.getvalue() == b"lr \\u2192 0.1 \\udcff\n"


def test_reader_that_leaves_is_no_error() -> None:
    program = (
        "import sys; from burnish.views.output import choose; o = choose(sys.stdout, sys.stderr)\n"
        "o.lines(str(n) for n in range(10**6)); o.lines(['more']); o.say('closed' if o.closed else 'open')"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert process.stderr.read() == b"closed\n"
    process.stderr.close()
    assert process.wait(60) == 0


def test_text_tables_do_not_load_rich() -> None:
    program = "import sys; from burnish.views import output, results, snapshot, status; print('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout == b"False\n"


def test_real_terminal_is_recognised() -> None:
    leader, follower = pty.openpty()
    try:
        with os.fdopen(follower, "w") as out:
            assert isinstance(choose(out, io.StringIO(), environ={}), TableOutput)
    finally:
        os.close(leader)
