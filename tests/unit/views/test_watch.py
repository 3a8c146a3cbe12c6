"""Watching repeats a view, and gives the terminal back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest

from burnish.views.output import JsonOutput, Output, TableOutput
from burnish.views.watch import watch


class Page:
    def __init__(self, *lines: str) -> None:
        self.lines = lines

    def text(self, width: int | None, colour: bool) -> Iterator[str]:
        yield from self.lines

    def json(self) -> object:
        return self.lines


class Looks:
    """Pages one after the other; done when the last was seen."""

    def __init__(self, *pages: Page) -> None:
        self.left = list(pages)

    def __call__(self) -> Page:
        return self.left.pop(0)

    def done(self) -> bool:
        return not self.left


def no_sleep(_seconds: float) -> None:
    pass


def test_pipe_gets_a_page_per_change() -> None:
    out = io.StringIO()
    looks = Looks(Page("a", "1"), Page("a", "1"), Page("a", "2"))
    watch(looks, Output(out, io.StringIO()), looks.done, no_sleep)
    assert out.getvalue() == "a\n1\n\na\n2\n"


def test_json_is_a_line_per_change() -> None:
    out = io.StringIO()
    looks = Looks(Page("1"), Page("1"), Page("2"))
    watch(looks, JsonOutput(out, io.StringIO()), looks.done, no_sleep)
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [["1"], ["2"]]


def test_terminal_is_left_as_it_was_and_keeps_the_last_page() -> None:
    out = io.StringIO()
    looks = Looks(Page("first"), Page("last"))
    watch(looks, TableOutput(out, io.StringIO(), 80, colour=False), looks.done, no_sleep)
    text = out.getvalue()
    assert text.startswith("\x1b[?1049h")
    assert text.endswith("\x1b[?1049llast\n")


def test_interrupt_gives_the_terminal_back() -> None:
    out = io.StringIO()

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(lambda: Page("a"), TableOutput(out, io.StringIO(), 80, colour=False), pause=interrupted)
    assert out.getvalue().endswith("\x1b[?25h\x1b[?1049l")


def test_page_longer_than_the_screen_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    looks = Looks(Page(*map(str, range(100))))
    watch(looks, TableOutput(out, io.StringIO(), 80, colour=False), looks.done, no_sleep)
    frame = out.getvalue().split("\x1b[?1049l")[0]
    assert "… 92 more lines" in frame
    assert frame.count("\r\n") == 9


def test_lines_that_are_too_long_for_the_terminal_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    out = io.StringIO()
    looks = Looks(Page("short", "x" * 31))
    watch(looks, TableOutput(out, io.StringIO(), 30, colour=False), looks.done, no_sleep)
    assert out.getvalue().endswith(f"short\n{'x' * 29}…\n")
