"""From a sweep to rows: what a person writes and what the table gets."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.core import sweep
from burnish.core.sweep import Grid
from burnish.errors import InputError
from burnish.store.yaml_file import parse
from burnish.util import create_grid_search


def expand(text: str, max_jobs: int = sweep.MAX_JOBS) -> Grid:
    return sweep.expand(parse(text, "grid.yaml"), max_jobs)


def column(grid: Grid, name: str) -> list[str]:
    index = grid.columns.index(name)
    return [row[index] for row in grid.rows]


def test_lists_are_searched_and_scalars_fixed_with_the_last_key_fastest() -> None:
    grid = expand("--env: [e1, e2]\n--lr: 1e-4\n--seed: [1, 2, 3]\n")
    assert grid.columns == ("--env", "--lr", "--seed")
    assert grid.rows == tuple(itertools.product(["e1", "e2"], ["1e-4"], ["1", "2", "3"]))


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.lists(st.integers(), min_size=1, max_size=4, unique=True), min_size=1)
)
def test_the_order_is_that_of_itertools_product_and_of_the_first_burnish(lists: dict[str, list[int]]) -> None:
    grid = expand("".join(f"--{key}: {values}\n" for key, values in lists.items()))
    by_hand = create_grid_search(lists)
    assert grid.columns == tuple(f"--{key}" for key in lists)
    assert [list(row) for row in zip(*by_hand.values(), strict=True)] == [
        [int(cell) for cell in row] for row in grid.rows
    ]


@pytest.mark.parametrize(
    ("typed", "cell"),
    [
        ("true", "--amp"),
        ("false", ""),
        ("null", ""),
        ("", ""),
        ("'true'", "true"),
        ("'false'", "false"),
        ("no", "no"),
        ("1e-4", "1e-4"),
        ("007", "007"),
        (".inf", ".inf"),
        ("'.nan'", ".nan"),
        ("'range(3)'", "range(3)"),
        ("'a; rm -rf $HOME \"*\" 😀'", 'a; rm -rf $HOME "*" 😀'),
        ("-1", "-1"),
        ('"two\\nlines"', "two\nlines"),
    ],
)
def test_what_is_typed_and_what_the_cell_holds(typed: str, cell: str) -> None:
    assert expand(f"--amp: {typed}").rows == ((cell,),)


@pytest.mark.parametrize("word", ["no", "on", "Yes", "off", "y", "N"])
def test_a_word_that_once_was_a_boolean_stays_text_and_is_remarked(word: str) -> None:
    grid = expand(f"--augment: [{word}]")
    assert grid.rows == ((word,),)
    [notice] = grid.notices
    assert notice.where == "grid.yaml:1:13"
    assert f'as the text "{word}"' in notice.what
    assert not expand(f"--augment: ['{word}']").notices


def test_a_list_of_mappings_is_the_union_of_their_grids() -> None:
    grid = expand("- --opt: sgd\n  --lr: [1, 2]\n- --opt: adam\n  --beta: 0.9\n")
    assert grid.columns == ("--opt", "--lr", "--beta")
    assert grid.rows == (("sgd", "1", ""), ("sgd", "2", ""), ("adam", "", "0.9"))


def test_a_union_holds_a_combination_once() -> None:
    grid = expand("- --seed: [1, 2]\n- --seed: [2, 3]\n")
    assert column(grid, "--seed") == ["1", "2", "3"]
    assert "1 of 2 combinations" in grid.notices[0].what


def test_repeat_counts_from_zero_and_varies_fastest() -> None:
    assert expand("--lr: [1, 2]\nburnish: {repeat: {--seed: 2}}").rows == (
        ("1", "0"),
        ("1", "1"),
        ("2", "0"),
        ("2", "1"),
    )


def test_zipped_arguments_advance_together_at_the_place_of_the_first() -> None:
    grid = expand("--model: [a, b]\n--seed: [1, 2]\n--batch: [8, 16]\nburnish: {zip: [[--batch, --model]]}")
    assert grid.columns == ("--model", "--seed", "--batch")
    assert grid.rows == (("a", "1", "8"), ("a", "2", "8"), ("b", "1", "16"), ("b", "2", "16"))


def test_exclude_leaves_out_what_matches_in_all_it_names() -> None:
    grid = expand(
        "--opt: [sgd, adam]\n--lr: [1, 0.1]\n--amp: [true, false]\nburnish:\n  exclude: [{--opt: sgd, --lr: 1}, {--amp: true}]"
    )
    assert grid.rows == (("sgd", "0.1", ""), ("adam", "1", ""), ("adam", "0.1", ""))


def test_exclude_takes_a_list_as_any_of_them() -> None:
    assert column(expand("--lr: [1, 2, 3]\nburnish: {exclude: [{--lr: [1, 3]}]}"), "--lr") == ["2"]


def test_columns_give_every_job_its_control_columns_before_the_arguments() -> None:
    grid = expand("--lr: [1, 2]\nburnish: {columns: {TIME_LIMIT: 2h, PRIORITY: 5}}")
    assert grid.columns == ("PRIORITY", "TIME_LIMIT", "--lr")
    assert grid.rows == (("5", "2h", "1"), ("5", "2h", "2"))


def test_each_mapping_of_a_union_has_its_own_options() -> None:
    grid = expand("- --lr: [1]\n  burnish: {columns: {GPUS: 2}}\n- --lr: [2]\n")
    assert grid.rows == (("2", "1"), ("", "2"))


GRID_OF_100 = "--a: range(10)\n--b: range(10)\n"


def test_random_draws_without_return_and_keeps_the_order_of_the_grid() -> None:
    grid = expand(GRID_OF_100 + "burnish: {random: 30}")
    everything = expand(GRID_OF_100).rows
    assert len(set(grid.rows)) == 30
    assert list(grid.rows) == [row for row in everything if row in grid.rows]


def test_the_sample_follows_from_its_seed_alone() -> None:
    first = expand(GRID_OF_100 + "burnish: {random: 5, sample_seed: 1}").rows
    assert first == expand(GRID_OF_100 + "burnish: {random: 5, sample_seed: 1}").rows
    assert first != expand(GRID_OF_100 + "burnish: {random: 5, sample_seed: 2}").rows
    # Written down, so that a sweep sampled today is the same sweep next year.
    assert first == (("0", "7"), ("0", "8"), ("5", "3"), ("7", "8"), ("9", "9"))


def test_random_draws_from_what_is_not_excluded() -> None:
    grid = expand("--a: range(10)\nburnish: {random: 8, exclude: [{--a: [0, 1, 2, 3]}]}")
    assert column(grid, "--a") == ["4", "5", "6", "7", "8", "9"]
    assert "only 6 combinations" in grid.notices[0].what


def test_random_samples_a_grid_that_could_never_be_expanded() -> None:
    text = "".join(f"--k{index}: range(1000)\n" for index in range(20))
    assert len(set(expand(text + "burnish: {random: 10}").rows)) == 10


def test_shuffle_changes_the_order_and_nothing_else() -> None:
    written, shuffled = expand(GRID_OF_100).rows, expand(GRID_OF_100 + "burnish: {order: shuffle}").rows
    assert shuffled != written
    assert sorted(shuffled) == sorted(written)


def test_a_grid_too_large_is_refused_by_its_count_before_it_is_expanded() -> None:
    text = "".join(f"--k{index}: range(1000)\n" for index in range(30))
    with pytest.raises(InputError, match=f"this sweep has {10**90} jobs"):
        expand(text)


def test_the_limit_is_on_the_sum_of_a_union() -> None:
    text = "- --a: range(60)\n- --b: range(60)\n"
    assert len(expand(text, max_jobs=120).rows) == 120
    with pytest.raises(InputError, match="this sweep has 120 jobs"):
        expand(text, max_jobs=119)


def test_append_adds_only_combinations_that_are_not_there() -> None:
    there = [("1", "", "x"), ("2", "--amp", "x")]
    grid = Grid(("PRIORITY", "--lr", "--new"), (("9", "1", ""), ("9", "2", ""), ("9", "1", "n")))
    added = sweep.append(("--lr", "--amp", "HOSTS"), there, grid)
    assert added.columns == ("--lr", "--amp", "HOSTS", "PRIORITY", "--new")
    assert added.rows == (("2", "", "", "9", ""), ("1", "", "", "9", "n"))
    assert added.present == 1


def test_append_compares_texts_not_numbers() -> None:
    added = sweep.append(("--lr",), [("1e-4",)], Grid(("--lr",), (("0.0001",), ("1e-4",))))
    assert added.rows == (("0.0001",),)


def test_append_counts_combinations_that_are_meant_several_times() -> None:
    added = sweep.append(("--lr",), [("1",)], Grid(("--lr",), (("1",), ("1",), ("1",))))
    assert (len(added.rows), added.present) == (2, 1)


def test_appending_a_sweep_to_itself_adds_nothing() -> None:
    grid = expand(GRID_OF_100)
    assert sweep.append(grid.columns, grid.rows, grid) == sweep.Appended(grid.columns, (), 100)


def test_rows_of_a_function_follow_the_same_rule_as_yaml() -> None:
    grid = sweep.from_rows(["--amp", "--x", "GPUS"], [[True, None, "2"], [False, "1e-4", ""]], "--func m.f")
    assert grid.columns == ("GPUS", "--amp", "--x")
    assert grid.rows == (("2", "--amp", ""), ("", "", "1e-4"))


@pytest.mark.parametrize(
    ("columns", "rows", "says"),
    [
        (["JOB_ID"], [["1"]], "burnish's own column"),
        (["--a"], [], "no jobs"),
        (["--a"], [["x\0"]], "--func m.f, row 0: a NUL byte"),
        (["--a"], [["1"]] * 4, "more than 3 jobs"),
        (["GPUS"], [["two"]], 'row 0: GPUS is "two"'),
        ([""], [["1"]], "needs a name"),
    ],
)
def test_rows_of_a_function_that_make_no_table(columns: list[str], rows: list[list[str]], says: str) -> None:
    with pytest.raises(InputError, match=says):
        sweep.from_rows(columns, rows, "--func m.f", max_jobs=3)
