"""Sentences for commands that ended: what cannot mend itself is refused, what can is not."""

from __future__ import annotations

import pytest

from burnish.errors import HostRefused, HostUnreachable
from burnish.remote.remote_command import Ending, ending_error


@pytest.mark.parametrize(
    ("status", "stderr", "said"),
    [
        (127, b"bash: line 1: exec: python3: not found\n", "there is no python3 there (exit 127: bash: line 1: exec:"),
        (1, b"python3: Command not found.\n", "there is no python3 there"),
        (
            127,
            b"oops from a start file\nfish: Unknown command: python3\nfish: \nexec python3 -I\n     ^~~~~~^\n",
            "(exit 127: fish: Unknown command: python3)",
        ),
        (
            127,
            b"python3: error while loading shared libraries: libpython3.7m.so.1.0: cannot open shared object file: No such "
            b"file or directory\n",
            "python3 there cannot be run (exit 127: python3: error while loading",
        ),
        (126, b"dash: 1: exec: python3: Permission denied\n", "python3 there cannot be run"),
        (1, b"unknown option -I\nusage: python3\n", "cannot run burnish's agent"),
        (2, b"Unknown option: -I\nTry `python -h' for more information.\n", "it needs python 3.8 or newer"),
        (1, b"  File x\nSyntaxError: invalid syntax\n", "it needs python 3.8 or newer"),
        (1, b"", "something else than burnish's agent ran there and ended (exit 1, without a word)"),
        (0, b"", "something else than burnish's agent"),
    ],
)
def test_refused(status: int, stderr: bytes, said: str) -> None:
    error = ending_error("gpu1", "python3", Ending(status, b"", stderr, begun=False))
    assert isinstance(error, HostRefused) and error.hint
    assert str(error).startswith("gpu1: ") and said in str(error) and str(error).endswith("This host is left out.")


@pytest.mark.parametrize(
    "ending",
    [
        Ending(None, b"", b"", begun=False),
        Ending(137, b"", b"", begun=False),
        Ending(1, b"", b"MemoryError\n", begun=True),
        Ending(None, b"", b"", begun=True),
        Ending(127, b"", b"x: not found\n", begun=True),
    ],
)
def test_not_refused(ending: Ending) -> None:
    assert isinstance(ending_error("gpu1", "python3", ending), HostUnreachable)


def test_advice_is_to_log_in_as_burnish_did() -> None:
    error = ending_error("gpu1", "python3", Ending(0, b"backups only\n", b"", begun=False), "ssh -F lab gpu1")
    assert isinstance(error, HostRefused) and "`ssh -F lab gpu1 echo hello`" in (error.hint or "")


def test_an_agent_that_ended_as_it_should_is_no_error() -> None:
    assert ending_error("gpu1", "python3", Ending(0, b"", b"some warning\n", begun=True)) is None


def test_what_a_host_says_cannot_touch_the_terminal() -> None:
    error = ending_error("gpu1", "python3", Ending(3, b"\x1b[2Jhello\x07\xff\n", b"", begun=False))
    assert "\\x1b[2Jhello\\x07" in str(error) and str(error).isprintable()
