"""A log is read to its end and then watched: what is written in between is neither lost nor late."""

from __future__ import annotations

import select
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from burnish.remote.agent.keeping import Keeping
from burnish.remote.agent.place import Place
from burnish.remote.agent.tails import Tails

ATTEMPT = "1.1-abcd"


class Sent:
    """What goes to the coordinator."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []

    def send(self, kind: str, **fields: Any) -> None:
        self.frames.append({"type": kind, **fields})

    def send_body(self, header: dict[str, Any], body: bytes) -> None:
        self.frames.append({**header, "body": body})


class LateTails(Tails):
    """The job writes just before its log is watched."""

    log: Path

    def follow(self, attempt: str, stream: str, path: str) -> bool:
        with self.log.open("ab") as log:
            log.write(b"late")
        return super().follow(attempt, stream, path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(str(tmp_path), "table", ATTEMPT)
    Path(place.folder).mkdir(parents=True)
    Path(place.file("out")).touch()
    return place


def pulled(place: Place, batch: bool) -> dict[str, Any]:
    """The answer to a pull of an empty log."""
    sent: Any = Sent()
    tails = LateTails(sent, select.poll())
    tails.log = Path(place.file("out"))
    watches: Any = SimpleNamespace(place=lambda request: place)
    home: Any = SimpleNamespace(batch=batch)
    Keeping(home, sent, watches, tails).pull({"attempt": ATTEMPT, "stream": "out", "offset": 0, "size": 100})
    (frame,) = sent.frames
    return frame


def test_what_is_written_before_the_log_is_watched_is_sent(place: Place) -> None:
    frame = pulled(place, batch=False)
    assert (frame["body"], frame["end"], frame["told"]) == (b"late", 4, False)


def test_log_of_a_batch_systems_job_is_not_watched_for_another_machine_writes_it(place: Place) -> None:
    frame = pulled(place, batch=True)
    assert (frame["body"], frame["told"]) == (b"", False)
