"""Whatever bytes a file holds: it is read, or refused with a place. Never another exception."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.core import sweep
from burnish.errors import InputError
from burnish.store import csv_file, yaml_file

PLACE = re.compile(r"f\.(yaml|csv):\d+(:\d+)?")
MAX_JOBS = 500

# Bytes as they come find little; pieces of the language, in any order, find much more.
PIECES = [
    *'\n\r\t "\'\\#&*!|>%@`{}[],:?-~=\0\x7f\x85',
    *["\n- ", ": ", "&a ", "*a", "<<: ", "!!str ", "!!int ", "!x!y ", "---\n", "...\n", "%YAML 1.1\n", "%TAG ! x\n"],
    *["\ufeff", "\u2028"],
    *["--lr", "true", "null", ".nan", "1e-4", "range(0, 9)", "linspace(0,1,", "range(1e9)", '"\\U00110000"', "\\xff", "é", "😀"],
    *["burnish:\n  ", "repeat: ", "zip: ", "exclude: ", "random: 3", "order: shuffle", "columns: "],
    *["GPUS: 1", "JOB_ID", ",", ";", "sep=;"],
]  # fmt: skip
TEXT = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30).map("".join)
BYTES = st.binary(max_size=60) | TEXT.map(lambda text: text.encode("utf-8", "surrogatepass"))

READERS: list[tuple[str, Callable[[str], object]]] = [
    ("f.yaml", lambda path: sweep.expand(yaml_file.load(path), MAX_JOBS)),
    ("f.csv", lambda path: csv_file.load(path, MAX_JOBS)),
]


@pytest.mark.parametrize(("name", "read"), READERS, ids=["yaml", "csv"])
@given(data=BYTES)
@settings(max_examples=300, deadline=2000)
def test_any_bytes_are_read_or_refused_with_a_place(name: str, read: Callable[[str], object], data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        try:
            read(str(path))
        except InputError as error:
            assert error.problems
            assert all(PLACE.search(problem.where) for problem in error.problems)
            assert all(problem.what for problem in error.problems)
