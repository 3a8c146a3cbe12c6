"""Every way to get an input file wrong, and the exact sentence for it.

A fixture is tests/data/bad/<kind>/<name>.<kind> with <name>.expected beside it. To add one: put the file there, run, read
what burnish says, and write it into `.expected` if a stranger would understand it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from burnish.core import sweep
from burnish.errors import InputError
from burnish.store import csv_file, yaml_file

BAD = Path(__file__).parent.parent / "data" / "bad"
READERS: dict[str, Callable[[str], object]] = {
    "yaml": lambda path: sweep.expand(yaml_file.load(path)),
    "csv": csv_file.load,
}
FIXTURES = sorted(path for kind in READERS for path in (BAD / kind).glob(f"*.{kind}"))


def test_the_fixtures_are_there() -> None:
    assert len(FIXTURES) > 60
    assert all(path.with_suffix(".expected").exists() for path in FIXTURES)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.suffix[1:]}-{path.stem}")
def test_bad_input_is_answered_by_a_sentence(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    with pytest.raises(InputError) as caught:
        READERS[path.suffix[1:]](path.name)
    said = f"{caught.value}\n" + (f"hint: {caught.value.hint}\n" if caught.value.hint else "")
    assert said == path.with_suffix(".expected").read_text()
    assert caught.value.exit_code == 2
