"""What a disk refuses for a while: tried again, and said once. A night of jobs is not worth one answer of a file server."""

from __future__ import annotations

from collections.abc import Callable

from burnish.errors import JournalDamaged, StoreError, TableClosed


class Retried:
    """Work on a disk. `meanwhile`: sentences that say what goes on, and what does not, until it succeeds."""

    def __init__(self, say: Callable[[str], None], meanwhile: str) -> None:
        self._say = say
        self._meanwhile = meanwhile
        self._said = ""

    def done(self, work: Callable[[], object]) -> bool:
        """False if the disk refuses: nothing may be built on it, and the caller asks again. Raises what no patience mends."""
        try:
            work()
        except (TableClosed, JournalDamaged):
            raise
        except StoreError as error:
            if str(error) != self._said:
                self._say(f"{error} {self._meanwhile}")
            self._said = str(error)
            return False
        self._said = ""
        return True
