"""A person saves while burnish rewrites the table, over and over: every save is either in the table or in what was displaced.

A second process saves in place (open, truncate, write), as nano and VS Code do, or by rename, as vim does, at a random moment
of burnish's `replace`. Each save has a text of its own.

BURNISH_TEST_RACES=SAVES,SEED (`make wars`) makes it longer.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from burnish.core.table import Table, parse
from burnish.store import table_file
from burnish.store.table_file import TableFile
from burnish.store.version import Seen

ASKED = os.environ.get("BURNISH_TEST_RACES")
ROUNDS, SEED = map(int, ASKED.split(",")) if ASKED else (300, time.time_ns() % 1_000_000)

EDITOR = """
import os, sys, time
path, how = sys.argv[1:]
for line in sys.stdin:
    delay, text = line.rstrip("\\n").split(" ", 1)
    end = time.perf_counter() + float(delay)
    while time.perf_counter() < end:
        pass
    data = text.replace("|", "\\n").encode()
    target = path if how == "truncate" else path + ".new"
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(fd, data)
    os.close(fd)
    if how == "rename":
        os.rename(target, path)
    print("saved", flush=True)
"""


class Clock:
    """Seconds that pass when we say so, so that nothing has to be waited for."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def look(file: TableFile, clock: Clock) -> Seen | None:
    return file.look(clock()) or file.look(clock())


def displaced(file: TableFile, clock: Clock) -> list[Table]:
    found = [file.displaced(clock()) for _ in range(3)]
    return [table for table in found if table is not None]


@pytest.mark.parametrize(
    ("how", "swap"),
    # Not the fourth: where the file system cannot exchange (NFS), a rename in the last instant before ours buries a save.
    [("truncate", "exchange"), ("rename", "exchange"), ("truncate", "link and rename")],
)
def test_no_save_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, swap: str) -> None:
    if swap != "exchange":
        monkeypatch.setattr(table_file, "exchange", lambda one, other: False)
    db, own, clock = tmp_path / "burnish.db", tmp_path / "own", Clock()
    own.mkdir()
    db.write_text("JOB_ID,STATE,x\n0,HOLD,start\n")
    file = TableFile(db, own, "burnish.db", clock)
    dice, took, swapped = random.Random(SEED), 0.002, 0
    editor = subprocess.Popen(
        [sys.executable, "-c", EDITOR, str(db), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert editor.stdin is not None and editor.stdout is not None
    try:
        for number in range(ROUNDS):
            seen = look(file, clock) or file.seen
            assert seen is not None
            edit = f"e{number}"
            editor.stdin.write(f"{dice.uniform(0, 1.2 * took):.6f} JOB_ID,STATE,x|0,HOLD,{edit}|\n")
            editor.stdin.flush()
            start = time.perf_counter()
            ours = file.replace(parse(f"JOB_ID,STATE,x\n0,RUNNING,r{number}\n".encode()), seen)
            took += (time.perf_counter() - start - took) / 10
            swapped += ours is not None
            assert editor.stdout.readline() == "saved\n"
            there = look(file, clock)
            texts = [*([there.table] if there is not None else []), *displaced(file, clock)]
            assert edit in [table.rows[0].cells[0] for table in texts], f"seed {SEED}: round {number}: {edit} is lost"
    finally:
        editor.stdin.close()
        editor.wait(60)
    assert 0 < swapped < ROUNDS, f"seed {SEED}: {swapped} of {ROUNDS} replaced: the two never met"
    print(f"seed {SEED}: {ROUNDS} saves, of which {ROUNDS - swapped} came before the table was replaced")
