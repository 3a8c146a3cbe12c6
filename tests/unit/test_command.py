"""From cells to an argv, without a shell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.core.columns import LONGEST_ARGUMENT
from burnish.core.command import PYTHON_ON_PATH, Template, as_shown, check_limits, for_python_file
from burnish.errors import UsageError


def fill(template: str, **cells: str) -> tuple[str, ...]:
    return Template.parse(template).fill(cells)


def test_a_template_is_split_once_and_then_filled() -> None:
    assert fill("python train.py lr={lr} 'a b' seed={seed}", lr="1e-4", seed="2") == (
        "python", "train.py", "lr=1e-4", "a b", "seed=2",
    )  # fmt: skip


@given(st.text(), st.text())
def test_an_element_stays_one_element_whatever_the_value_holds(first: str, second: str) -> None:
    argv = Template.parse("run --x={a}{b} {{a}} '{a} {b}'").fill({"a": first, "b": second})
    assert argv == ("run", f"--x={first}{second}", "{a}", f"{first} {second}")


def test_a_lone_placeholder_without_a_value_is_left_out_and_others_become_empty() -> None:
    assert fill("run {amp} lr={lr} '' {seed}", amp="", lr="", seed="0") == ("run", "lr=", "", "0")


def test_a_column_name_may_hold_spaces_and_anything_but_braces() -> None:
    template = Template.parse("run '{my column}' {--a.b=c}")
    assert template.fields == ("my column", "--a.b=c")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("", "is empty"),
        ("run 'x", "no closing quotation"),
        ("run {lr", "a { without its partner"),
        ("run lr}", "a } without its partner"),
        ("run {}", "nothing in it"),
        ("run {a{b}}", "without its partner"),
        ("cd x && run", "&& is for a shell"),
        ("run; rm", "; is for a shell"),
        ("run > log", "> is for a shell"),
        ("run 2>&1", "2>&1 is for a shell"),
        ("run | tee", "is for a shell"),
        ("run &", "& is for a shell"),
    ],
)
def test_templates_that_cannot_be_read(template: str, says: str) -> None:
    with pytest.raises(UsageError, match=says.replace("|", r"\|").replace("{", r"\{").replace("}", r"\}")):
        Template.parse(template)


@pytest.mark.parametrize(
    "template", ["find . -name '*|*' -exec ls '{{}}' \\;", "sh -c 'a && b > c'", 'echo "a;"', "x=1>2"]
)
def test_quoted_operators_are_text(template: str) -> None:
    Template.parse(template)


def test_an_unknown_placeholder_is_named_with_the_near_one_and_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        Template.parse("run {--lrr}").check(["JOB_ID", "STATE", "--lr", "--seed"])
    assert str(caught.value) == (
        "--command: the table has no column for {--lrr}. Did you mean --lr? Columns: JOB_ID, STATE, --lr, --seed."
    )
    Template.parse("run {--lr} {JOB_ID}").check(["JOB_ID", "STATE", "--lr"])


def test_a_python_file_gets_keys_and_values_in_column_order() -> None:
    columns = ["JOB_ID", "STATE", "PRIORITY", "--lr", "--amp", "--off", "name"]
    cells = ["3", "NOT_RUNNING", "9", "1e-4", "--amp", "", "a b"]
    assert for_python_file("python3.11", "train.py", columns, cells) == (
        "python3.11", "train.py", "--lr", "1e-4", "--amp", "name", "a b",
    )  # fmt: skip


def test_a_python_file_that_looks_like_an_option_is_still_a_file() -> None:
    assert for_python_file("python", "-c.py", [], []) == ("python", "./-c.py")


def test_without_a_choice_the_first_python_on_the_jobs_path_runs_it() -> None:
    argv = for_python_file(None, "train.py", ["--lr"], ["1"])
    assert argv == (*PYTHON_ON_PATH, "train.py", "--lr", "1")


@pytest.mark.parametrize(
    ("argv", "env", "says"),
    [
        ([], None, "the command is empty"),
        ([""], None, "the program, is an empty text"),
        (["run", "--x", "a\0"], None, "argument 2 (after --x) holds a NUL byte"),
        (
            ["run", "x" * (LONGEST_ARGUMENT + 1)],
            None,
            "argument 1 is 131,072 bytes; Linux passes at most 131,071",
        ),
        (["run", "ü" * 70000], None, "argument 1 is 140,000 bytes"),
        (["run", "\ud800"], None, "lone surrogate"),
        (["run", *["x" * 100_000] * 70], None, "the command is 7,000,003 bytes in all"),
        (["run"], {"a=b": "1"}, '"a=b" cannot be the name'),
        (["run"], {"": "1"}, '"" cannot be the name'),
        (["run"], {"TOKEN": "secret\0"}, "environment variable TOKEN holds a NUL byte"),
    ],
)
def test_what_linux_cannot_start(argv: list[str], env: dict[str, str] | None, says: str) -> None:
    fault = check_limits(argv, env)
    assert fault is not None
    assert says in fault
    assert "secret" not in fault


def test_what_linux_can_start() -> None:
    assert check_limits(["run", "x" * LONGEST_ARGUMENT, "\udcff", ""], {"A": ""}) is None


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        ((*PYTHON_ON_PATH, "train.py", "--name", "a b"), "python train.py --name 'a b'"),
        (("python3", "train.py"), "python3 train.py"),
        (("/bin/sh", "-c", "exit 1"), "/bin/sh -c 'exit 1'"),
    ],
)
def test_a_command_is_shown_as_a_person_would_type_it(argv: tuple[str, ...], shown: str) -> None:
    assert as_shown(argv) == shown
