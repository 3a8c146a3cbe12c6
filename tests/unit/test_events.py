"""Facts as lines of JSON: each kind comes back as it went; what a newer burnish wrote is told from what is damaged."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import facts

from burnish.core import events
from burnish.core.events import Fact, UnknownFact
from burnish.core.jobs import AttemptId, JobId
from burnish.core.state import _APPLY

KINDS = get_args(Fact)
ATTEMPT = AttemptId(JobId(12), 2)

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = {
    "any text": st.text(),  # lone surrogates included: bytes of a file name that is no UTF-8
    "ASCII": st.text(st.characters(max_codepoint=127)),
}


def json_of(words: st.SearchStrategy[str], numbers: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | numbers | words
    inner = st.recursive(leaves, lambda part: st.lists(part, max_size=3) | st.dictionaries(words, part, max_size=3))
    return st.dictionaries(words, inner, max_size=5)


def any_of(kind: type[Any], words: st.SearchStrategy[str]) -> st.SearchStrategy[Fact]:
    by_type: dict[Any, st.SearchStrategy[Any]] = {
        "str": words,
        "int": st.integers(),
        "float": finite,  # a clock's; of a host's, `core.spec` sees to it
        "bool": st.booleans(),
        "int | None": st.none() | st.integers(),
        "AttemptId": st.builds(AttemptId, st.integers(0).map(JobId), st.integers(1)),
        "tuple[str, ...]": st.lists(words).map(tuple),
        "tuple[int, ...]": st.lists(st.integers()).map(tuple),
        "tuple[tuple[Any, ...], ...]": st.lists(st.tuples(st.integers(0), words)).map(tuple),
        "dict[str, str]": st.dictionaries(words, words),
        "dict[str, int]": st.dictionaries(words, st.integers()),
        "dict[str, Any]": json_of(words, finite),  # a host's entry
        "dict[str, Any] | None": st.none() | json_of(words, st.floats(allow_nan=False)),  # what jobs and hosts say
    }
    return st.builds(kind, **{name: by_type[kind_of] for name, kind_of in kind.__annotations__.items()})


@pytest.mark.parametrize("words", texts.values(), ids=texts)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fact_comes_back_as_it_went(kind: type[Any], words: st.SearchStrategy[str]) -> None:
    @given(any_of(kind, words))
    def round_trip(fact: Fact) -> None:
        line = events.to_json(fact)
        assert line.isascii()
        assert "\n" not in line
        assert events.from_json(line) == fact

    round_trip()


def test_what_a_job_reported_comes_back_though_it_is_no_number() -> None:
    fact = facts.exit_of(ATTEMPT, result={"loss": [-math.inf], "best": math.inf})
    assert events.from_json(events.to_json(fact)) == fact
    lacking = events.AttemptVoided(ATTEMPT, "no data", lacks={"cwd": "/data", "free": math.inf})
    assert events.from_json(events.to_json(lacking)) == lacking


def test_a_fact_reads_as_it_is_documented() -> None:
    line = events.to_json(events.AttemptStarted(ATTEMPT, 4711, 1.5))
    assert line == '{"fact":"AttemptStarted","attempt":"12.2","pid":4711,"at":1.5,"version":"","node":""}'


def test_a_field_that_was_added_later_may_be_missing() -> None:
    old = json.loads(events.to_json(facts.exit_of(ATTEMPT)))
    for name in ("cancelled", "time_limit", "oom", "leftovers", "result", "error", "pid", "version", "node"):
        del old[name]
    assert events.from_json(json.dumps(old)) == facts.exit_of(ATTEMPT)
    begun = '{"fact":"AttemptStarted","attempt":"12.2","pid":4711,"at":1.5}'
    assert events.from_json(begun) == events.AttemptStarted(ATTEMPT, 4711, 1.5)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('{"fact":"JobPraised","job":3}', '"JobPraised"'),
        ('{"fact":"JobRemoved","job":3,"mourned":true}', '"mourned"'),
    ],
)
def test_a_fact_of_a_newer_burnish_is_named_and_stops_this_one(line: str, named: str) -> None:
    with pytest.raises(UnknownFact) as caught:
        events.from_json(line)
    assert named in str(caught.value)
    assert str(caught.value).endswith("A newer burnish wrote it; nothing was changed.")
    assert caught.value.hint == "install the newer burnish here too"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "null",
        '"JobRemoved"',
        "{}",
        '{"fact":7}',
        '{"fact":"JobRemoved"}',
        '{"fact":"AttemptStarted","pid":1,"at":1}',
        '{"fact":"AttemptStarted","attempt":"12","pid":1,"at":1}',
        '{"fact":"AttemptStarted","attempt":12,"pid":1,"at":1}',
        '{"fact":"AttemptStarted","attempt":"-1.2","pid":1,"at":1}',
        '{"fact":"ColumnsChanged","columns":null}',
        '{"fact":"TableOpened","table":"t","columns":7,"at":1}',
    ],
)
def test_what_is_damaged_is_a_value_error(line: str) -> None:
    with pytest.raises(ValueError):
        events.from_json(line)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_rule_and_cannot_be_changed(kind: type[Any]) -> None:
    assert kind in _APPLY
    assert kind.__struct_config__.frozen
