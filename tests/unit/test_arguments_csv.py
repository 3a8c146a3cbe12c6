"""A CSV of arguments becomes jobs, cell for cell."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from burnish.core.arguments_csv import parse
from burnish.store.csv_file import load


def test_cells_are_kept_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufeff--lr,--note\r\n1e-4,"=1+1"\r\n007," two, ""words"" "\r\n'.encode())
    assert load(str(path)).rows == (("1e-4", "=1+1"), ("007", ' two, "words" '))


def test_blank_rows_are_no_jobs() -> None:
    assert parse("--a,--b\n1,2\n\n,\n  , \n3,4\n,,,\n", "a.csv").rows == (("1", "2"), ("3", "4"))


def test_control_columns_are_taken_and_come_first() -> None:
    grid = parse("--lr,GPUS\n1,2\n", "a.csv")
    assert (grid.columns, grid.rows) == (("GPUS", "--lr"), (("2", "1"),))


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0\r")).filter(lambda text: text.strip() or not text)


@given(st.lists(st.tuples(st.just("x"), CELL, CELL), min_size=1, max_size=5))
def test_what_a_csv_writer_wrote_is_read_back(rows: list[tuple[str, str, str]]) -> None:
    written = io.StringIO()
    csv.writer(written).writerows([("--a", "--b", "--c"), *rows])
    assert parse(written.getvalue(), "a.csv").rows == tuple(rows)
