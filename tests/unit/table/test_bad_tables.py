"""A bad row stops no other, and any bytes are a table or sentences. The sentences themselves: tests/data/bad/db."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.core.table import Table, parse
from burnish.errors import InputError

BAD = Path(__file__).parents[2] / "data" / "bad" / "db"


def test_bad_rows_are_skipped_and_the_others_read() -> None:
    table = parse((BAD / "several_rows" / "burnish.db").read_bytes())
    assert [row.id for row in table.rows if row.usable] == [3]
    assert {int(job): fault.where for job, fault in table.skipped.items()} == {0: "burnish.db:2", 1: "burnish.db:3"}
    assert [row.raw for row in table.nameless] == ["x,NOT_RUNNING,c,1\n"]


@pytest.mark.parametrize("data", [b"", b"\n\n,,\n", b"\xef\xbb\xbf"])
def test_empty_file_is_a_table_without_jobs(data: bytes) -> None:
    table = parse(data)
    assert (table.empty, table.rows, table.columns, table.data) == (True, [], (), data)
    assert not parse(b"JOB_ID,STATE\n").empty


@given(st.binary() | st.text('",\n\r abJOB_ID,STATE0').map(lambda text: b"JOB_ID,STATE,a\n" + text.encode()))
def test_any_bytes_are_a_table_or_sentences(data: bytes) -> None:
    try:
        table = parse(data)
    except InputError as error:
        assert all(problem.where.startswith("burnish.db") for problem in error.problems)
    else:
        assert isinstance(table, Table)
        assert table.data == data
