"""YAML as it was typed: texts, places, aliases."""

from __future__ import annotations

from pathlib import Path

import pytest

from burnish.core.document import Mapping, Scalar, Sequence
from burnish.errors import InputError
from burnish.store.yaml_file import load, parse


def mapping(text: str) -> Mapping:
    node = parse(text, "grid.yaml")
    assert isinstance(node, Mapping)
    return node


def texts(node: object) -> list[str]:
    assert isinstance(node, Sequence)
    return [item.text for item in node.items if isinstance(item, Scalar)]


@pytest.mark.parametrize(
    "typed",
    [
        "1e-4",
        "010",
        "1.10",
        "0x1F",
        "1_000",
        "1:30",
        "2024-01-01",
        "on",
        "No",
        "3.10",
        ".5",
        "+1",
        "~x",
        "a b",
        "=",
        ".inf",
    ],
)
def test_a_plain_value_keeps_its_characters(typed: str) -> None:
    value = mapping(f"--x: {typed}").get("--x")
    assert isinstance(value, Scalar)
    assert (value.text, value.plain, value.boolean, value.null) == (typed, True, None, False)


@pytest.mark.parametrize(
    ("typed", "text"), [("'true'", "true"), ('"a\\nb"', "a\nb"), ("|\n  x\n", "x\n"), ("!!str 5", "5")]
)
def test_a_quoted_value_is_text(typed: str, text: str) -> None:
    value = mapping(f"--x: {typed}").get("--x")
    assert isinstance(value, Scalar)
    assert (value.text, value.plain, value.boolean, value.null) == (text, False, None, False)


def test_booleans_and_nulls_are_the_words_of_yaml_1_2() -> None:
    node = mapping("a: true\nb: FALSE\nc: ~\nd: null\ne:\nf: yes\n")
    values = [value for _, value in node if isinstance(value, Scalar)]
    assert [value.boolean for value in values] == [True, False, None, None, None, None]
    assert [value.null for value in values] == [False, False, True, True, True, False]


def test_every_node_has_its_place() -> None:
    node = mapping("# a comment\n--env: [e1,\n  'e2']\n")
    [(key, value)] = node
    assert isinstance(value, Sequence)
    assert (key.where, value.where) == ("grid.yaml:2:1", "grid.yaml:2:8")
    assert [item.where for item in value.items] == ["grid.yaml:2:9", "grid.yaml:3:3"]


def test_an_alias_is_what_it_stands_for() -> None:
    assert texts(mapping("a: &seeds [1, 2]\nb: *seeds\n").get("b")) == ["1", "2"]


def test_a_merge_key_gives_what_is_not_said_here() -> None:
    node = mapping("base: &base {--lr: 1, --opt: sgd}\ngrid:\n  <<: *base\n  --lr: 2\n  --new: 3\n").get("grid")
    assert isinstance(node, Mapping)
    assert [(key.text, value.text) for key, value in node if isinstance(value, Scalar)] == [
        ("--lr", "2"),
        ("--opt", "sgd"),
        ("--new", "3"),
    ]


def test_a_quoted_merge_key_is_an_ordinary_key() -> None:
    assert "<<" in mapping("'<<': 1")


def test_all_problems_that_are_not_syntax_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse("a: 1\na: 2\nb: !x 3\nb: 4\n", "grid.yaml")
    assert [problem.where for problem in caught.value.problems] == ["grid.yaml:2:1", "grid.yaml:3:4", "grid.yaml:4:1"]


def test_depth_is_allowed_up_to_the_limit() -> None:
    parse("[" * 100 + "]" * 100, "deep.yaml")
    with pytest.raises(InputError, match="nested more than 100 levels"):
        parse("[" * 102 + "]" * 102, "deep.yaml")


def test_an_empty_file_is_an_empty_plain_value(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    node = load(str(path))
    assert isinstance(node, Scalar)
    assert node.null
