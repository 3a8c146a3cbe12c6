"""Every error a person can meet, as a sentence.

One tree. A class says which exit code it ends a command with, and whether trying again may help; the message says where,
what was read, what was expected, and what burnish did. Modules below translate what libraries raise (OSError, csv.Error,
paramiko's) into these at their border, once; the command line prints `str(error)` and `error.hint`, never a traceback.

Exit codes: 1 a job failed; 2 usage or bad input, nothing started; 3 no usable host; 4 an error in burnish itself.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from typing import NamedTuple

# What of an OSError says that waiting does not help: it is not there, may not be used, or is no such thing. Any other (no memory,
# no descriptor, a stale file handle, a disk that does not read) may be another the next time.
LASTING = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.ENOEXEC,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)
SHOWN_PROBLEMS = 20
_ENDS = re.compile(r"[.?!]\)?$")
_SAYS_SO = re.compile(r"\b(nothing (was|is|new)|nobody was|not replaced)\b", re.IGNORECASE)


class BurnishError(Exception):
    """Base of all. `str(error)` is a whole sentence (or several lines of them) without a trailing newline."""

    exit_code = 4
    transient = False

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(BurnishError):
    """The command line asks for something that cannot be done."""

    exit_code = 2


class Problem(NamedTuple):
    """One thing wrong with a file: `where` is `burnish.db:9` or `grid.yaml:4:1`, `what` the rest of the sentence."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class InputError(BurnishError):
    """A file that a person wrote cannot be used. Holds all of its problems; shows the first 20."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        lines = [str(problem) for problem in self.problems[:SHOWN_PROBLEMS]]
        if len(self.problems) > SHOWN_PROBLEMS:
            lines.append(f"... and {counted(len(self.problems) - SHOWN_PROBLEMS, 'more problem')} like these.")
        super().__init__("\n".join(lines), hint=hint)


class StoreError(BurnishError):
    """The disk that holds the table, its journal or the logs refused something (full, read-only, gone)."""

    exit_code = 2


class TableClosed(StoreError):
    """The journal was removed (`burnish clean`) or belongs to another table than the one that was opened."""


class JournalDamaged(StoreError):
    """A commit of the journal does not say what was written, or cannot follow on the one before."""


class HostRefused(BurnishError):
    """A host that will not become usable by waiting: bad key, changed host key, no python. It is left out, with a reason."""

    exit_code = 3


class HostKeyRefused(HostRefused):
    """Its host key has changed or is revoked: somebody else may answer in its place."""


class HostUnreachable(BurnishError):
    """A host that does not answer now. Retried for ever; nothing is concluded about its jobs."""

    exit_code = 3
    transient = True


class NameUnknown(HostUnreachable):
    """No host has this `name`, says the resolver: it is spelled wrong, or not known on this network, or not yet."""

    def __init__(self, message: str, *, name: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.name = name


class Interrupted(BurnishError):
    """The user stopped the command. Jobs that were started live on."""

    exit_code = 130


class InternalError(BurnishError):
    """burnish broke one of its own rules: a defect, to be reported."""

    exit_code = 4


def concluded(message: str, outcome: str) -> str:
    """`message`, and after it what burnish did (`Nothing was written.`), unless it says so itself."""
    said = _SAYS_SO.search(message)
    if said or not outcome:
        return message
    return f"{message}{'' if _ENDS.search(message) else '.'} {outcome}"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 job`, `2 jobs`, `100,000 jobs`; with `many`, `1 job is` and `2 jobs are`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def printable(text: str, limit: int = 200) -> str:
    """`text` safe for a terminal: control characters escaped (`\\x1b`), cut to `limit` characters with an ellipsis."""
    shown = "".join(
        char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode() for char in text
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
