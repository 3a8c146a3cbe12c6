"""The command of `--on_event`: what it is told, and that no way it may fail touches the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import tables, wait_for

from burnish.core.occasions import Occasion
from burnish.hook import Hook
from tests.support.proc import alive

STATE = tables.opened(("--lr",), [("1",)])
CALL = Occasion("job_failed", "Job 0 is ERROR: exit 1.")


def hook(folder: Path, command: str, said: list[str], limit: float = 30.0) -> Hook:
    return Hook(command, folder / "on_event.log", folder / "burnish.db", said.append, limit=limit)


def test_a_command_that_hangs_is_ended_with_what_it_started_and_the_next_is_called(tmp_path: Path) -> None:
    said: list[str] = []
    first = "trap '' TERM; sleep 999 & echo $! $$ > pids; wait"
    command = f"cd {tmp_path}; if [ -e pids ]; then echo $BURNISH_EVENT > second; else {first}; fi"
    under_test = hook(tmp_path, command, said, limit=5.0)
    began = time.monotonic()
    under_test.call(CALL, STATE)
    under_test.call(CALL, STATE)
    assert time.monotonic() - began < 4, "whoever calls waits for nothing"
    wait_for(lambda: (tmp_path / "second").exists() and (tmp_path / "second").read_text() == "job_failed\n", said.copy)
    under_test.close()
    pids = [int(word) for word in (tmp_path / "pids").read_text().split()]
    wait_for(lambda: not any(map(alive, pids)), lambda: pids)
    assert said == [
        f"--on_event had to be ended after 5 s (job_failed). The run goes on. What it wrote: {tmp_path}/on_event.log"
    ]


def test_calls_come_one_at_a_time_in_order_and_each_is_reaped(tmp_path: Path) -> None:
    said: list[str] = []
    under_test = hook(tmp_path, f"mkdir {tmp_path}/one && echo $BURNISH_EVENT $$ && rmdir {tmp_path}/one", said)
    for number in range(8):
        under_test.call(Occasion(f"e{number}", ""), STATE)
    under_test.close()
    calls = [line.split() for line in (tmp_path / "on_event.log").read_text().splitlines()]
    assert [name for name, _ in calls] == [f"e{number}" for number in range(8)] and not said
    assert not any(Path(f"/proc/{pid}").exists() for _, pid in calls)


def test_calls_that_are_left_at_the_end_are_counted_not_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    under_test = hook(tmp_path, f"touch {tmp_path}/begun; exec sleep 999", said)
    for _ in range(4):
        under_test.call(CALL, STATE)
    wait_for((tmp_path / "begun").exists)
    under_test.close(patience=0.5)
    assert said[-1] == "--on_event: 3 calls were not made, since earlier ones took too long."
    assert said[0].startswith("--on_event had to be ended with the run (job_failed).")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "burnish.db").write_text("JOB_ID,STATE,n\n0,,0\n1,,1\n2,,0\n")
    return tmp_path


def run(folder: Path, command: str, job: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "burnish", "run", "--command", job, "--on_event", command, *options],
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_calls_for_failures_and_its_end_with_counts(table: Path) -> None:
    line = "$BURNISH_EVENT $BURNISH_EVENT_JOB_ID $BURNISH_ERROR $BURNISH_COMPLETE $BURNISH_JOBS $BURNISH_DB"
    job = "sh -c 'until [ $BURNISH_JOB_ID != 2 -o -e events ]; do sleep 0.05; done; exit {n}'"
    done = run(table, f'echo "{line}" >> events; echo wrote; exit 3', job)
    _, said = done.communicate(timeout=60)
    database = table / "burnish.db"
    assert done.returncode == 1
    assert (table / "events").read_text().splitlines() == [
        f"first_failure 1 1 1 3 {database}",
        f"job_failed 1 1 1 3 {database}",
        f"sweep_done  1 2 3 {database}",
    ]
    assert said.count("--on_event ended with exit code 3 (first_failure). The run goes on.") == 1
    log = table / "burnish_log" / "burnish" / "on_event.log"
    assert log.read_text() == "wrote\n" * 3
    subprocess.run([sys.executable, "-m", "burnish", "clean", "--yes"], cwd=table, check=True, capture_output=True)
    assert not log.exists()


def test_a_run_calls_for_a_drained_host_and_a_halted_sweep(table: Path) -> None:
    note = 'echo "$BURNISH_EVENT $BURNISH_EVENT_HOST|$BURNISH_EVENT_REASON|$BURNISH_EVENT_TEXT" >> events'
    job = "sh -c 'touch up; until [ -e go ]; do sleep 0.05; done; exit 7'"
    started = run(table, note, job, "--max_fails", "1")
    events = table / "events"
    try:
        wait_for((table / "up").exists)
        drain = [sys.executable, "-m", "burnish", "drain", "localhost", "--reason", "fan is broken"]
        subprocess.run(drain, cwd=table, check=True, capture_output=True)
        wait_for(events.exists)
        (table / "go").touch()
        _, said = started.communicate(timeout=60)
    finally:
        started.kill()
        started.wait()
    why = "1 job of 3 failed (--max_fails 1)"
    assert events.read_text().splitlines() == [
        "host_drained localhost|fan is broken|localhost takes no new jobs: fan is broken.",
        "first_failure localhost|exit 7|Job 0 is ERROR: exit 7.",
        "job_failed localhost|exit 7|Job 0 is ERROR: exit 7.",
        f"sweep_halted |{why}|Nothing more is started: {why}.",
        f"run_stopped |{why}|The run was stopped ({why}).",
    ], said


def test_ctrl_c_waits_for_no_command_that_hangs(table: Path) -> None:
    started = run(table, "echo $$ > hook; exec sleep 999", "sh -c 'exit {n}'", "--job_id", "1")
    try:
        wait_for(lambda: (table / "hook").exists() and (table / "hook").read_text().endswith("\n"))
        assert started.stderr is not None
        while "Waiting for --on_event" not in (line := started.stderr.readline()):
            assert line, "the run ended without waiting"
        os.kill(started.pid, signal.SIGINT)
        assert started.wait(30) == 1  # not the minute that it waits for calls
        assert not alive(int((table / "hook").read_text()))
    finally:
        started.kill()
        started.communicate()
