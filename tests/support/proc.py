"""What /proc says of jobs and of those who see to them, on whatever machine of the tests they are: all are seen from this one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def processes(folder: Path) -> dict[int, str]:
    """Pid -> command line of every job, whatever the machine, whose state folder is in `folder`."""
    mark = f"BURNISH_RESULT={folder}/".encode()
    return _those(lambda process: mark in (process / "environ").read_bytes())


def tenants(folder: Path) -> dict[int, str]:
    """Likewise of every process that is in `folder` or has a file open there: supervisors and agents, too."""

    def lives_there(process: Path) -> bool:
        links = [process / "cwd", *(process / "fd").iterdir()]
        return any(_leads_to(link).startswith(f"{os.path.realpath(folder)}/") for link in links)

    return _those(lambda process: process.name != str(os.getpid()) and lives_there(process))


def _leads_to(link: Path) -> str:
    try:
        return f"{os.readlink(link)}/"
    except OSError:
        return ""  # closed meanwhile


def _those(wanted: Callable[[Path], bool]) -> dict[int, str]:
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted(process):
                found[int(process.name)] = _words((process / "cmdline").read_bytes())
        except OSError:
            continue  # gone meanwhile
    return found


def command_line(pid: int) -> str:
    """The words that a process was started with, or has given itself; empty if it is gone."""
    try:
        return _words(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return ""


def _words(command_line: bytes) -> str:
    return command_line.replace(b"\0", b" ").decode(errors="replace")


def environment_of(pid: int) -> dict[str, str]:
    """What a process was started with; empty if it is gone."""
    try:
        entries = Path(f"/proc/{pid}/environ").read_text(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def alive(pid: int) -> bool:
    """Whether a thread of it has not ended; a zombie has none. Read here, not by burnish, which may be wrong about it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] not in "ZX" or int(fields[17]) > 1


def parent_of(pid: int) -> int:
    """Raises OSError if it is gone."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
