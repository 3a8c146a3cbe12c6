"""A table kept by several processes at once, and people who save it this way and that."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .piped import Piped
from .waiting import wait_for

TEXT = "JOB_ID,STATE,--lr,--note\n" + "".join(f"{job},NOT_RUNNING,0.{job},as typed\n" for job in range(6))


class KeptTable:
    """`path` is the table; `turn` lets each process take one turn and gives what they report, in order."""

    def __init__(self, path: Path, processes: int) -> None:
        self.path = path
        self._keepers: list[Piped] = []
        self.said: list[list[str]] = []
        for _ in range(processes):
            self._keepers.append(Piped("projection_process.py", str(path)))
            self.said.append(json.loads(self._keepers[-1].hear())["said"])

    def ask(self, keeper: int, line: str) -> dict[str, Any]:
        """What one process reports after a verb of projection_process."""
        answer: dict[str, Any] = json.loads(self._keepers[keeper].ask(line))
        self.said[keeper] += answer.get("said", [])
        return answer

    def turn(self) -> list[dict[str, Any]]:
        return [self.ask(number, "turn") for number in range(len(self._keepers))]

    def until(self, holds: Callable[[list[dict[str, Any]]], object], deadline: float = 20.0) -> list[dict[str, Any]]:
        """Take turns until it holds for what all of them report."""
        last: list[dict[str, Any]] = []

        def looked() -> bool:
            nonlocal last
            last = self.turn()
            return bool(holds(last))

        wait_for(looked, lambda: f"{last}\n{self.said}\n{self.text}", deadline)
        return last

    def until_text(self, *fragments: str) -> None:
        """Take turns until the table holds all of these."""
        self.until(lambda _: all(fragment in self.text for fragment in fragments))

    def at_rest(self) -> list[dict[str, Any]]:
        """Take turns until nobody commits any more and everybody knows the same: then it must stay so."""

        def quiet(reports: list[dict[str, Any]]) -> bool:
            nonlocal since, before
            if reports != before:
                since, before = time.monotonic(), reports
            return time.monotonic() - since > 1.0 and all(r["jobs"] == reports[0]["jobs"] for r in reports)

        since, before = time.monotonic(), []
        return self.until(quiet)

    @property
    def text(self) -> str:
        try:
            return self.path.read_text()
        except FileNotFoundError:
            return ""

    def row(self, job: int) -> str:
        """The line of a job, "" if there is none."""
        return next((line for line in self.text.splitlines() if line.startswith(f"{job},")), "")

    def end(self) -> None:
        for keeper in self._keepers:
            keeper.end()


@contextmanager
def kept_table(folder: Path, processes: int = 2, text: str = TEXT) -> Iterator[KeptTable]:
    """A table in `folder` with so many processes that keep it; they are gone afterwards."""
    path = folder / "burnish.db"
    path.write_text(text)
    table = KeptTable(path, processes)
    try:
        yield table
    finally:
        table.end()


def truncating(path: Path, text: str) -> None:
    """As nano, VS Code and `cp` save: the same inode, for a moment empty."""
    with path.open("r+") as file:
        file.truncate(0)
        file.flush()
        file.write(text[: len(text) // 2])
        file.flush()
        file.write(text[len(text) // 2 :])


def renaming(path: Path, text: str) -> None:
    """As vim and `sed -i` save: another inode, under the same name at once."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.rename(new, path)


def away_and_back(path: Path, text: str) -> None:
    """As vim saves with a backup: the name is gone for a moment."""
    os.rename(path, f"{path}~")
    path.write_text(text)
    os.unlink(f"{path}~")


SAVES = (truncating, renaming, away_and_back)
