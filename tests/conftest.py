"""What holds for every test: a plain environment, and nothing of the person who runs them."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import Phase, settings

from tests.support import plain

# How long an example takes says something about the machine, and nothing about burnish.
settings.register_profile("untimed", deadline=None)
settings.register_profile(
    "any example", deadline=None, phases=[Phase.explicit, Phase.generate]
)  # also one that could be smaller
settings.load_profile("untimed")

# The tests start thousands of processes, each of which would compile burnish anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# In a shell's background Ctrl-C is ignored, and so it would be by whatever the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Below nohup a hang-up is. A handler lets only the tests themselves outlive it.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)


_kill = os.kill


def kill_one(pid: int, number: int) -> None:
    """`os.kill`, but of a process: 0 is the caller's whole group, the tests and make among them, and -1 everything."""
    assert pid > 1, f"signal {number} to {pid}, which is no process of a test's"
    _kill(pid, number)


os.kill = kill_one


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No options, colours or job of the caller leak into a test."""
    plain.clear(monkeypatch)
