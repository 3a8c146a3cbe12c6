"""A table on a desk: what a coordinator does with saves and results, without a file or a clock.

`save` merges a text as a person's save and renders, as the coordinator does; `start`, `finish` are what hosts report. After
each step the state's own invariants are checked, and that untouched rows stayed byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from burnish.core import events
from burnish.core.bases import Base, choose
from burnish.core.jobs import Attempt, AttemptId, JobId
from burnish.core.merge import Merged, adopt, merge
from burnish.core.render import render
from burnish.core.state import State
from burnish.core.table import Table, parse


class Desk:
    """`state` is the journal's, `standing` the text in place, `bases` the texts that editors may hold, oldest first."""

    def __init__(self, text: str = "JOB_ID,STATE,--lr,--seed\n0,,a,1\n1,,b,2\n2,,c,3\n") -> None:
        self.state = State()
        self.standing = parse(text.encode())
        self.bases: list[Base] = []
        self.facts: list[events.Fact] = []
        self.notices: list[str] = []
        self._apply(events.TableOpened("t", self.standing.columns, 0.0))
        adopted = adopt(self.standing)
        for fact in adopted.facts:
            self._apply(fact)
        self._remember(self.standing, saved=True, ids=adopted.ids)
        self.draw(adopted.ids)

    @property
    def text(self) -> str:
        return self.standing.data.decode()

    def row(self, job: int) -> str:
        """The record of a job as it stands in the file, without its line end."""
        row = self.standing.row(JobId(job))
        return "" if row is None else row.raw.rstrip("\r\n")

    def word(self, job: int) -> str:
        return str(self.state.jobs[JobId(job)].word)

    def save(self, text: str) -> Merged:
        """Somebody saves `text`."""
        theirs = parse(text.encode())
        choice = choose(self.bases, theirs)
        merged = merge(choice.base, theirs, self.state.jobs, self.state.columns, self.state.next_id, choice.ambiguous)
        for fact in merged.facts:
            self._apply(fact)
        self.facts, self.notices = merged.facts, merged.notices
        self._merge_again(theirs, merged)
        if merged.refused:
            self.standing, ids = choice.base.table, choice.base.ids
        else:
            self._remember(theirs, saved=True, ids=merged.ids)
            self.standing, ids = theirs, merged.ids
        self.draw(ids)
        return merged

    def edit(self, old: str, new: str, text: str | None = None) -> Merged:
        """Replace `old`, which occurs once, by `new` in what stands there (or in `text`, an older buffer), and save it."""
        text = self.text if text is None else text
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in\n{text}"
        return self.save(text.replace(old, new))

    def start(self, *jobs: int) -> None:
        for job in jobs:
            self._claim(job)
            self._apply(events.AttemptStarted(self.open_attempt(job).id, 1, 0.0))
        self.draw()

    def claim(self, job: int) -> None:
        """It is about to start."""
        self._claim(job)
        self.draw()

    def begin(self, job: int) -> None:
        """What was claimed starts."""
        self._apply(events.AttemptStarted(self.open_attempt(job).id, 1, 0.0))
        self.draw()

    def finish(self, *jobs: int, code: int = 0) -> None:
        for job in jobs:
            attempt = self.open_attempt(job).id
            self._apply(events.AttemptExited(attempt, code, None, 0.0, 1.0, 1.0, 1, cancelled=False))
        self.draw()

    def complete(self, *jobs: int, code: int = 0) -> None:
        """Start and finish, each with a text of its own in between."""
        self.start(*jobs)
        self.finish(*jobs, code=code)

    def open_attempt(self, job: int) -> Attempt:
        attempt = self.state.jobs[JobId(job)].open_attempt
        assert attempt is not None
        return attempt

    def commit(self, fact: events.Fact) -> None:
        """A fact that came by another way than the table: a command, another coordinator."""
        self._apply(fact)
        self.draw()

    def draw(self, ids: Mapping[int, JobId] | None = None) -> None:
        before = self.standing
        drawn = render(before, self.state.jobs, self.state.columns, ids or {})
        assert replace(parse(drawn.data), problems=drawn.problems) == drawn, (
            "what was rendered does not read as what was meant"
        )
        if drawn.columns == before.columns:
            same = {row.id: row for row in drawn.rows}
            for row in before.rows:
                new = same.get(row.id)
                if row.id is not None and new is not None and (new.word, new.cells) == (row.word, row.cells):
                    assert new.raw.rstrip("\r\n") == row.raw.rstrip("\r\n"), "an untouched row was changed"
        if drawn.data != before.data:
            self.standing = drawn
            self._remember(drawn, saved=False, ids={})

    def _merge_again(self, theirs: Table, merged: Merged) -> None:
        base = Base.of(theirs, 0.0, merged.ids)
        again = merge(base, theirs, self.state.jobs, self.state.columns, self.state.next_id)
        if not merged.refused:
            assert (again.facts, again.ids) == ([], merged.ids), "merging a save twice is not merging it once"

    def _remember(self, table: Table, *, saved: bool, ids: dict[int, JobId]) -> None:
        follows = self.bases[-1].sha256 if self.bases else None
        there = {base.sha256: base for base in self.bases}.get(table.sha256)
        followed = frozenset() if there is None else there.followed | ({there.follows} if there.follows else set())
        self.bases = [base for base in self.bases if base is not there]
        self.bases.append(Base.of(table, float(len(self.bases)), ids, follows, saved, followed))

    def _claim(self, job: int) -> None:
        attempt = AttemptId(JobId(job), len(self.state.jobs[JobId(job)].attempts) + 1)
        self._apply(events.AttemptClaimed(attempt, "n", "me", "h", "s", "i", {}, (), (), (), "", 0.0))

    def _apply(self, fact: events.Fact) -> None:
        self.state.apply(fact)
        self.state.check()
