"""A log on a terminal keeps its colours and lines, and does nothing else there, however it is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.views.log_text import LONGEST, LogText, what_stays


def shown(*pieces: bytes, colour: bool = True) -> str:
    text = LogText(colour)
    return "".join(map(text.feed, pieces)) + text.end()


@pytest.mark.parametrize(
    ("log", "left"),
    [
        (b"epoch 1\r\tloss\n", "epoch 1\r\tloss\n"),
        (b"\x1b]0;pwned\x07a", "a"),  # a title
        (b"\x1b]52;c;cm0gLXJmIC8=\x1b\\a", "a"),  # a clipboard
        (b"\x1bP$q\"p\x1b\\a\x1b_x\x1b\\b\x1b^y\x1b\\c", "abc"),  # what a terminal answers to, and what tmux would pass on
        (b"\xc2\x9d0;pwned\xc2\x9ca", "a"),  # the same in eight bits
        (b"\xc2\x9b2Ja", "a"),
        (b"\x1b[2J\x1b[1;1H\x1b[3A\x1b[Ka\x1b[?1049h\x1b[6n", "a"),
        (b"\x1bc\x1b7\x1b(0\x1b#8\x1bMa", "a"),
        (b"a\x07\x08\x00\x0e\x7f\x0bb", "ab"),
        (b"a\x1b", "a"),
        (b"a\x1b[12", "a"),
        (b"\x1b]0;no end of it\nnext line", "\nnext line"),
        (b"\x1b[12\nnext line", "\nnext line"),
        ("実験 é\n".encode(), "実験 é\n"),
        (b"latin-1: \xe9 \x9b2J\n", "latin-1: \\xe9 \\x9b2J\n"),
    ],
)  # fmt: skip
def test_only_lines_and_tabs_are_left(log: bytes, left: str) -> None:
    assert shown(log) == left


def test_colours_stay_where_there_are_any_and_end_with_the_log() -> None:
    log = b"\x1b[1;31mERROR\x1b[0m \x1b[38:2::1:2:3mx"
    assert shown(log) == "\x1b[1;31mERROR\x1b[0m \x1b[38:2::1:2:3mx\x1b[0m"
    assert shown(log, colour=False) == "ERROR x"


PIECES = st.sampled_from(
    [
        b"a", b"\n", b"\r", b";0", b"12", b"m", b"H", b"\x1b", b"\x1b[", b"\x1b]0;", b"\x1bP", b"\x07", b"\x1b\\", b"\xc2",
        b"\x9b", b"\xe9", b"[", b"]",
    ]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30), st.data())
def test_pieces_make_no_difference(log: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(log)
    at = data.draw(st.integers(0, len(whole)))
    assert shown(whole[:at], whole[at:]) == shown(whole) == shown(*(bytes([byte]) for byte in whole))


@given(st.lists(PIECES | st.binary(max_size=3), max_size=30))
def test_nothing_but_colours_is_obeyed(log: list[bytes]) -> None:
    plain = shown(*log, colour=False)
    assert not [char for char in plain if (char < " " and char not in "\r\t\n") or "\x7f" <= char <= "\x9f"]


def test_sequence_without_an_end_is_not_waited_for_for_ever() -> None:
    text = LogText(colour=True)
    assert text.feed(b"\x1b]0;" + b"x" * 10 * LONGEST) == ""
    assert len(text._held) <= LONGEST
    assert "seen" in text.feed(b"\nseen")


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("error: real cause\r", "error: real cause"),
        ("error: real cause\r\r", "error: real cause"),
        ("a\x1b[31mred\x00\r", "a\x1b[31mred\x00"),
        ("10%\r20%", "20%"),
        ("10%\r20%\r", "20%"),
        ("error: real cause\r\x1b[0m", "error: real cause"),
        ("100%\r    ", "100%"),
        ("  indented", "  indented"),
        ("\r", ""),
        (" \t\x1b[0m", ""),
        ("", ""),
    ],
)
def test_only_what_is_written_over_a_line_takes_it_back(line: str, left: str) -> None:
    assert what_stays(line) == left
