"""A share of `make fuzz`: each reader's first inputs; and that the watch sees what it is there for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz.__main__ import Feeder
from fuzz.readers import Reader, readers
from fuzz.watched import LIMIT, complaint

INPUTS = 200


@pytest.mark.parametrize("reader", list(readers()), ids=lambda reader: reader.name)
def test_whatever_is_written_there_is_read_or_refused_by_a_sentence(reader: Reader, tmp_path: Path) -> None:
    feeder = Feeder(reader, tmp_path)
    for number in range(INPUTS):
        said = feeder.feed(number)
        assert not said, (
            f"{said}\n{feeder.input(number)!r}\nagain: PYTHONPATH=tests python -m fuzz --reader {reader.name}"
        )


def hang() -> None:
    began = time.process_time()
    while time.process_time() < began + 10 * LIMIT:
        pass


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        (lambda: {}["x"], "KeyError"),
        (lambda: Path("written").write_text("x"), "Deed: open"),
        (lambda: os.mkdir("made"), "Deed: os.mkdir"),
        (lambda: os.system("true"), "Deed: os.system"),
        (hang, "Hung"),
    ],
    ids=["raises", "writes", "makes", "starts", "hangs"],
)
def test_the_watch_sees(deed: Callable[[], None], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert complaint(deed).startswith(said)
    assert not list(tmp_path.iterdir())
