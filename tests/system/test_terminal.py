"""`burnish run` at a real terminal: its foot stands while lines go by, fits when that shrinks, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from support import wait_for
from support.editors import Terminal
from support.hosts import children

# Waits for the file `go`, job 2 for `end` as well; job 1 fails.
JOB = 'echo "warning: $1" >&2; while [ ! -e go ] || [ "$1$(ls end 2>&-)" = 2 ]; do sleep 0.05; done; [ "$1" != 1 ]'


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Terminal]:
    """A shell in a folder with a table of six jobs, of which the second fails."""
    (tmp_path / "job.sh").write_text(JOB)
    (tmp_path / "jobs.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(6)))
    environment = {**os.environ, "HOME": str(tmp_path)}
    create = [sys.executable, "-m", "burnish", "create", "--csv", "jobs.csv"]
    subprocess.run(create, cwd=tmp_path, env=environment, check=True, capture_output=True)
    made = Terminal(tmp_path / "tmux", ["env", "-C", str(tmp_path), "PS1=> ", "bash", "--norc", "--noprofile"])
    try:
        made.shows(">")
        yield made
    finally:
        (tmp_path / "go").touch()
        (tmp_path / "end").touch()
        made.end()


RUN = f"{sys.executable} -m burnish run --num_workers 2 --command 'sh job.sh {{n}}'"


def run(shell: Terminal) -> None:
    shell.type(f"clear; {RUN}; echo code $?", "Enter")
    shell.shows("0 of 6 done, 2 running, 4 waiting")


def test_foot_stands_below_what_is_said_and_goes_at_the_end(shell: Terminal, tmp_path: Path) -> None:
    run(shell)
    assert "localhost: 2 of 2 slots busy, 0 done" in shell.screen
    (tmp_path / "end").touch()
    (tmp_path / "go").touch()
    shell.shows("code 1\n>")
    lines = [line for line in shell.screen.splitlines() if line.strip() and not line.startswith("You are root")]
    assert lines[0].startswith("job 1 ERROR, exit 1") and lines[1].startswith("6 of 6 done, 1 ERROR, in")
    assert lines[2:] == ["code 1", ">"], shell.screen  # nothing of the foot is left


def test_failures_are_shown_with_their_last_line_at_forty_columns_too(shell: Terminal, tmp_path: Path) -> None:
    run(shell)
    shell.resize(40)
    shell.shows("0 of 6 done, 2 running, 4 waiting")
    (tmp_path / "go").touch()
    shell.shows("job 1 exit 1: warning: 1")
    shell.shows("5 of 6 done, 1 failed, 1 running")
    shell.type("C-c")
    shell.shows("code 130")


def test_no_foot_is_left_above_when_the_terminal_becomes_narrower(shell: Terminal, tmp_path: Path) -> None:
    run(shell)
    for columns in (30, 20, 60, 25, 120):
        shell.resize(columns)
        one = [(columns - 1) // 3]
        wait_for(partial(lambda one: bar_of(shell) == one, one), lambda: shell.screen)
        assert shell.screen.count(" waiting") <= 1, shell.screen
    shell.resize(30)
    (tmp_path / "go").touch()
    shell.shows("job 1 ERROR, exit 1")
    shell.resize(120)
    (tmp_path / "end").touch()
    shell.shows("code 1")
    assert "━" not in shell.screen and "╌" not in shell.screen and "slots busy" not in shell.screen, shell.screen


def bar_of(shell: Terminal) -> list[int]:
    """How long each bar is that the screen shows."""
    return [line.count("╌") + line.count("━") for line in shell.screen.splitlines() if "╌" in line or "━" in line]


def test_run_in_the_background_draws_nothing_over_what_is_in_front(shell: Terminal, tmp_path: Path) -> None:
    shell.type(f"clear; {RUN} &", "Enter")
    wait_for(lambda: (tmp_path / "burnish.db").read_text().count(",RUNNING,") == 2)
    shell.type("sleep 1; echo much la''ter", "Enter")
    shell.shows("much later")
    (tmp_path / "go").touch()
    shell.shows("job 1 ERROR, exit 1")
    assert bar_of(shell) == [], shell.screen
    shell.type("fg", "Enter")
    shell.shows("5 of 6 done, 1 failed, 1 running")
    shell.type("C-c")
    shell.shows("Stopped by SIGINT")
    assert bar_of(shell) == [], shell.screen
    assert "much later" in shell.screen and "job 1 ERROR, exit 1" in shell.screen


@pytest.mark.parametrize("narrower", [False, True])
def test_foot_stands_below_what_was_done_while_the_run_was_stopped(
    shell: Terminal, tmp_path: Path, narrower: bool
) -> None:
    run(shell)
    for word in ("this", "that"):
        shell.type("C-z", f"clear; echo and {word[0]}''{word[1:]}", "Enter")
        shell.shows(f"and {word}\n>")
        if narrower:
            shell.resize({"this": 70, "that": 50}[word])
        goes_on_below(f"and {word}", shell)
    (program,) = children(shell.pid)
    os.kill(program, signal.SIGSTOP)  # which no handler hears of
    shell.shows("Stopped")
    shell.type("bg", "Enter", "sleep 1; echo much la''ter", "Enter")
    shell.shows("much later\n>")
    goes_on_below("much later", shell)


def goes_on_below(last: str, shell: Terminal) -> None:
    """After `fg`, the foot stands below that and what was said before."""
    assert not shell.screen.rstrip().endswith("0 done")
    shell.type("fg", "Enter")
    wait_for(lambda: shell.screen.rstrip().endswith("0 done"), lambda: shell.screen)
    assert f"{last}\n> fg\n" in shell.screen, shell.screen
    echoed = shell.screen.partition("\n> fg\n")[2]  # by the shell, and maybe wrapped
    assert "".join(echoed.split()).startswith("".join(RUN.split())), shell.screen


def test_ctrl_z_in_a_terminal_without_a_shell_leaves_no_second_foot(shell: Terminal, tmp_path: Path) -> None:
    shell.type(f"clear; exec {RUN}", "Enter")
    shell.shows("0 of 6 done, 2 running, 4 waiting")
    # It is shown until the foot is drawn anew.
    wait_for(lambda: shell.type("C-z", "C-z") or "^Z" in shell.screen, lambda: shell.screen)
    (tmp_path / "go").touch()
    shell.shows("5 of 6 done, 1 failed, 1 running")
    assert len(bar_of(shell)) == 1, shell.screen


def test_foot_is_as_wide_as_its_terminal_though_stdout_is_a_pipe(shell: Terminal, tmp_path: Path) -> None:
    shell.resize(50)
    shell.type(f"clear; {RUN} | cat", "Enter")
    shell.shows("0 of 6 done, 2 running, 4 waiting")
    for columns in (30, 20):
        shell.resize(columns)
        wait_for(partial(lambda one: bar_of(shell) == one, [(columns - 1) // 3]), lambda: shell.screen)
    shell.type("C-c")
    shell.shows("Stopped by SIGINT")


def test_slots_of_a_second_run_are_its_own(shell: Terminal, tmp_path: Path) -> None:
    burnish = f"{sys.executable} -m burnish"
    shell.type(f"{burnish} run --detach --num_workers 3 --command 'sh job.sh {{n}}'", "Enter")
    wait_for(lambda: (tmp_path / "burnish.db").read_text().count(",RUNNING,") == 3)
    shell.type(f"clear; {burnish} run --num_workers 1 --command 'sh job.sh {{n}}'", "Enter")
    shell.shows("0 of 6 done, 4 running, 2 waiting")
    shell.shows("localhost: 1 of 1 slot busy, 0 done")
    shell.type("C-c")
    shell.shows("Stopped by SIGINT")


def test_whoever_waits_sees_how_far_it_is_and_keeps_two_lines(shell: Terminal, tmp_path: Path) -> None:
    burnish = f"{sys.executable} -m burnish"
    started = f"{burnish} run --detach --num_workers 2 --command 'sh job.sh {{n}}' 2>said"
    shell.type(f"clear; {started}; {burnish} wait; echo code $?", "Enter")
    shell.shows("0 of 6 done, 2 running, 4 waiting")
    (tmp_path / "end").touch()
    (tmp_path / "go").touch()
    shell.shows("code 1\n>")
    lines = [line for line in shell.screen.splitlines() if line.strip()]
    assert lines[0].startswith("Waiting for 6 jobs: ") and lines[1].startswith("6 of 6 done, 1 ERROR, in")
    assert lines[2:] == ["code 1", ">"], shell.screen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_terminal_is_as_it_was_however_the_run_ends(shell: Terminal, tmp_path: Path, number: signal.Signals) -> None:
    run(shell)
    (coordinator,) = (tmp_path / ".burnish" / "burnish.db" / "coordinators").iterdir()
    os.kill(int(coordinator.name.rsplit("-", 2)[-2]), number)
    shell.shows(f"code {137 if number is signal.SIGKILL else 130}")
    assert shell.cursor_is_shown
    shell.type("echo still he''re", "Enter")
    shell.shows("still here")
    (tmp_path / "go").touch()
    wait_for(lambda: shell.screen.count("still here") == 1, lambda: shell.screen)


def test_what_runs_is_seen_at_the_end_of_a_table_that_is_longer_than_the_terminal(
    shell: Terminal, tmp_path: Path
) -> None:
    burnish = f"{sys.executable} -m burnish"
    (tmp_path / "more.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(6, 36)))
    shell.type(f"clear; {burnish} create --csv more.csv --append; {burnish} hold --job_id 0-33", "Enter")
    shell.shows("on HOLD")
    run = f"{burnish} run -q --num_workers 1 --command 'sh job.sh {{n}}'"  # what it says would stand in what is watched
    shell.type(f"clear; {run} & {burnish} status --watch", "Enter")
    shell.shows("34  RUNNING")
    shell.shows("Not shown: ")
    shell.type("C-c")


WATCH = f"{sys.executable} -m burnish status --watch"


def echoes(shell: Terminal) -> None:
    """What is typed is shown, and is a line of a shell's again."""
    shell.type("stty -a | tr ' ' '\\n' | grep -x -e -echo -e echo -e -icanon -e icanon | xargs echo now", "Enter")
    shell.shows("now icanon echo")
    assert "xargs echo now" in shell.screen


@pytest.mark.parametrize(("key", "code"), [("q", 0), ("C-c", 130)])
def test_watching_ends_with_a_key_and_the_terminal_is_as_it_was(shell: Terminal, key: str, code: int) -> None:
    shell.type(f"clear; {WATCH}; echo code $?", "Enter")
    wait_for(lambda: not shell.cursor_is_shown)
    shell.type("x")  # is not shown, and means nothing
    shell.shows("6 jobs: 6 NOT_RUNNING")
    shell.type(key)
    shell.shows(f"code {code}")
    assert "x\n" not in shell.screen and shell.cursor_is_shown
    echoes(shell)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_terminal_of_a_watch_that_is_ended_echoes_again(shell: Terminal, number: signal.Signals) -> None:
    shell.type(f"clear; {WATCH}; echo code $?", "Enter")
    wait_for(lambda: not shell.cursor_is_shown)
    shell.shows("6 jobs: 6 NOT_RUNNING")
    (program,) = children(shell.pid)
    os.kill(program, number)
    shell.shows(f"code {137 if number is signal.SIGKILL else 130}")
    echoes(shell)


def test_q_is_heard_after_a_stop_and_a_watch_in_the_background_hears_nothing(shell: Terminal) -> None:
    shell.type(f"clear; {WATCH}", "Enter")
    wait_for(lambda: not shell.cursor_is_shown)
    shell.type("C-z")
    shell.shows("Stopped")
    echoes(shell)
    shell.type("bg", "Enter", "jobs", "Enter")
    shell.shows("Running")
    shell.type("q", "C-u", "clear", "Enter", "fg", "Enter")
    shell.shows("6 jobs: 6 NOT_RUNNING")
    shell.type("q")
    wait_for(lambda: shell.cursor_is_shown, lambda: shell.screen)
    echoes(shell)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (("status", "--watch"), b"NOT_RUNNING"),
        (("run", "--num_workers", "1", "--command", "sh job.sh {n}"), b"waiting"),
    ],
)
def test_a_terminal_that_is_closed_is_no_defect(
    shell: Terminal, tmp_path: Path, command: tuple[str, ...], shown: bytes
) -> None:
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")}
    # Without a group of its own `setsid` becomes the command, and does not fork.
    burnish = ["setsid", "--ctty", sys.executable, "-m", "burnish", *command]
    with subprocess.Popen(
        burnish, cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as running:
        screen = bytearray()

        def shows() -> bool:
            with contextlib.suppress(BlockingIOError):
                screen.extend(os.read(ours, 4096))
            return shown in screen

        try:
            wait_for(shows, lambda: bytes(screen))
        finally:
            os.close(theirs)
            os.close(ours)  # SIGHUP, and whatever is printed from now on is an I/O error
        assert running.wait(60) == 130
    assert list((tmp_path / "tmp").iterdir()) == []  # where a defect leaves its report
