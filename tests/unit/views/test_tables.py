"""A table fits the width it is given, names what it leaves out, and moves nobody's cursor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.views.tables import Column, Table, cut, lines, shortened, width_of


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


@pytest.mark.parametrize(
    ("names", "width", "left"),
    [
        (("gpu-node-a100-01", "gpu-node-a100-02"), 8, ["gpu-…-01", "gpu-…-02"]),
        (("gpu01.example.org", "gpu02.example.org"), 8, ["gpu01.e…", "gpu02.e…"]),
        (("rack-a01-node", "rack-a02-node"), 8, ["…01-node", "…02-node"]),
        (("gpu-node-a100-01", "desk"), 8, ["gpu-nod…", "desk"]),
        (("実験-a100-01", "実験-a100-02"), 8, ["実験…-01", "実験…-02"]),
        (("abcd", "abce"), 1, ["…", "…"]),
    ],
)
def test_names_are_cut_where_they_stay_different(names: tuple[str, ...], width: int, left: list[str]) -> None:
    assert list(shortened(names, width).values()) == left


@given(names=st.sets(st.text(max_size=20), min_size=1, max_size=4), width=st.integers(1, 20))
def test_shortened_names_fit(names: set[str], width: int) -> None:
    assert all(width_of(short) <= width for short in shortened(names, width).values())


def test_no_column_is_shown_at_the_cost_of_two_hosts_that_look_the_same() -> None:
    columns = [Column("HOST", least=4, tight=4, apart=True), *(Column(f"--{n}", least=3, optional=1) for n in range(9))]
    rows = [(f"gpu-node-a10{end}", *"123456789") for end in ("0-left", "1-left")]
    for width in range(12, 60):
        hosts = [line.split()[0] for line in lines(Table(columns, rows), width)][1:3]
        assert len(set(hosts)) == 2, width


def test_names_that_cannot_stay_different_are_cut_before_rows_wrap() -> None:
    columns = [Column("HOST", least=8, tight=4, apart=True), Column("B", least=30)]
    rows = [(f"aaaaaaaaaa{n}bbbbbbbbbb", "b" * 30) for n in range(2)]
    assert [width_of(line) for line in lines(Table(columns, rows), width=38)][1:] == [38, 38]


def test_column_that_says_the_same_in_all_rows_gives_way_first() -> None:
    columns = [
        Column("HOST", apart=True),
        *(Column(name, least=6, optional=1) for name in ("--data", "--loss", "--net")),
    ]
    rows = [(f"gpu-node-a100-0{n}", "imagenet-full-size", f"cross-entropy-{n}", "resnet") for n in range(2)]
    table = Table(columns, rows)
    assert list(lines(table, width=50))[1] == "gpu-node-a100-00  imagen…  cross-entropy-0  resnet"
    assert list(lines(table, width=46))[1] == "gpu-nod…a100-00  image…  cross-entrop…  resnet", "then the widest"
    assert next(lines(table, width=22)).split() == ["HOST", "--loss"]


def test_column_that_was_dropped_in_vain_comes_back() -> None:
    columns = [Column("A"), Column("B" * 20, least=20, optional=1), Column("C", least=1, optional=2)]
    shown = list(lines(Table(columns, [("a", "b", "c")]), width=20))
    assert shown[:2] == ["A  C", "a  c"]


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
