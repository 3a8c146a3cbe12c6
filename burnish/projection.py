"""The table and the journal kept in step: a person's edits become facts, facts become the text of the table.

The journal is the truth, the table its projection, and both directions may happen at any moment in any process. An edit is a
save that is no text of burnish's; it is merged against the text its author looked at (`core.bases`, `core.merge`), and the save
itself becomes a base, since the editor still holds it. A text to be put in place is first kept as a base and named in the journal
(`TableRendered`), so that whoever reads the file next knows it, and then swapped in only if what was merged is still what stands
there. If anything is not as expected, nothing is done and the next look sees why.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import JobId
from burnish.core.merge import Merged, merge
from burnish.core.render import render
from burnish.core.state import State
from burnish.core.table import Table
from burnish.errors import BurnishError, InputError, StoreError
from burnish.store.base_texts import BaseTexts
from burnish.store.journal import Journal
from burnish.store.paths import Paths
from burnish.store.table_file import TableFile, TableMissing
from burnish.store.version import Seen

SHORTEST = 1.0  # s between two texts put in place
SHARE = 0.05  # of the run's time at most goes into writing the table
MAX_NOTICES = 20


class Projection:
    """One process's view of a table file. `look` takes edits in, `render` writes states out; both commit what they do."""

    def __init__(self, paths: Paths, journal: Journal) -> None:
        self._paths = paths
        self._journal = journal
        self._file = TableFile(paths.db, paths.root, paths.shown)
        self._texts = BaseTexts(paths.bases)
        self._seen: Seen | None = None
        self._ids: Mapping[int, JobId] = {}
        self._dirty: set[JobId] | None = None  # None: any job may differ from the text in place
        self._due = 0.0
        self._said: set[str] = set()
        self._trouble: str | None = None
        self._recovered = False

    # -- what the coordinator asks -----------------------------------------------------------------------------------

    @property
    def readable(self) -> bool:
        """False while the table is missing or cannot be read as a whole: nothing new is started then."""
        return self._trouble is None

    @property
    def skipped(self) -> frozenset[JobId]:
        """Jobs whose row cannot be read: not started until it is mended."""
        return self._seen.table.skipped if self._seen is not None else frozenset()

    @property
    def skipped_rows(self) -> int:
        """How many rows cannot be read."""
        return len(self._seen.table.problems) if self._seen is not None else 0

    def mark(self, changed: Iterable[JobId]) -> None:
        """These jobs may read differently now."""
        if self._dirty is not None:
            self._dirty.update(changed)

    # -- edits come in ---------------------------------------------------------------------------------------------

    def read_alone(self) -> Table:
        """The table as it stands, without a journal. Raises InputError, StoreError, TableMissing."""
        self._seen = self._file.read()
        return self._seen.table

    def begin(self, found: Table, ids: Mapping[int, JobId]) -> None:
        """The journal was just made of `found`, whose rows without an id got `ids`."""
        self._ids = ids
        self._remember(found, ids, follows=None)

    def look(self, *, wait: bool = False) -> list[str]:
        """Merge what was saved since the last look; sentences for the user. `wait`: until what stands there stands still."""
        self._recover()
        notices: list[str] = []
        try:
            seen = self._file.read() if wait else self._file.look(time.monotonic())
            self._end_trouble(notices)
            if seen is not None and seen is not self._seen:
                notices += self._take_in(seen)
            notices += self._take_in_displaced()
        except (InputError, TableMissing) as error:
            self._begin_trouble(error, notices)
        except StoreError as error:
            notices.append(str(error))
        return self._once(notices)

    def _recover(self) -> None:
        if not self._recovered:
            self._file.recover(time.monotonic())
            self._recovered = True

    def _take_in(self, seen: Seen) -> list[str]:
        self._seen, self._dirty = seen, None
        newest = next(reversed(self._journal.state.rendered), None)
        if seen.sha256 == newest:
            self._ids = _job_ids(self._journal.state, newest)
            self._dirty = None
            return _problems(seen.table)
        merged = self._merge(seen.table)
        self._ids = merged.ids
        if merged.refused:
            self._seen = None
        return merged.notices + _problems(seen.table)

    def _take_in_displaced(self) -> list[str]:
        """A save that went into an inode which burnish had just replaced."""
        if not self._file.watching:
            return []
        table = self._file.displaced(time.monotonic(), self._journal.state.rendered)
        if table is None:
            return []
        self._dirty = None
        return self._merge(table).notices

    def _merge(self, theirs: Table) -> Merged:
        """Commit what a save calls for, once, whoever else sees it too."""
        merged = Merged([], [], {})

        def decide(state: State) -> list[Fact]:
            nonlocal merged
            choice = self._texts.choose(theirs, state.rendered)
            if choice is None:
                raise StoreError(
                    f"{self._paths.bases}: the texts that edits are merged against are gone. Nothing was merged."
                )
            merged = merge(choice.base, theirs, state.jobs, state.columns, state.next_id, choice.ambiguous)
            known = theirs.sha256 in state.rendered
            if merged.refused or (known and not merged.facts):
                return []
            ids = {str(row): int(job) for row, job in merged.ids.items()}
            return [*merged.facts, events.TableRendered(theirs.sha256, ids, time.time())]

        follows = next(reversed(self._journal.state.rendered), None)
        self._journal.commit(decide)
        if not merged.refused:
            self._texts.keep(theirs, time.time(), ids=merged.ids, follows=follows, saved=True)
        return merged

    # -- states go out ---------------------------------------------------------------------------------------------

    def render_if_due(self) -> None:
        """Write the table if it is out of date and the last time was long enough ago."""
        if self._dirty != set() and time.monotonic() >= self._due:
            self.render()

    def render(self) -> None:
        """Write the table if it does not say what the journal says. If somebody is in the way, the next call does it."""
        if self._dirty == set() or not self._may_write():
            return
        began = time.monotonic()
        state = self._journal.state
        table = None if self._seen is None else self._seen.table
        following = render(table, state.jobs, state.columns, self._ids, self._dirty, self._paths.shown)
        if (self._seen is None or following.sha256 != self._seen.sha256) and not self._put(following):
            return
        self._dirty = set()
        self._due = time.monotonic() + max(SHORTEST, (time.monotonic() - began) / SHARE)

    def _may_write(self) -> bool:
        """A text that cannot be read is left for its author to mend; a missing one is made again."""
        return self._trouble is None or not self._paths.db.exists()

    def _put(self, following: Table) -> bool:
        from filelock import FileLock, Timeout

        follows = None if self._seen is None else self._seen.sha256
        try:
            with FileLock(self._paths.lock, timeout=0):
                self._remember(following, {}, follows)
                seen = self._file.create(following) if self._seen is None else self._file.replace(following, self._seen)
        except Timeout:
            return False  # another process is writing it; correctness does not rest on this
        if seen is None:
            return False
        self._seen, self._ids, self._trouble = seen, {}, None
        return True

    def _remember(self, text: Table, ids: Mapping[int, JobId], follows: str | None) -> None:
        """Keep a text that is about to stand there, and name it in the journal."""
        self._texts.keep(text, time.time(), ids=ids, follows=follows, saved=False)
        named = {str(row): int(job) for row, job in ids.items()}
        self._journal.commit(lambda state: [events.TableRendered(text.sha256, named, time.time())])

    # -- what is said ----------------------------------------------------------------------------------------------

    def _begin_trouble(self, error: BurnishError, notices: list[str]) -> None:
        if isinstance(error, TableMissing):
            self._seen = None
        if str(error) != self._trouble:
            self._trouble = str(error)
            notices.append(f"{error}\nNothing new is started until this is mended; running jobs go on.")

    def _end_trouble(self, notices: list[str]) -> None:
        if self._trouble is not None and self._file.bad is None and self._file.seen is not None:
            self._trouble = None
            notices.append(f"{self._paths.shown} can be read again.")

    def _once(self, notices: list[str]) -> list[str]:
        fresh = [notice for notice in dict.fromkeys(notices) if notice not in self._said]
        self._said.update(fresh)
        if len(fresh) > MAX_NOTICES:
            fresh = [*fresh[:MAX_NOTICES], f"... and {len(fresh) - MAX_NOTICES} more notices like these."]
        return fresh


def _problems(table: Table) -> list[str]:
    """What is wrong with rows, and that the others run."""
    good = sum(row.usable for row in table.rows)
    return [f"{problem} This row is skipped; {good} others run." for problem in table.problems]


def _job_ids(state: State, sha256: str | None) -> dict[int, JobId]:
    ids, _ = state.rendered.get(sha256 or "", ({}, 0.0))
    return {int(row): JobId(job) for row, job in ids.items()}
