"""A table fits the width it is given, names what it leaves out, and moves nobody's cursor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.views.tables import Column, Table, cut, lines, width_of


def test_plain_table_is_whole_and_aligned() -> None:
    table = Table([Column("ID", right=True), Column("NAME")], [("1", "a" * 300), ("10", "b")])
    assert list(lines(table)) == ["ID  NAME", " 1  " + "a" * 300, "10  b"]


def test_column_that_is_empty_throughout_is_left_out() -> None:
    table = Table([Column("A"), Column("B"), Column("C", keep_empty=True)], [("1", "", "")])
    assert next(lines(table)) == "A  C"


def test_columns_that_do_not_fit_are_named() -> None:
    columns = [Column("ID"), *(Column(f"--argument{n}", least=6, optional=1) for n in range(9))]
    shown = list(lines(Table(columns, [["0", *["value"] * 9]]), width=60))
    assert all(width_of(line) <= 60 for line in shown)
    assert shown[0].split() == ["ID", "--argument0", "--argument1", "--argument2", "--argument3"]
    assert shown[-2].startswith("Not shown for want of room: --argument4, ")


def test_names_of_columns_that_do_not_fit_take_two_lines_at_most_and_the_rest_are_counted() -> None:
    columns = [Column("ID" * 15), *(Column(f"--argument{n}", least=6, optional=1) for n in range(30))]
    shown = list(lines(Table(columns, [["0", *["value"] * 30]]), width=40))
    assert shown[2:] == ["Not shown for want of room: --argument1,", "  --argument2, --argument3 and 26 more"]


def test_column_is_made_tight_only_where_rows_would_wrap() -> None:
    table = Table(
        [Column("A", least=8, tight=4), Column("B", least=30), Column("C", optional=1)], [("a" * 10, "b" * 30, "c")]
    )
    assert [line.split()[0] for line in lines(table, width=40)] == ["A", "a" * 7 + "…", "Not"]
    assert [line.split()[0] for line in lines(table, width=37)] == ["A", "a" * 4 + "…", "Not"]


def test_widest_column_gives_way_first() -> None:
    table = Table([Column("SHORT"), Column("LONG")], [("abcdef", "x" * 100)])
    assert list(lines(table, width=30))[1] == "abcdef  " + "x" * 21 + "…"


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\nb", "\x9b31m", "\u202eabc", "\r", "\x00"])
def test_control_characters_are_escaped_in_cells_and_titles(hostile: str) -> None:
    shown = list(lines(Table([Column(hostile)], [(hostile,)])))
    assert len(shown) == 2
    assert all(line.isprintable() and "\\" in line for line in shown)


def test_colour_repeats_and_never_replaces() -> None:
    table = Table([Column("STATE"), Column("B")], [("ERROR", "b")], {"STATE": lambda _: lambda text: f"<{text}>"})
    assert list(lines(table, colour=True)) == ["STATE  B", "<ERROR>  b"]
    assert list(lines(table, colour=False)) == ["STATE  B", "ERROR  b"]


def test_wide_characters_take_two_columns() -> None:
    assert (width_of("実験"), width_of("e\u0301"), cut("実験結果", 5), cut("abc", 3)) == (4, 1, "実験…", "abc")


@given(
    rows=st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40)), max_size=6),
    width=st.integers(40, 120),
)
def test_any_text_fits_any_width_on_one_line_per_row(rows: list[tuple[str, str, str]], width: int) -> None:
    columns = [Column("A"), Column("B"), Column("C", optional=1)]
    shown = list(lines(Table(columns, rows), width))
    assert len(shown) in (len(rows) + 1, len(rows) + 2)
    assert all(width_of(line) <= width and line.isprintable() for line in shown)
