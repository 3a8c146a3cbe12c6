"""The pipe on which supervisors tell their agent of attempts: a line each, with the attempt's name and a mark."""

from __future__ import annotations

import os

from .files import READ_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import List

DONE = "!"  # ends a notice: its supervisor is done with the attempt
FREED = "-"  # ends a notice: the attempt has left its slot, and is not recorded yet


def tell(notices: int, attempt: str, mark: str = "") -> None:
    """Tell the agent, if it is still there, to look at the attempt's folder; or what `mark` stands for."""
    try:
        os.write(notices, ("%s%s\n" % (attempt, mark)).encode("ascii"))
    except OSError:
        pass  # gone, or not reading: whoever asks next reads the folder


def heard(notices: int) -> List[str]:
    """The notices in the pipe, which is readable: attempts' names with their marks."""
    return os.read(notices, READ_SIZE).decode("ascii").split("\n")
