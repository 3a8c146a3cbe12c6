"""range, linspace and logspace, against Python's own range and the values one would write by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.core.ranges import RangeFault, values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("range(0, 10, 2)", "0 2 4 6 8"),
        ("range(3)", "0 1 2"),
        ("range(5, 0, -2)", "5 3 1"),
        ("range(0, 1, 0.25)", "0 0.25 0.5 0.75"),
        ("range(0, 1, 0.1)", "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9"),
        ("linspace(0, 1, 5)", "0 0.25 0.5 0.75 1"),
        ("linspace(3, 9, 1)", "3"),
        ("linspace(1,0,3)", "1 0.5 0"),
        ("logspace(-5, -1, 5)", "1e-05 0.0001 0.001 0.01 0.1"),
    ],
)
def test_values(text: str, expected: str) -> None:
    assert values(text, 100) == tuple(expected.split())


@pytest.mark.parametrize("text", ["range", "ranges(3)", "range 3", "my range(3)", "linspace", "1e-4", ""])
def test_other_text_is_no_range(text: str) -> None:
    assert values(text, 100) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("range()", "not a number"),
        ("range(a)", '"a" is not a number'),
        ("range(1, 2, 3, 4)", "a start, a stop and a step"),
        ("range(0, 10, 0)", "never ends"),
        ("range(3, 3)", "empty"),
        ("range(0, 1e300, 1)", "the limit is 100"),
        ("range(1e999)", "not a number"),
        ("linspace(0, 1)", "how many"),
        ("linspace(0, 1, 2.5)", "how many"),
        ("linspace(0, 1, 101)", "101 values; the limit is 100"),
        ("logspace(1, 999, 3)", "exponents"),
    ],
)
def test_faults_are_sentences(text: str, says: str) -> None:
    with pytest.raises(RangeFault, match=says):
        values(text, 100)


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-9, 9).filter(bool))
def test_whole_numbers_go_as_in_python(start: int, stop: int, step: int) -> None:
    expected = tuple(map(str, range(start, stop, step)))
    if expected:
        assert values(f"range({start}, {stop}, {step})", 1000) == expected
    else:
        with pytest.raises(RangeFault):
            values(f"range({start}, {stop}, {step})", 1000)
