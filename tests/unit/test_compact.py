"""JSON by a quick library reads and writes what the standard one does, whatever is in it."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from burnish.core import compact

NUMBERS = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**40])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@example({"\udcff": "\udc80"})
@example(["é", "\x7f", "\u2028", "\0"])
@example([5e-324, -0.0, 1e22, 1e16, 1e-7])
def test_what_is_written_is_ascii_on_one_line_and_read_by_both_as_it_was(value: Any) -> None:
    text = compact.encode(value)
    assert text.isascii()
    assert "\n" not in text
    assert compact.decode(text) == compact.decode(text.encode()) == json.loads(text) == value


@given(VALUES)
def test_what_the_standard_library_writes_is_read(value: Any) -> None:
    assert compact.decode(json.dumps(value)) == compact.decode(compact.exact(value)) == value


def test_what_has_no_json_is_refused_and_what_json_takes_is_taken() -> None:
    class Word(str):
        pass

    with pytest.raises(TypeError):
        compact.encode({"a": object()})
    assert compact.encode({Word("a"): Word("b")}) == '{"a":"b"}'
    assert compact.encode({None: 1, True: 2}) == '{"null":1,"true":2}'


def test_a_lone_surrogate_as_it_is_is_read() -> None:
    assert compact.decode('"\udcff"') == "\udcff"


def test_tuples_are_lists() -> None:
    assert compact.encode((1, ("a",))) == compact.exact((1, ("a",))) == '[1,["a"]]'


def test_what_is_no_number_is_read_and_written_exactly() -> None:
    read = compact.decode(compact.exact([math.nan, math.inf, -math.inf]))
    assert math.isnan(read[0])
    assert read[1:] == [math.inf, -math.inf]
    assert compact.decode("1e400") == math.inf


@pytest.mark.parametrize("text", ["", "{", '{"a":}', "[1,2", "nul", '"\\x"', b"\xff", b'"\xff"', "1 2"])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        compact.decode(text)
