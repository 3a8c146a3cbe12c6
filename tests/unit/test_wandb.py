"""A sweep file of Weights & Biases, read as wandb's documentation says it is meant."""

from __future__ import annotations

import itertools
import math
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import mean

import pytest

from burnish.core import wandb
from burnish.core.command import Template
from burnish.core.sweep import Grid
from burnish.errors import InputError
from burnish.store.yaml_file import parse


def expand(text: str, max_jobs: int = 100_000) -> Grid:
    return wandb.expand(parse(text, "sweep.yaml"), max_jobs)


def drawn(spec: str, rows: int = 2000) -> list[str]:
    """What one parameter is in each row of a random sweep."""
    return [row[0] for row in expand(f"method: random\nrun_cap: {rows}\nparameters:\n  x: {spec}\n").rows]


def said(text: str, max_jobs: int = 100_000) -> str:
    with pytest.raises(InputError) as caught:
        expand(text, max_jobs)
    return str(caught.value)


def test_a_grid_is_the_product_in_the_order_of_the_file() -> None:
    grid = expand(
        "method: grid\nparameters:\n  lr: {values: [1e-4, 1e-3]}\n  opt: {value: adam}\n  n: {min: 1, max: 3}\n"
    )
    assert grid.columns == ("--lr", "--opt", "--n")
    assert grid.rows == tuple(itertools.product(["1e-4", "1e-3"], ["adam"], ["1", "2", "3"]))


def test_a_grid_of_steps_and_a_cap() -> None:
    q = "method: grid\nrun_cap: 3\nparameters:\n  d: {distribution: q_uniform, min: 0, max: 0.5, q: 0.1}\n"
    assert expand(q).rows == (("0",), ("0.1",), ("0.2",))
    assert len(expand(q.replace("run_cap: 3\n", "")).rows) == 6


def test_true_is_what_wandb_passes_and_a_flag_where_flags_are_asked_for() -> None:
    text = "method: grid\nparameters:\n  amp: {values: [true, false]}\n"
    assert expand(text).rows == (("True",), ("False",))
    assert expand(text + 'command: ["${program}", "${args_no_boolean_flags}"]\n').rows == (("--amp",), ("",))


NESTED = """\
program: train.py
method: grid
parameters:
  batch: {values: [32, 64]}
  optimizer:
    parameters:
      lr: {values: [0.1, 0.01]}
      nadam: {parameters: {beta: {value: 0.9}}}
"""


def test_parameters_within_a_parameter_are_arguments_with_dots() -> None:
    grid = expand(NESTED)
    assert grid.columns == ("--batch", "--optimizer.lr", "--optimizer.nadam.beta")
    assert grid.rows == tuple(itertools.product(["32", "64"], ["0.1", "0.01"], ["0.9"]))
    assert [str(notice) for notice in grid.notices] == [
        "sweep.yaml:1:1: to start it as wandb would: burnish run --python_file train.py",
        "sweep.yaml:5:3: each parameter within optimizer is an argument of its own: --optimizer.lr, …",
    ]


def test_hydra_gets_the_dotted_names_that_it_reads() -> None:
    text = NESTED + 'command: [python, "${program}", "${args_no_hyphens}"]\n'
    said = str(expand(text).notices[0]).partition("--command ")[2]
    filled = Template.parse(shlex.split(said)[0]).fill(
        {"--batch": "32", "--optimizer.lr": "0.1", "--optimizer.nadam.beta": "0.9"}
    )
    assert filled == ("python", "train.py", "batch=32", "optimizer.lr=0.1", "optimizer.nadam.beta=0.9")


def test_nested_parameters_are_drawn_each_by_its_own_distribution() -> None:
    text = "method: random\nrun_cap: 200\nparameters: {a: {parameters: {x: {min: 0.0, max: 1}, y: {min: 5, max: 6}}}}\n"
    grid = expand(text)
    assert grid.columns == ("--a.x", "--a.y")
    assert len({x for x, _ in grid.rows}) == 200 and {y for _, y in grid.rows} == {"5", "6"}


@pytest.mark.parametrize(
    ("spec", "low", "high", "middle"),
    [
        ("{min: 2.0, max: 4}", 2, 4, 3.0),
        ("{distribution: uniform, min: 2, max: 4}", 2, 4, 3.0),
        ("{distribution: log_uniform, min: 0, max: 2}", 1, math.exp(2), (math.exp(2) - 1) / 2),
        ("{distribution: log_uniform_values, min: 1, max: 100}", 1, 100, 99 / math.log(100)),
        ("{distribution: normal, mu: 5, sigma: 1}", -5, 15, 5.0),
        ("{distribution: log_normal, mu: 0, sigma: 0.5}", 0, 50, math.exp(0.125)),
    ],
)
def test_draws_are_within_their_bounds_and_have_their_mean(spec: str, low: float, high: float, middle: float) -> None:
    numbers = [float(text) for text in drawn(spec)]
    assert all(low <= number <= high for number in numbers)
    assert mean(numbers) == pytest.approx(middle, rel=0.08)
    assert len(set(numbers)) > 1900


def test_whole_numbers_steps_and_chances() -> None:
    assert set(drawn("{min: 1, max: 3}")) == {"1", "2", "3"}
    assert set(drawn("{distribution: q_uniform, min: 0, max: 1, q: 0.5}")) == {"0", "0.5", "1"}
    often = drawn("{values: [a, b], probabilities: [0.9, 0.1]}").count("a")
    assert 1740 < often < 1860 and set(drawn("{values: [a, b]}")) == {"a", "b"}


def test_the_same_file_gives_the_same_draws_everywhere() -> None:
    assert drawn("{min: 0.0, max: 1}", rows=3) == drawn("{min: 0.0, max: 1}", rows=5)[:3]
    assert drawn("{min: 0.0, max: 1}", rows=2) == ["0.494429672477", "0.0285966728546"]


@pytest.mark.parametrize(
    ("command", "run"),
    [
        ("", "burnish run --python_file train.py"),
        ('command: ["${env}", python3, -u, "${program}", "${args_no_hyphens}"]\n', "'python3 -u train.py lr={--lr}'"),
        ('command: [nice, "${interpreter}", "${program}", "${args}"]\n', "'nice python train.py --lr={--lr}'"),
        ('command: ["${program}", "{x}", "${args}"]\n', "'train.py '\"'\"'{{x}}'\"'\"' --lr={--lr}'"),
    ],
)
def test_the_command_is_told_as_a_run(command: str, run: str) -> None:
    grid = expand(f"program: train.py\nmethod: grid\nparameters:\n  lr: {{values: [1]}}\n{command}")
    assert str(grid.notices[-1]).startswith("sweep.yaml:1:1: to start it as wandb would: burnish run --")
    assert str(grid.notices[-1]).endswith(run)


FLAGGED = """\
program: train.py
method: grid
parameters:
  flag: {values: [true, false]}
  fixed: {value: true}
  lr: {values: [1e-3]}
command: ["${env}", "${interpreter}", "${program}", "${args_no_boolean_flags}", "--out=x y"]
"""
TRAIN = """\
import argparse, sys
parser = argparse.ArgumentParser()
for flag in ("--flag", "--fixed"):
    parser.add_argument(flag, action="store_true")
for option in ("--lr", "--out"):
    parser.add_argument(option)
print(sorted(vars(parser.parse_args()).items()))
"""


def test_the_command_that_is_told_for_flags_is_one_that_argparse_takes(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(FLAGGED)
    (tmp_path / "train.py").write_text(TRAIN)

    def burnish(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "burnish", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    told = burnish("create", "--wandb", "sweep.yaml").stderr.partition("as wandb would: burnish ")[2].splitlines()[0]
    done = burnish(*shlex.split(told))
    assert done.returncode == 0, done.stderr
    wrote = [burnish("view", job).stdout.strip() for job in "01"]
    assert wrote == [f"[('fixed', True), ('flag', {flag}), ('lr', '1e-3'), ('out', 'x y')]" for flag in (True, False)]


def test_what_is_a_flag_and_a_value_is_named_where_no_template_writes_it() -> None:
    text = FLAGGED.replace("[1e-3]", "[1e-3, false]")
    assert "--lr is a flag in some jobs and has a value in others" in "\n".join(map(str, expand(text).notices))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a\n", "sweep.yaml:1:1: found a list; expected `method:` and `parameters:`."),
        ("method: grid\n", "sweep.yaml:1:1: parameters is missing"),
        ("parameters: {a: {value: 1}}\n", "sweep.yaml:1:1: method is missing; expected grid or random."),
        ("method: bayes\nparameters: {a: {value: 1}}\n", "sweep.yaml:1:9: bayes needs results as it goes"),
        ("method: random\nparameters: {a: {value: 1}}\n", "add run_cap: 30."),
        ("method: grid\nrun_cap: x\nparameters: {a: {value: 1}}\n", 'run_cap is "x"; expected a whole number above 0.'),
        ("method: grid\nmetod: x\nparameters: {a: {value: 1}}\n", "Did you mean method?"),
        ("method: grid\nparameters: {a: {vales: [1]}}\n", "Did you mean values?"),
        ("method: grid\nparameters: {a: {values: 1}}\n", 'values of a is "1"; expected a list.'),
        ("method: grid\nparameters: {a: 1}\n", 'a is "1"; expected {value: …}'),
        (
            "method: grid\nparameters: {a: {parameters: {b: {value: 1}}, value: 2}}\n",
            "sweep.yaml:2:47: a holds parameters of its own, and value beside them; remove one.",
        ),
        ("method: grid\nparameters: {a: {parameters: [b]}}\n", "parameters of a is a list; expected a mapping such as"),
        ("method: grid\nparameters: {a: {parameters: {}}}\n", "parameters of a is empty; expected a mapping"),
        ("method: grid\nparameters: {a: {parameters: {b: 1}}}\n", 'a.b is "1"; expected {value: …}'),
        ("method: grid\nparameters: {a: {parameters: {b: {vales: [1]}}}}\n", "Did you mean values?"),
        (
            "method: grid\nparameters: {a: {lr: {values: [1]}}}\n",
            'wandb knows no "lr" here. Parameters within a stand below `parameters:`.',
        ),
        (
            "method: grid\nparameters: {a.b: {value: 1}, a: {parameters: {b: {value: 1}}}}\n",
            "sweep.yaml:2:48: a.b is there twice",
        ),
        ("method: grid\nparameters: {a: {min: 0.0, max: 1}}\n", "a has endlessly many values"),
        ("method: grid\nparameters: {a: {min: 3, max: 1}}\n", "a has neither value nor values that can be read"),
        (
            "method: random\nrun_cap: 1\nparameters: {a: {distribution: log_uniform_values, min: 0, max: 1}}\n",
            "a has neither",
        ),
        ("method: random\nrun_cap: 1\nparameters: {a: {values: [1, 2], probabilities: [1]}}\n", "expected 2 numbers"),
        ("method: grid\nparameters: {JOB_ID: {value: 1}}\ncommand: x\n", 'command is "x"; expected a list of words.'),
        (
            "method: grid\nparameters: {a: {min: 0, max: 900}, b: {min: 0, max: 900}}\n",
            "this sweep has 811801 jobs; the limit",
        ),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, sentence: str) -> None:
    assert sentence in said(text)
