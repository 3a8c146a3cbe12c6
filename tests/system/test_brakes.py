"""A sweep that goes wrong is halted, in every run of the table, and goes on when somebody starts a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import wait_for

# Fails if the file `bad` is there, when it ends; job 0 ends when `go` is there, the others after 0.2 s.
JOB = """\
if [ "$1" = 0 ]; then while [ ! -e go ]; do sleep 0.05; done; else sleep 0.2; fi
[ ! -e bad ]
"""


class Table:
    """Twelve such jobs in a folder, and the runs that were started on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: list[subprocess.Popen[str]] = []
        (folder / "job.sh").write_text(JOB)
        (folder / "jobs.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(12)))
        assert self.start("create", "--csv", "jobs.csv").wait(timeout=60) == 0

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "burnish", *arguments]
        with (self.folder / "said").open("a") as said:
            run = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self.runs.append(run)
        return run

    def run(self, *options: str) -> subprocess.Popen[str]:
        return self.start("run", "--command", "sh job.sh {n}", *options)

    def asked(self, *arguments: str) -> str:
        return self.start(*arguments).communicate(timeout=60)[0]

    @property
    def states(self) -> Counter[str]:
        return Counter(job["state"] for job in json.loads(self.asked("status", "--json"))["jobs"])

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    made = Table(tmp_path)
    yield made
    (tmp_path / "go").touch()
    for run in made.runs:
        if run.poll() is None:
            run.kill()
            run.wait()


@pytest.mark.parametrize(("most", "failed"), [("1", 1), ("3", 3), ("25%", 3)])
def test_too_many_failures_halt_the_sweep_until_the_next_run(table: Table, most: str, failed: int) -> None:
    (table.folder / "go").touch()
    (table.folder / "bad").touch()
    assert table.run("--max_fails", most).wait(timeout=60) == 1
    assert (table.states["ERROR"], table.states["NOT_RUNNING"]) == (failed, 12 - failed)
    counted = "1 job" if failed == 1 else f"{failed} jobs"
    assert f"Nothing more is started: {counted} of 12 failed (--max_fails {most})." in table.said
    assert f"Halted: {counted} of 12 failed" in table.asked("status")
    assert f"Nothing is started since {counted} of 12 failed" in table.asked("explain", "11")
    (table.folder / "bad").unlink()
    assert table.run("--num_workers", "4").wait(timeout=60) == 0
    assert table.states["NOT_RUNNING"] == 0 and "Halted" not in table.asked("status")


def test_halt_holds_in_the_other_runs_too(table: Table) -> None:
    (table.folder / "bad").touch()
    other = table.run("--num_workers", "1")  # job 0 keeps it
    wait_for(lambda: table.states["RUNNING"] == 1, lambda: table.said)
    assert table.run("--max_fails", "2").wait(timeout=60) == 1
    wait_for(lambda: "next after" not in table.asked("status", "--json"), lambda: table.said)  # it was called back
    (table.folder / "bad").unlink()
    (table.folder / "go").touch()
    assert other.wait(timeout=60) == 1
    assert table.states["COMPLETE"] == 1 and table.states["NOT_RUNNING"] >= 8


def test_rest_waits_for_the_canary(table: Table) -> None:
    run = table.run("--canary", "--num_workers", "4")
    wait_for(lambda: table.states["RUNNING"] == 1, lambda: table.said)
    assert table.states == {"RUNNING": 1, "NOT_RUNNING": 11}
    (table.folder / "go").touch()
    assert run.wait(timeout=60) == 0 and table.states == {"COMPLETE": 12}


def test_canary_that_fails_is_the_only_one(table: Table) -> None:
    (table.folder / "go").touch()
    (table.folder / "bad").touch()
    assert table.run("--canary", "--num_workers", "4").wait(timeout=60) == 1
    assert table.states == {"ERROR": 1, "NOT_RUNNING": 11}
    assert "Nothing more is started: the canary, job 0, failed (exit 1)." in table.said


def test_canary_that_lives_as_long_as_asked_lets_the_rest_start(table: Table) -> None:
    run = table.run("--canary", "1s", "--num_workers", "4")
    wait_for(lambda: table.states["COMPLETE"] == 11, lambda: table.said)
    assert table.states["RUNNING"] == 1, "it lives on"
    (table.folder / "go").touch()
    assert run.wait(timeout=60) == 0


HOSTS = """\
hosts:
  one: {connection: local, state_dir: one, slots: 4, gpus: none}
  two: {connection: local, state_dir: two, slots: 4, gpus: none}
"""


def test_each_host_waits_for_a_canary_of_its_own(table: Table) -> None:
    (table.folder / "hosts.yaml").write_text(HOSTS.replace("_dir: ", f"_dir: {table.folder}/"))
    run = table.run("--canary", "hosts", "--hosts", "hosts.yaml")
    wait_for(lambda: table.states["COMPLETE"] == 11, lambda: table.said)
    hosts = [job["host"] for job in json.loads(table.asked("status", "--json"))["jobs"]]
    assert hosts.count(hosts[0]) == 1, "job 0 lives: its host has had nothing else"
    (table.folder / "go").touch()
    assert run.wait(timeout=60) == 0


def test_canary_of_one_host_that_fails_halts_all(table: Table) -> None:
    (table.folder / "bad").touch()
    (table.folder / "hosts.yaml").write_text(HOSTS.replace("_dir: ", f"_dir: {table.folder}/"))
    run = table.run("--canary", "hosts", "--hosts", "hosts.yaml")
    wait_for(lambda: "Nothing more is started: the canary, job 1 on " in table.said, lambda: table.said)
    # The other host's may have been claimed, and be on its way.
    wait_for(lambda: table.states == {"RUNNING": 1, "ERROR": 1, "NOT_RUNNING": 10}, lambda: table.states)
    (table.folder / "go").touch()
    assert run.wait(timeout=60) == 1


@pytest.mark.parametrize(("typed", "waits"), [("1", True), ("true", True), ("0", False), ("", False)])
def test_canary_in_the_environment_is_asked_for_as_a_flag_is(table: Table, typed: str, waits: bool) -> None:
    (table.folder / "go").touch()
    (table.folder / "bad").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURNISH_RUN_CANARY", typed)
        assert table.run().wait(timeout=60) == 1
    assert (table.states["ERROR"] == 1) is waits


def test_canary_that_cannot_be_read_starts_nothing(table: Table) -> None:
    assert table.run("--canary", "soon").wait(timeout=60) == 2
    assert 'error: --canary "soon": expected nothing, a duration such as 30m, hosts' in table.said
    assert table.states == {"NOT_RUNNING": 12}
