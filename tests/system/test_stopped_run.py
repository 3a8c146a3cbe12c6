"""A run is stopped from its terminal or by a signal: it ends in order, its jobs live on, and the next run takes them back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from support.gated import Gated
from support.waiting import wait_for

JOBS = 4
RUN = ("run", "--num_workers", "2", "--command", "python3 job.py")
# The child makes its standard input the terminal of a session of its own, as a terminal window does.
IN_TERMINAL = (
    "import os, sys, fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A terminal window in which a run of two jobs goes on."""

    def __init__(self, table: Gated) -> None:
        self.screen, inside = os.openpty()
        self.run = subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, sys.executable, "-m", "burnish", *RUN],
            cwd=table.folder,
            env={**table.environment, "TERM": "xterm"},
            stdin=inside,
            stdout=inside,
            stderr=inside,
            start_new_session=True,
        )
        os.close(inside)
        table.wait_running(2)

    def type(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def shown(self) -> str:
        """All that was shown, to the end."""
        text = b""
        try:
            while piece := os.read(self.screen, 4096):
                text += piece
        except OSError:
            pass  # nobody has the terminal open any more
        return text.decode(errors="replace")  # the echoed ^C may stand within a character

    def close(self) -> None:
        if self.screen >= 0:
            os.close(self.screen)
            self.screen = -1

    def end(self) -> None:
        self.run.kill()
        self.run.wait()
        self.close()


@pytest.fixture
def table() -> Iterator[Gated]:
    made = Gated.of(None, JOBS)
    yield made
    made.stop()


@pytest.fixture
def terminal(table: Gated) -> Iterator[Terminal]:
    made = Terminal(table)
    yield made
    made.end()


WAYS: dict[str, tuple[str, Callable[[Terminal], None]]] = {
    "Ctrl-C": ("SIGINT", lambda terminal: terminal.type(b"\x03")),
    "Ctrl-C twice": ("SIGINT", lambda terminal: terminal.type(b"\x03\x03")),
    "TERM": ("SIGTERM", lambda terminal: os.kill(terminal.run.pid, signal.SIGTERM)),
    "HUP": ("SIGHUP", lambda terminal: os.kill(terminal.run.pid, signal.SIGHUP)),
    "closed": ("", Terminal.close),
}


@pytest.mark.parametrize("way", WAYS)
def test_jobs_of_a_stopped_run_live_on_and_are_taken_back(table: Gated, terminal: Terminal, way: str) -> None:
    name, stop = WAYS[way]
    before = table.running_jobs().keys()
    stop(terminal)
    assert terminal.run.wait(60) == 130
    if name:
        shown = terminal.shown()
        assert (
            f"Stopped by {name}. Jobs 0-1 run on. burnish run takes them back; burnish cancel --all stops them."
            in shown
        )
        assert "Traceback" not in shown
    assert table.running_jobs().keys() == before
    table.open(0)
    wait_for(lambda: "the end of 0" in next((table.folder / "burnish_log").rglob("*_job_0.log")).read_text())
    table.open(1, 2, 3)
    table.burnish(*RUN)
    assert [len(table.ran(job)) for job in range(JOBS)] == [1] * JOBS
    assert {job["attempt"] for job in table.status().values()} == {f"{job}.1" for job in range(JOBS)}


# What keeps a signal from whatever it starts, as a shell runs it.
IGNORED = {"nohup": ('nohup "$@"', signal.SIGHUP), "background of a script": ('"$@"', signal.SIGINT)}


@pytest.mark.parametrize("way", IGNORED)
def test_signal_that_a_run_was_started_to_ignore_does_not_stop_it(table: Gated, way: str) -> None:
    start, number = IGNORED[way]
    shell = subprocess.Popen(
        ["sh", "-c", f"{start} & echo $!; wait $!", "sh", sys.executable, "-m", "burnish", *RUN],
        cwd=table.folder,
        env=table.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with shell:
        assert shell.stdout is not None
        run = int(shell.stdout.readline())
        table.wait_running(2)
        os.kill(run, number)
        table.open(*range(JOBS))
        assert shell.wait(60) == 0
    assert {job["state"] for job in table.status().values()} == {"COMPLETE"}


def test_run_below_nohup_still_ends_in_order_when_it_is_told_to(table: Gated) -> None:
    command = ["nohup", sys.executable, "-m", "burnish", *RUN]
    pipe = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=table.folder, env=table.environment, text=True, **pipe) as run:
        table.wait_running(2)
        run.send_signal(signal.SIGTERM)
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 130
    assert "Stopped by SIGTERM. Jobs 0-1 run on." in said


@pytest.mark.parametrize("command", [["status"], ["results"], ["--help"], ["explain", "1"]])
def test_output_that_is_full_is_a_sentence_and_one_that_is_closed_is_none(table: Gated, command: list[str]) -> None:
    def asked(redirection: str) -> subprocess.CompletedProcess[str]:
        shell = ["sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-m", "burnish", *command]
        return subprocess.run(
            shell, cwd=table.folder, env=table.environment, capture_output=True, text=True, timeout=60
        )

    full = asked(">/dev/full")
    assert full.stderr == (
        "error: stdout cannot be written: No space left on device. What was shown is not complete.\n"
    )
    assert full.returncode == 1
    for closed in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
        done = asked(closed)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout or ">&-" in closed.split()


def test_run_goes_on_though_the_disk_that_holds_its_talk_is_full(table: Gated) -> None:
    table.open(*range(JOBS))
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "burnish", *RUN]
        done = subprocess.run(command, cwd=table.folder, env=table.environment, stderr=full, timeout=60)
    assert done.returncode == 0
    assert {job["state"] for job in table.status().values()} == {"COMPLETE"}
