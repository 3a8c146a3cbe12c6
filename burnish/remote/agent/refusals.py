"""Why something is not done: four exceptions, each a clause for a person, and how errors and paths stand in one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict


class Refusal(Exception):
    """A request that cannot be served: a clause for a person."""


class Unstartable(Exception):
    """The command cannot be run as asked, and was not: a clause for a person."""


class Lacking(Exception):
    """The host has not what the command needs, and another may have it: a clause for a person, and `need` for `lack_of`."""

    def __init__(self, why: str, need: Dict[str, Any]) -> None:
        super().__init__(why)
        self.need = need


class SlotTaken(Exception):
    """The slot cannot be had now, through no fault of the command: a clause for a person."""


def clause(error: BaseException) -> str:
    """What went wrong, in words: `/data/x: No such file or directory`."""
    if isinstance(error, OSError) and error.strerror:
        name = "%s: " % printable(error.filename) if error.filename else ""
        return name + error.strerror
    return str(error) or type(error).__name__


def printable(path: Any) -> str:
    """`path`, str or bytes, as text that can be shown."""
    text = path.decode("utf-8", "backslashreplace") if isinstance(path, bytes) else str(path)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
