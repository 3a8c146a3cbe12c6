"""What stands below the lines at a terminal, as bytes; how it looks is in `tests/system/test_terminal.py`."""

from __future__ import annotations

import io
import os
import signal

import pytest

from burnish.views.foot import Foot, rows

LINES = ["a" * 70, "b" * 30]


def test_lines_that_are_wrapped_take_more_rows() -> None:
    assert [rows(["a" * 80, "", "b" * 81, "実" * 30], width) for width in (100, 80, 40)] == [4, 5, 2 + 1 + 3 + 2]


def test_line_that_is_said_right_after_the_terminal_became_narrower_erases_all_that_stands_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    screen = io.StringIO()
    with Foot(screen, lambda columns, lines: [line[:columns] for line in LINES], colour=False) as below:
        below.refresh()
        monkeypatch.setenv("COLUMNS", "20")
        screen.truncate(0)
        below.say("something")
        before = screen.getvalue().partition("something")[0]
    assert before.count("\x1b[1A") >= rows(LINES, 20) - 1 == 5


def test_ctrl_z_stops_once_what_is_being_said_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What erases the lines is on its way already: it must not meet what another program prints meanwhile."""
    happened: list[str] = []

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            if "something" in text:
                signal.raise_signal(signal.SIGTSTP)
                happened.append("said")
            return super().write(text)

    monkeypatch.setattr(os, "getsid", lambda pid: -1)  # a shell waits for us
    monkeypatch.setattr(os, "kill", lambda pid, number: happened.append("stopped"))
    with Foot(Screen(), lambda columns, lines: LINES, colour=False) as below:
        below.say("something")
        assert happened == ["said", "stopped"]
        below.say("more")
        assert happened == ["said", "stopped"]
        signal.raise_signal(signal.SIGTSTP)
        assert happened == ["said", "stopped", "stopped"]
    assert signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
