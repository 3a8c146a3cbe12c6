"""What it means when the command on a host ended: sentences from an exit status and what was said.

A login shell stands between sshd and python, and a host can put much else there: no python, another program (ForceCommand), an
account without a shell. None of that mends itself, so it is refused with what was said and what would help. An agent that had
begun and then ended is another matter: the host is fine, and the connection is made again.
"""

from __future__ import annotations

import re

from msgspec import Struct

from burnish.errors import BurnishError, HostRefused, HostUnreachable, printable

NOT_FOUND = re.compile(r"not found|no such file|unknown command|cannot find", re.IGNORECASE)
OLD_PYTHON = re.compile(
    r"SyntaxError|unrecognized arguments|[Uu]nknown option:? -I|3\.8|ModuleNotFoundError|ImportError"
)


class Ending(Struct, frozen=True):
    """How it ended. `status`: exit status, None when a signal ended it; `begun`: the agent had said its first words."""

    status: int | None
    stdout: bytes
    stderr: bytes
    begun: bool


def ending_error(host: str, python: str, ending: Ending, login: str = "") -> BurnishError | None:
    """The error that `ending` means for `host`; None when the agent ended as it should. `login`: how to log in there by hand."""
    if ending.begun:
        return None if ending.status == 0 else HostUnreachable(f"{host}: the agent there ended ({_how(ending)}).")
    if ending.status is None or ending.status > 128:
        return HostUnreachable(f"{host}: python was ended before burnish's agent began ({_how(ending)}).")
    said = _said(ending)
    broken = (
        ending.status == 126 or "error while loading shared libraries" in said
    )  # with status 127, by the dynamic linker
    absent = ending.status == 127 or (ending.status != 0 and NOT_FOUND.search(said) and _program(python) in said)
    if absent and not broken:
        return HostRefused(
            f"{host}: there is no {python} there ({_how(ending)}). This host is left out.",
            hint=f"write the path of a python 3.8 or newer for {host} in the inventory: `python: /usr/bin/python3.11`.",
        )
    if broken:
        return HostRefused(
            f"{host}: {python} there cannot be run ({_how(ending)}). This host is left out.",
            hint=f"write the path of a python 3.8 or newer for {host} in the inventory.",
        )
    if OLD_PYTHON.search(ending.stderr.decode("utf-8", "replace")):
        return HostRefused(
            f"{host}: {python} there cannot run burnish's agent ({_how(ending)}); it needs python 3.8 or newer. "
            "This host is left out.",
            hint=f"write the path of a newer python for {host} in the inventory: `python: /usr/bin/python3.11`.",
        )
    return HostRefused(
        f"{host}: something else than burnish's agent ran there and ended ({_how(ending)}). Expected a login shell that runs "
        f"commands. This host is left out.",
        hint=f"look at what `{login or f'ssh {host}'} echo hello` prints: a ForceCommand, an account without a shell, or a shell "
        "that exits, or reads its input, when it starts stands in the way.",
    )


def _program(python: str) -> str:
    return python.rpartition("/")[2]


def _how(ending: Ending) -> str:
    status = "ended by a signal" if ending.status is None else f"exit {ending.status}"
    said = _said(ending)
    return f"{status}: {printable(said)}" if said else f"{status}, without a word"


def _said(ending: Ending) -> str:
    """The last line of stderr, or else of stdout. Below its own, fish repeats the command and underlines what is wrong in it."""
    for stream in (ending.stderr, b"" if ending.begun else ending.stdout):
        lines = [line.strip() for line in stream.decode("utf-8", "replace").splitlines() if line.strip()]
        if lines and not re.search(r"\w", lines[-1]):
            lines = [line for line in lines if line.startswith("fish: ")] or lines
        if lines:
            return lines[-1]
    return ""
