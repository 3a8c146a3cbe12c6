"""An editor war: vim in both its ways, nano, sed, cp and a script that truncates, each with a buffer of its own, while jobs run.

Each save types a new text into the cell of one job, often in a buffer that is seconds old, while jobs end at about five a second
and `burnish status` looks again and again. People save one after the other: a save that somebody saves over before
burnish could see it is nobody's to keep. The cell is no argument of the command, so that a row reads as it was typed last.

BURNISH_TEST_WAR=SAVES,SEED (`make wars`) lets a longer one come. The seed says who saves, which row, and after how long; real
processes do not repeat themselves to the instant: try it several times.
"""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Protocol

import pytest

from burnish.core.jobs import CoordinatorId, JobId
from burnish.store.journal import Journal
from burnish.store.paths import Paths
from tests.support.editors import Nano, Vim
from tests.support.sweeps import ENDS, Sweep
from tests.support.waiting import wait_for

ASKED = os.environ.get("BURNISH_TEST_WAR")
SAVES, SEED = map(int, ASKED.split(",")) if ASKED else (30, 0)
OLDEST = 10.0 if ASKED else 3.0  # s that a buffer may be old when it is edited
LONGEST_EMPTY = 3.0  # s that a script leaves the file empty: after two, burnish writes the table again
JOBS = 20 * SAVES  # more than end meanwhile
WORK = 0.3  # s that a job takes: with two workers some five end in a second
FATES = ("ok", "ok", "ok", "fail")

TRUNCATE = """
import sys, time
path, wait = sys.argv[1], float(sys.argv[2])
with open(path, "w", newline="") as file:
    time.sleep(wait)
    file.write(sys.stdin.read())
"""


class Person(Protocol):
    """Somebody with a way of their own to edit the table."""

    def open(self) -> None:
        """Read the table as it is."""

    def save(self, job: int, text: str) -> None:
        """Type `text` into the last cell of a job, in what was read, and save that."""

    def close(self) -> None:
        """Forget what was read."""


class AtAnEditor:
    """vim or nano: the buffer stays after a save, and may be saved again."""

    def __init__(self, path: Path, socket: Path, kind: type[Vim] | type[Nano], *how: str) -> None:
        self._path, self._socket, self._kind, self._how = path, socket, kind, how
        self._editor: Vim | Nano | None = None

    def open(self) -> None:
        self._editor = self._editor or self._kind(self._path, self._socket, *self._how)

    def save(self, job: int, text: str) -> None:
        assert self._editor is not None
        self._editor.retype(job, text)
        self._editor.save()

    def close(self) -> None:
        if self._editor is not None:
            self._editor.end()
        self._editor = None


def sed(job: int, text: str) -> list[str]:
    return ["sed", "-i", "-e", f"s/^\\({job},.*,\\)[^,]*$/\\1{text}/"]


class WithSed:
    """`sed -i`: reads it and renames another over it, in one go."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> None:
        pass

    def save(self, job: int, text: str) -> None:
        subprocess.run([*sed(job, text), str(self._path)], check=True)

    def close(self) -> None:
        pass


class WithACopy:
    """`cp` there, an edit of the copy, and `cp` back."""

    def __init__(self, path: Path) -> None:
        self._path, self._copy = path, path.with_suffix(".copy")

    def open(self) -> None:
        subprocess.run(["cp", str(self._path), str(self._copy)], check=True)

    def save(self, job: int, text: str) -> None:
        subprocess.run([*sed(job, text), str(self._copy)], check=True)
        self._put()

    def _put(self) -> None:
        subprocess.run(["cp", str(self._copy), str(self._path)], check=True)

    def close(self) -> None:
        pass


class WithAScript(WithACopy):
    """A program that opens the table to write it, and takes its time before it does: the file is empty meanwhile."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._copy, self._dice = path.with_suffix(".read"), Random(SEED)

    def _put(self) -> None:
        wait = str(self._dice.uniform(0.0, LONGEST_EMPTY))
        text = self._copy.read_bytes()
        subprocess.run([sys.executable, "-c", TRUNCATE, str(self._path), wait], input=text, check=True)


class War:
    """A run, and people who edit its table. `typed` is the newest text that each job's cell was given."""

    def __init__(self, sweep: Sweep, people: dict[str, Person]) -> None:
        self._sweep, self._people = sweep, people
        self._dice = {name: Random(f"{SEED} {name}") for name in people}  # who is next is not the seed's to say
        root = Paths.of(str(sweep.folder / "burnish.db"), "").root
        self._table = Journal(root, "burnish.db", CoordinatorId("reader"), time.time)
        self._table.open()
        self._due = dict.fromkeys(people, 0.0)  # when each does something
        self._opened: dict[str, float] = {}
        self._began = time.monotonic()
        self.typed: dict[int, str] = {}
        self.saved: Counter[str] = Counter()
        self.story: list[str] = []

    def wage(self, saves: int) -> None:
        while sum(self.saved.values()) < saves:
            name = min(self._due, key=self._due.__getitem__)
            wait_for(lambda name=name: time.monotonic() >= self._due[name], deadline=2 * OLDEST)
            if name not in self._opened:
                self._people[name].open()
                self._opened[name] = time.monotonic()
            else:
                self._save(name)
            self._due[name] = time.monotonic() + self._dice[name].uniform(0.0, OLDEST)

    def _save(self, name: str) -> None:
        """Somebody edits a job's cell and saves; burnish has it before the next one saves."""
        dice, text = self._dice[name], f"e{sum(self.saved.values())}"
        job = dice.randrange(JOBS // 3)  # so many end, or more
        if dice.random() < 0.2 and self.typed:
            job = dice.choice(list(self.typed))  # where somebody typed before
        old = time.monotonic() - self._opened[name]
        self.story.append(f"{time.monotonic() - self._began:6.1f} s: {name}, after {old:.1f} s: {text} into job {job}")
        self._people[name].save(job, text)
        wait_for(lambda: self.cell(job) == text, lambda: f"job {job} has {self.cell(job)} and not {text}")
        self.typed[job] = text
        self.saved[name] += 1
        if dice.random() < 0.5 or old > OLDEST:  # else what was read is edited and saved once more
            self._people[name].close()
            del self._opened[name]

    def cell(self, job: int) -> str:
        """What the journal has."""
        self._table.catch_up()
        return self._table.state.jobs[JobId(job)].cells[-1]

    def check(self) -> dict[str, int]:
        """Hold the end against what was typed and what the jobs wrote down; how many jobs are in which state."""
        [head, *rows] = csv.reader(
            io.StringIO((self._sweep.folder / "burnish.db").read_text(), newline=""), strict=True
        )
        assert head == ["JOB_ID", "STATE", "fate", "work", "note"]
        assert [row[0] for row in rows] == [str(number) for number in range(JOBS)]
        status = self._sweep.status()
        for number, row in enumerate(rows):
            job, lines, ends = status[number], self._sweep.ledger(number), ENDS[FATES[number % len(FATES)]]
            assert row[1:] == [
                job["state"],
                FATES[number % len(FATES)],
                str(WORK),
                self.typed.get(number, f"n{number}"),
            ]
            assert self.cell(number) == row[-1]
            attempt = (job["attempt"] or "").rpartition(".")[
                2
            ]  # not 1 where an edit came between a claim and its start
            once = [f"{attempt} start", f"{attempt} end"]
            assert lines == once or (lines == [] and job["state"] == "HOLD"), (job, lines)
            assert job["state"] == "HOLD" or job["reason"].startswith(ends), job
        return Counter(job["state"] for job in status.values())


class Onlooker:
    """`burnish status` again and again, in a thread. `seen` counts the answers."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._over = threading.Event()
        self._ended: dict[int, str] = {}
        self._thread = threading.Thread(target=self._look)
        self.wrong: list[str] = []
        self.seen = 0

    def __enter__(self) -> Onlooker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            done = self._sweep.burnish("status", "--json", check=False)
            if done.returncode != 0 or "Traceback" in done.stderr:
                self.wrong.append(f"status ended with {done.returncode}\n{done.stderr}")
                continue
            words = {job["id"]: job["state"] for job in json.loads(done.stdout)["jobs"]}
            if len(words) != JOBS:
                self.wrong.append(f"{len(words)} jobs\n{done.stderr}")
            gone = {job for job, word in self._ended.items() if words.get(job) != word}
            if gone:
                self.wrong.append(f"results of {gone} were undone\n{done.stderr}")
            self._ended = {job: word for job, word in words.items() if word in ("COMPLETE", "ERROR")}
            self.seen += 1


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    rows = [f"{FATES[job % len(FATES)]},{WORK},n{job}" for job in range(JOBS)]
    made = Sweep.from_csv(tmp_path, ["fate,work,note", *rows])
    yield made
    made.stop()


@contextmanager
def told(sweep: Sweep, story: list[str]) -> Iterator[None]:
    """What goes wrong within is told with the war's command and story."""
    try:
        yield
    except (AssertionError, subprocess.SubprocessError) as error:
        said = sweep.said(sweep.running[0])
        lines = "\n".join(story)
        raise AssertionError(f"{error}\n\nmake wars SAVES={SAVES} FIRST={SEED}\n{lines}\n{said}") from error


def test_every_edit_of_a_war_is_there_and_nothing_ran_twice(sweep: Sweep) -> None:
    path = sweep.folder / "burnish.db"
    people: dict[str, Person] = {
        "vim": AtAnEditor(path, sweep.folder / "vim", Vim, "backupskip="),
        "vim in place": AtAnEditor(path, sweep.folder / "vim-in-place", Vim, "backupcopy=yes"),
        "nano": AtAnEditor(path, sweep.folder / "nano", Nano),
        "sed -i": WithSed(path),
        "cp": WithACopy(path),
        "script": WithAScript(path),
    }
    run = sweep.start("--num_workers", "2")
    war = War(sweep, people)
    with told(sweep, war.story), ExitStack() as leaving:
        for person in people.values():
            leaving.callback(person.close)
        began = time.monotonic()
        with Onlooker(sweep) as onlooker:
            war.wage(SAVES)
        took = time.monotonic() - began
        assert onlooker.wrong == []
        waiting = [str(job) for job, shown in sweep.status().items() if shown["state"] == "NOT_RUNNING"]
        assert waiting, "the jobs were over before the war"
        sweep.burnish("hold", "--job_id", ",".join(waiting), check=False)  # some run by now
        assert run.wait(60) == 1  # some jobs fail
        states = war.check()
        assert "Traceback" not in sweep.said(run)
    ended = states["COMPLETE"] + states["ERROR"]
    print(f"war {SEED}: {dict(war.saved)} in {took:.0f} s; {ended} jobs ended; {onlooker.seen} looks")
