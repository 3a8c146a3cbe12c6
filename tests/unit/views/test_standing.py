"""What stands below the lines at a terminal, as bytes; how it looks is in `tests/system/test_terminal.py`."""

from __future__ import annotations

import io

import pytest

from burnish.views.standing import Standing, rows

LINES = ["a" * 70, "b" * 30]


def test_lines_that_are_wrapped_take_more_rows() -> None:
    assert [rows(["a" * 80, "", "b" * 81, "実" * 30], width) for width in (100, 80, 40)] == [4, 5, 2 + 1 + 3 + 2]


def test_line_that_is_said_right_after_the_terminal_became_narrower_erases_all_that_stands_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    screen = io.StringIO()
    with Standing(screen, lambda columns, lines: [line[:columns] for line in LINES], colour=False) as standing:
        standing.refresh()
        monkeypatch.setenv("COLUMNS", "20")
        screen.truncate(0)
        standing.say("something")
        before = screen.getvalue().partition("something")[0]
    assert before.count("\x1b[1A") >= rows(LINES, 20) - 1 == 5
