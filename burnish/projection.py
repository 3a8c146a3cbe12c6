"""The table and the journal kept in step: a person's edits become facts, facts become the text of the table.

The journal is the truth, the table its projection, and both directions may happen at any moment in any process. An edit is a
save that is no text of burnish's; it is merged against the text its author looked at (`core.bases`, `core.merge`), and the save
itself becomes a base, since the editor still holds it. A text to be put in place is first kept as a base and named in the journal
(`TableRendered`), so that whoever reads the file next knows it, and then swapped in only if what was merged is still what stands
there. If anything is not as expected, nothing is done and the next look sees why.

Between the naming and the swap the text before it stands there (while the disk is slow), and stays there if the disk is full or
the process is killed. It reads like an older text that somebody saved again, and is none: the file is the very one that was to be
replaced, and nobody has touched it. It is seen, and the table written anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from burnish.core import events
from burnish.core.bases import Base, Choice
from burnish.core.events import Fact
from burnish.core.jobs import JobId
from burnish.core.merge import Merged, merge
from burnish.core.pace import Pace
from burnish.core.render import render
from burnish.core.spoilt import passed_over, told
from burnish.core.state import State
from burnish.core.table import Table
from burnish.errors import InputError, Problem, StoreError, TableClosed, counted
from burnish.store.base_texts import BaseTexts
from burnish.store.journal import Journal
from burnish.store.paths import Paths
from burnish.store.table_file import AWAY, TableFile, TableMissing
from burnish.store.version import TWO_LOOKS, UNFINISHED, Seen

SHORTEST = 1.0  # s between two texts put in place
SHARE = 0.05  # of the run's time at most goes into writing the table
AGAIN = 10.0  # s after a refusal of the disk
LOCK_PATIENCE = 5.0  # s: who holds the lock for longer hangs, or is dead and NFS has not noticed: we go on without it
PAUSE = 0.05  # s between two tries of the last writing
LEFT_PATIENCE = UNFINISHED + TWO_LOOKS  # s that a save which a dead coordinator left may need to be read
MAX_NOTICES = 20
BURIED = (
    "somebody saved it in the very moment in which burnish wrote it, and this file system kept only burnish's text. "
    "If your last edit is not there, make it again."
)


class _Overtaken(Exception):
    """This save is no news any more: others were faster to merge it, or it was saved over."""


class Projection:
    """One process's view of a table file. `look` takes edits in, `render` writes states out; both commit what they do."""

    def __init__(self, paths: Paths, journal: Journal) -> None:
        self._paths = paths
        self._journal = journal
        self._file = TableFile(paths.db, paths.root, paths.shown)
        self._texts = BaseTexts(paths.bases)
        self._seen: Seen | None = None  # what stands there, as far as we know; None: nothing
        self._table: Table | None = None  # what the next text is made from, and the ids of its rows that have none
        self._ids: Mapping[int, JobId] = {}
        self._passed_over: tuple[Table, int, Mapping[JobId, Problem]] | None = None  # asked for with every job
        self._dirty: set[JobId] | None = None  # None: any job may differ from the text in place
        self._unmerged: Table | None = None  # a save from a displaced inode
        self._pace = Pace(SHORTEST, SHARE)
        self.promised = False  # it was said that the table is written again
        self._barred_since: float | None = None  # when somebody else held the lock, and does so still
        self._said: set[str] = set()
        self._trouble: str | None = None
        self._untold: list[str] = []  # what came up while the table was written
        self._recovered = False

    # -- what the coordinator asks -----------------------------------------------------------------------------------

    @property
    def readable(self) -> bool:
        """False while the table is missing or cannot be read as a whole: nothing new is started then."""
        return self._trouble is None

    @property
    def faults(self) -> list[str]:
        """What of the table cannot be read, as sentences: all of it, or a row each."""
        if self._trouble is not None:
            return [self._trouble]
        return [] if self._table is None else self._problems(self._table)

    @property
    def skipped(self) -> Mapping[JobId, Problem]:
        """Jobs whose row cannot be read, and why: not started until it is mended."""
        table, state = self._table, self._journal.state
        if table is None or not table.problems:
            return {}
        if self._passed_over is None or self._passed_over[0] is not table or self._passed_over[1] != len(state.jobs):
            self._passed_over = table, len(state.jobs), passed_over(table, state.jobs, state.columns)
        return self._passed_over[2]

    @property
    def skipped_rows(self) -> int:
        """How many rows cannot be read."""
        return len(self._table.problems) if self._table is not None else 0

    @property
    def any_row(self) -> bool:
        """False if the table has no row that can be read."""
        return self._table is not None and any(row.usable for row in self._table.rows)

    def mark(self, changed: Iterable[JobId]) -> None:
        """These jobs may read differently now."""
        if self._dirty is not None:
            self._dirty.update(changed)

    def refuse_read_only(self) -> None:
        """Raise StoreError if the table may not be written: before a wish is committed that it could not show."""
        self._file.refuse_read_only()

    # -- edits come in ---------------------------------------------------------------------------------------------

    def read_alone(self) -> Table:
        """The table as it stands, without a journal. Raises InputError, StoreError, TableMissing."""
        self._seen = self._file.read()
        self._table = self._seen.table
        return self._table

    def begin(self, found: Table, ids: Mapping[int, JobId]) -> Fact:
        """The journal is about to be made of `found`, whose rows without an id get `ids`: the fact that names this text.

        Raises StoreError.
        """
        # Else the inode that our first text displaces could, after a power loss, hold what it held before its last save.
        self._file.sync()
        self._ids = ids
        return _named(found, ids)

    def begun(self, found: Table) -> None:
        """The journal was made of `found`, by us."""
        self._texts.keep(found, time.time(), ids=self._ids, follows=None, saved=False)

    def forestalled(self) -> None:
        """Another process was faster to make the journal: what was read may be a save of its table, and is to be merged."""
        self._seen, self._table, self._ids = None, None, {}

    def look(self, *, wait: bool = False) -> list[str]:
        """Merge what was saved since the last look; sentences for the user. `wait`: until what stands there stands still.

        Raises TableClosed when the journal is gone; what else the disk refuses is among the sentences.
        """
        said: list[str] = []
        try:
            said += self._recover()
            said += self._look_at_displaced()  # older than what stands there, which may have been made of it
            said += self._look_at_table(wait)
        except TableClosed:
            raise
        except StoreError as error:
            said.append(str(error))
        return self._once(self._take_untold() + said)

    def _recover(self) -> list[str]:
        """Take in what coordinators that died have left, before anything that was saved later."""
        if self._recovered:
            return []
        self._file.recover(time.monotonic())
        self._recovered = True
        said = self._look_at_displaced()
        end = time.monotonic() + LEFT_PATIENCE
        while self._file.unread and time.monotonic() < end:
            time.sleep(PAUSE)
            said += self._look_at_displaced()
        return said

    def _look_at_table(self, wait: bool) -> list[str]:
        try:
            newest = self._newest()
            seen = self._file.read(newest=newest) if wait else self._file.look(time.monotonic(), newest)
        except TableMissing:
            self._seen, self._dirty, self.promised = None, None, True
            return self._begin_trouble(f"{self._paths.shown}: the file is gone. It is written again from the journal.")
        except (InputError, StoreError) as error:
            return self._begin_trouble(str(error))
        said = self._end_trouble()
        seen = seen or self._file.seen  # one that could not be taken in is taken in now
        if seen is not None and seen is not self._seen:
            said += self._take_in(seen)
        return said

    def _take_in(self, seen: Seen) -> list[str]:
        """Only what is taken in whole counts as seen: nothing is put in the place of a save that the disk kept from us."""
        self._journal.catch_up()  # whoever put it there has named it first
        newest = self._newest()
        if seen.sha256 == newest:
            self._seen, self._dirty = seen, None
            self._table, self._ids = seen.table, _job_ids(self._journal.state, newest)
            return self._problems(seen.table)
        if self._awaits_newest(seen, self._journal.state):
            self._seen, self._dirty, self.promised = seen, None, True
            self._table, self._ids = seen.table, _job_ids(self._journal.state, seen.sha256)
            return self._problems(seen.table)
        self._file.sync()  # or a power loss could leave the text before it, which would look like this save taken back
        try:
            merged, base = self._merge(seen.table, stands=seen)
        except _Overtaken:
            return []  # the next look finds what stands there
        self._seen, self._dirty = seen, None
        if merged.refused:
            self._table, self._ids, self.promised = base.table, base.ids, True
        else:
            self._table, self._ids = seen.table, merged.ids
        return merged.notices + self._problems(seen.table)

    def _look_at_displaced(self) -> list[str]:
        """A save that went into an inode which burnish had just replaced."""
        if self._unmerged is None and self._file.watching:
            try:
                self._unmerged = self._file.displaced(time.monotonic(), self._journal.state.rendered)
            except InputError as error:
                return [f"{error}\n{error.hint}"]
        if self._unmerged is None:
            return []
        self._dirty = None
        try:
            merged, _ = self._merge(self._unmerged, aside=True)
        except _Overtaken:
            merged = Merged([], [], {})
        self._unmerged = None
        return merged.notices

    def _merge(
        self, theirs: Table, opened: Base | None = None, aside: bool = False, stands: Seen | None = None
    ) -> tuple[Merged, Base]:
        """Commit what a save calls for, once, whoever else sees it too. Gives the base it was merged against as well.

        `opened`: the text that its author had before their eyes, where that is known. `aside`: the save does not stand in the
        table's place, and what stands there remains the newest text: else that would look like this save taken back; raises
        _Overtaken if it was merged before. `stands`: it has to stand there still when it is merged; raises _Overtaken if it
        does not.
        """
        merged, base = Merged([], [], {}), Base.of(theirs, time.time())

        def decide(state: State) -> list[Fact]:
            nonlocal merged, base
            # Asked once `state` is known: else a later save might be in it, and look as if this one had taken it back.
            if stands is not None and not self._file.stands(stands):
                raise _Overtaken
            if stands is not None and self._awaits_newest(stands, state):
                raise _Overtaken
            if aside and theirs.sha256 in state.rendered:
                raise _Overtaken
            choice = opened and Choice(opened)
            choice = choice or self._texts.choose(theirs, state.rendered) or self._all_in_doubt(state)
            base = choice.base
            merged = merge(base, theirs, state.jobs, state.columns, state.next_id, choice.ambiguous)
            known = theirs.sha256 in state.rendered
            if merged.refused or (known and not merged.facts):
                return []
            return [*merged.facts, _named(theirs, merged.ids), *(_newest_again(state) if aside else ())]

        follows = self._newest()
        self._journal.commit(decide)
        self._said.difference_update(merged.notices)  # what is typed again is answered again
        if not merged.refused:
            self._texts.keep(theirs, time.time(), ids=merged.ids, follows=follows, saved=True)
        return merged, base

    def _awaits_newest(self, seen: Seen, state: State) -> bool:
        """True if the text that was named last was to replace this very file, which was merged before, and has not (yet)."""
        newest = next(reversed(state.rendered), None)
        if newest is None or newest == seen.sha256 or seen.sha256 not in state.rendered:
            return False
        over = self._texts.over(newest)
        return over is not None and self._file.untouched(seen, over)

    def _newest(self) -> str | None:
        """The text that stands there if nobody has saved: sha256."""
        return next(reversed(self._journal.state.rendered), None)

    def _all_in_doubt(self, state: State) -> Choice:
        """The kept texts are gone (somebody removed them): edits are told from the state as it is, results stay."""
        text = render(None, state.jobs, state.columns, name=self._paths.shown)
        return Choice(Base.of(text, time.time()), frozenset(state.jobs))

    def opened(self) -> Base | None:
        """The text that stands there, as somebody gets it to edit; None if it cannot be read."""
        if self._table is None or not self.readable:
            return None
        return Base.of(self._table, time.time(), self._ids)

    def take_edit(self, opened: Base, edited: Table, within: float = 2 * AWAY) -> Merged:
        """Merge what somebody made of `opened`, and put it in place of what stands there now.

        Gives up the layout of `edited`, not what it asks for, if somebody is always in the way for `within` s. Raises StoreError
        when the disk refuses.
        """
        merged, _ = self._merge(edited, opened)
        end = time.monotonic() + within
        while not merged.refused and time.monotonic() < end:
            self._table, self._ids, self._dirty = edited, merged.ids, None
            if self.render():
                break
            time.sleep(PAUSE)
            self._untold += self.look()
        return merged

    # -- states go out ---------------------------------------------------------------------------------------------

    def render_if_due(self) -> None:
        """Write the table if it is out of date and the last time was long enough ago.

        What the disk refuses is said by the next `look`; it is tried again a while later. Raises TableClosed as `look` does.
        """
        if self._dirty == set() or time.monotonic() < self._pace.due:
            return
        try:
            self.render()
        except TableClosed:
            raise
        except StoreError as error:
            self._untold.append(str(error))
            self._pace.due = time.monotonic() + AGAIN

    def finish(self, within: float = 2 * AWAY) -> list[str]:
        """Write the table for the last time; sentences about what was saved meanwhile.

        Gives up after `within` s if somebody is always in the way. Raises StoreError when the disk refuses.
        """
        said: list[str] = []
        end = time.monotonic() + within
        while not self.render() and time.monotonic() < end:
            time.sleep(PAUSE)
            said += self.look()
        return said + self._once(self._take_untold())

    def render(self) -> bool:
        """Write the table if it does not say what the journal says. False if somebody was in the way: look, and try again.

        A text that cannot be read is left for its author to mend; a missing one is made again. Raises StoreError.
        """
        unreadable = self._trouble is not None and (self._seen is not None or self._paths.db.exists())
        if self._dirty == set() or unreadable:
            return True
        began = time.monotonic()
        state = self._journal.state
        following = render(self._table, state.jobs, state.columns, self._ids, self._dirty, self._paths.shown)
        differs = self._seen is None or following.sha256 != self._seen.sha256
        if differs and not self._put(following):
            return False
        self._pace.done(began, time.monotonic())
        self._dirty = None if differs and self._overtaken(following) else set()
        return self._dirty is not None

    def _put(self, following: Table) -> bool:
        if self._in_the_way():
            return False
        self._journal.catch_up()  # not into a folder that `clean` has taken away: a lock would make it anew
        if self._seen is None and not self._journal.state.rendered:
            return self._put_in_place(following)  # the first text of all: nobody else writes one yet
        from filelock import FileLock, Timeout  # not above: it takes 15 ms, and a new table needs none

        lock = FileLock(self._paths.lock, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            self._barred_since = self._barred_since or time.monotonic()
            if time.monotonic() - self._barred_since < LOCK_PATIENCE:
                return False  # another process is writing it
        except (OSError, NotImplementedError):
            pass  # a file system without locks: correctness does not rest on this one
        try:
            return not self._in_the_way() and self._put_in_place(following)
        finally:
            self._barred_since = None
            lock.release()

    def _in_the_way(self) -> bool:
        """True if something stands there that was not read: no text is named in the journal that cannot be put in place."""
        return self._paths.db.exists() if self._seen is None else self._file.changed()

    def _put_in_place(self, following: Table) -> bool:
        """Keep a text that is about to stand there, name it in the journal, and only then swap it in."""
        follows = None if self._seen is None else self._seen.sha256
        over = None if self._seen is None else self._file.stamp(self._seen)
        self._texts.keep(following, time.time(), ids={}, follows=follows, saved=False, over=over)
        self._journal.commit(lambda state: [_named(following, {})])
        seen = self._file.create(following) if self._seen is None else self._file.replace(following, self._seen)
        if seen is None:
            return False
        self._seen, self._table, self._ids, self._trouble, self.promised = seen, following, {}, None, False
        if self._file.buried and list(self._journal.state.rendered)[-2:] == [follows, following.sha256]:
            self._untold.append(f"{self._paths.shown}: {BURIED}")  # else it was another run's text
        return True

    def _overtaken(self, text: Table) -> bool:
        """True if another text was named after this one, and may have been put in place before it: locks lie, NFS may be slow."""
        self._journal.catch_up()
        return next(reversed(self._journal.state.rendered)) != text.sha256

    # -- what is said ----------------------------------------------------------------------------------------------

    def _problems(self, table: Table) -> list[str]:
        state = self._journal.state
        return told(table, state.jobs, state.columns)

    def _begin_trouble(self, sentence: str) -> list[str]:
        """Once, until it is over: then the same may be said again."""
        said = [] if sentence == self._trouble else [sentence]
        self._trouble = sentence
        self._said.difference_update(said)
        return said

    def _end_trouble(self) -> list[str]:
        if self._trouble is None or self._file.bad is not None or self._file.changed():
            return []
        self._trouble = None
        sentence = f"{self._paths.shown} can be read again."
        self._said.discard(sentence)
        return [sentence]

    def _take_untold(self) -> list[str]:
        untold, self._untold = self._untold, []
        return untold

    def _once(self, notices: list[str]) -> list[str]:
        fresh = [notice for notice in dict.fromkeys(notices) if notice not in self._said]
        self._said.update(fresh)
        if len(fresh) > MAX_NOTICES:
            fresh = [*fresh[:MAX_NOTICES], f"... and {counted(len(fresh) - MAX_NOTICES, 'more notice')} like these."]
        return fresh


def _named(text: Table, ids: Mapping[int, JobId]) -> Fact:
    """The fact that names a text of the table."""
    return events.TableRendered(text.sha256, {str(row): int(job) for row, job in ids.items()}, time.time())


def _newest_again(state: State) -> Iterator[Fact]:
    """The fact that names the newest text once more, after another was named that is not put in its place."""
    for sha256, (ids, _) in list(state.rendered.items())[-1:]:
        yield events.TableRendered(sha256, ids, time.time())


def _job_ids(state: State, sha256: str | None) -> dict[int, JobId]:
    ids, _ = state.rendered.get(sha256 or "", ({}, 0.0))
    return {int(row): JobId(job) for row, job in ids.items()}
