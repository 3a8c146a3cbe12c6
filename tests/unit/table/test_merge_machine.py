"""Any order of edits, old buffers, results and commands: no edit is lost, no result undone, no job made twice.

Each edit of a cell writes a text that was never written before, so that whose edit it is can be told afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule
from support.desk import Desk

from burnish.core.events import JobChanged, JobsAdded, ResetRequested
from burnish.core.jobs import JobId, Word
from burnish.core.table import parse

PICK = st.integers(0, 50)
PLACE = st.integers(0, 1)  # of a cell: x or y


def with_row(text: str, job: int, change: Callable[[str], str]) -> str:
    """`text` with another record of `job`. (To replace its text would not do: that of job 0 stands in that of a copy, 10.)"""
    table = parse(text.encode())
    row = table.row(JobId(job))
    assert row is not None
    records = [change(raw) if at == row.at else raw for at, raw in enumerate(table.records)]
    return "".join(("\ufeff" * table.bom, table.head, *records))


def with_cell(text: str, job: int, place: int, new: str) -> str:
    """`text` with another cell of `job`: its x (0) or y (1)."""

    def typed(raw: str) -> str:
        fields = raw.rstrip("\r\n").split(",")
        fields[2 + place] = new
        return ",".join(fields) + raw[len(raw.rstrip("\r\n")) :]

    return with_row(text, job, typed)


def with_word(text: str, job: int, word: str) -> str:
    """`text` with another word in STATE of `job`."""

    def typed(raw: str) -> str:
        number, _, cells = raw.split(",", 2)
        return f"{number},{word},{cells}"

    return with_row(text, job, typed)


class Merging(RuleBasedStateMachine):
    buffers = Bundle("buffers")  # texts that some editor holds

    @initialize(jobs=st.integers(8, 10))
    def lay_out(self, jobs: int) -> None:
        rows = "".join(f"{n},,start{n},same\n" for n in range(jobs))
        self.desk = Desk("JOB_ID,STATE,x,y\n" + rows)
        self.cells = {n: (f"start{n}", "same") for n in range(jobs)}  # job -> the newest texts a person gave it
        self.count = 0
        self.stripped = False

    def fresh_text(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def a_job(self, pick: int, *words: Word) -> int | None:
        jobs = [job.id for job in self.desk.state.listed() if not words or job.word in words]
        return jobs[pick % len(jobs)] if jobs else None

    def listed(self) -> set[int]:
        return {int(job.id) for job in self.desk.state.listed()}

    def results(self) -> dict[int, int]:
        return {job.id: len(job.attempts) for job in self.desk.state.jobs.values() if job.word.final}

    def words(self, besides: int) -> dict[int, Word]:
        return {job.id: job.word for job in self.desk.state.jobs.values() if job.id != besides}

    def cancelled(self) -> int:
        return sum(
            attempt.cancelled_by is not None for job in self.desk.state.jobs.values() for attempt in job.attempts
        )

    def save(self, text: str) -> None:
        """Whatever is saved, what the person did not touch stays, and nothing that ended runs again unasked."""
        self.desk.save(text)
        assert self.desk.standing.problems == ()

    # -- editors -----------------------------------------------------------------------------------------------------

    @rule(target=buffers)
    def open_editor(self) -> str:
        return self.desk.text

    @rule(target=buffers, pick=PICK, place=PLACE)
    def edit_a_cell(self, pick: int, place: int) -> object:
        job = self.a_job(pick)
        return multiple() if job is None else self.edit_in(self.desk.text, job, place)

    @rule(target=buffers, text=buffers, pick=PICK, place=PLACE)
    def edit_a_cell_in_an_old_buffer(self, text: str, pick: int, place: int) -> object:
        rows = [row for row in parse(text.encode()).rows if row.id is not None]
        alive = [row.id for row in rows if not self.desk.state.jobs[row.id].removed]
        if not alive:
            return multiple()
        edit = alive[pick % len(alive)]
        results, jobs, cancelled, words = self.results(), len(self.desk.state.jobs), self.cancelled(), self.words(edit)
        edited = self.edit_in(text, edit, place)
        assert self.results().items() >= results.items(), "an old buffer undid a result"
        assert self.words(edit) == words, "an old buffer asked for something in a row that was not touched"
        assert (len(self.desk.state.jobs), self.cancelled()) == (jobs, cancelled)
        return edited

    def edit_in(self, text: str, job: int, place: int) -> str:
        """Type a new text into the row of `job`. It must arrive, and every other cell must keep what it has."""
        new, there = self.fresh_text(), self.listed()
        edited = with_cell(text, job, place, new)
        self.save(edited)
        assert self.listed() == there, "an edit of one row removed another, or brought one back"
        x, y = self.cells[job]
        self.cells[job] = (x, new) if place else (new, y)
        return edited

    @rule(text=buffers, pick=PICK, place=PLACE)
    def make_an_edit_that_was_made_already_in_an_old_buffer(self, text: str, pick: int, place: int) -> None:
        """Two people type the same: the second has nothing to add."""
        job = self.a_job(pick)
        if job is None or parse(text.encode()).row(JobId(job)) is None:
            return
        self.edit_in(self.desk.text, job, place)
        self.save(with_cell(text, job, place, self.cells[job][place]))
        changed = [fact.cells for fact in self.desk.facts if isinstance(fact, JobChanged) and fact.job == job]
        assert not any("xy"[place] in cells for cells in changed), "an edit that was made already was made again"
        self.take_cells_over()

    @rule(text=buffers)
    def save_an_old_buffer_unchanged(self, text: str) -> None:
        """An old text, or an edit taken back: cells may be either, but no result is undone and no job made."""
        results, jobs, cancelled = self.results(), len(self.desk.state.jobs), self.cancelled()
        self.save(text)
        assert self.results().items() >= results.items()
        assert (len(self.desk.state.jobs), self.cancelled()) == (jobs, cancelled)
        self.take_cells_over()

    def take_cells_over(self) -> None:
        self.cells = {job.id: (job.cells[0], job.cells[1]) for job in self.desk.state.jobs.values()}

    @rule(target=buffers, pick=PICK, place=PLACE)
    def take_an_edit_back_at_once(self, pick: int, place: int) -> object:
        job = self.a_job(pick)
        if job is None:
            return multiple()
        before, cells = self.desk.text, self.cells[job]
        self.edit_in(before, job, place)
        self.save(before)
        self.cells[job] = cells
        return before

    @rule(target=buffers, copies=st.integers(1, 2))
    def add_rows_without_id(self, copies: int) -> str:
        new = self.fresh_text()
        text = self.desk.text + f",,{new},same\n" * copies
        jobs = len(self.desk.state.jobs)
        self.save(text)
        assert len(self.desk.state.jobs) == jobs + copies
        for job in list(self.desk.state.jobs)[-copies:]:
            self.cells[job] = (new, "same")
        return text

    @rule(pick=PICK)
    def copy_a_row(self, pick: int) -> None:
        """One more job; where the same was copied, deleted and is copied again, to the byte, that one is back."""
        job = self.a_job(pick)
        if job is None:
            return
        cells = self.desk.row(job).split(",", 2)[2]
        jobs = self.listed()
        self.save(self.desk.text + f",,{cells}\n")
        [new] = self.listed() - jobs
        self.cells[new] = self.cells[job]

    @rule(pick=PICK)
    def delete_a_row(self, pick: int) -> None:
        job = self.a_job(pick)
        if job is None or len(self.desk.standing.rows) == 1:
            return
        self.save(with_row(self.desk.text, job, lambda raw: ""))
        if not self.desk.state.jobs[JobId(job)].removed:  # its text was an older one: then it is back, not gone
            assert self.desk.row(job)

    @rule(order=st.randoms(use_true_random=False))
    def reorder_rows(self, order: object) -> None:
        head, *rows = self.desk.text.splitlines(keepends=True)
        order.shuffle(rows)  # type: ignore[attr-defined]
        self.save(head + "".join(rows))
        assert self.desk.facts == []

    @precondition(lambda self: not self.stripped)
    @rule()
    def strip_ids(self) -> None:
        """Once, and with rows that can be told apart: beyond that nobody could say which is which."""
        head, *rows = self.desk.text.splitlines(keepends=True)
        if len({row.cells for row in self.desk.standing.rows}) < len(rows) or self.rows_of_removed_jobs():
            return
        self.stripped = True
        self.save(head + "".join("," + row.partition(",")[2] for row in rows))
        assert self.desk.facts == []

    @precondition(lambda self: not self.stripped)
    @rule(text=buffers)
    def strip_ids_in_an_old_buffer(self, text: str) -> None:
        """Whose row is whose is told by the cells, if these are what they were; what the words say is in doubt."""
        table = parse(text.encode())
        cells = {job.id: job.cells for job in self.desk.state.listed()}
        same = {row.id: row.cells for row in table.rows if row.id is not None} == cells
        if not same or len(set(cells.values())) < len(cells) or self.rows_of_removed_jobs():
            return
        self.stripped = True
        results = self.results()
        self.save(table.head + "".join("," + row.partition(",")[2] for row in table.records))
        assert self.results().items() >= results.items(), "an old buffer without ids undid a result"
        assert self.listed() == cells.keys()

    def rows_of_removed_jobs(self) -> bool:
        return any(self.desk.state.jobs[row.id].removed for row in self.desk.standing.rows if row.id is not None)

    @rule()
    def save_with_other_line_ends(self) -> None:
        text = self.desk.text
        self.save(text.replace("\r\n", "\n") if "\r\n" in text else text.replace("\n", "\r\n"))
        assert self.desk.facts == []

    @rule()
    def save_with_or_without_byte_order_mark(self) -> None:
        text = self.desk.text
        self.save(text[1:] if text.startswith("\ufeff") else "\ufeff" + text)
        assert self.desk.facts == []

    # -- words typed over states ---------------------------------------------------------------------------------------

    def type_word(self, job: int, word: str) -> None:
        self.save(with_word(self.desk.text, job, word))

    @rule(pick=PICK, word=st.sampled_from(["HOLD", "hold"]))
    def hold(self, pick: int, word: str) -> None:
        job = self.a_job(pick, Word.NOT_RUNNING, Word.ERROR)
        if job is not None:
            self.type_word(job, word)
            assert self.desk.word(job) == "HOLD" or self.in_doubt(job)

    @rule(pick=PICK, word=st.sampled_from(["NOT_RUNNING", "RESET"]))
    def release(self, pick: int, word: str) -> None:
        job = self.a_job(pick, Word.HOLD)
        if job is not None:
            self.type_word(job, word)
            assert self.desk.word(job) == "NOT_RUNNING" or self.in_doubt(job)

    @rule(pick=PICK, word=st.sampled_from(["NOT_RUNNING", "RESET"]))
    def run_again(self, pick: int, word: str) -> None:
        job = self.a_job(pick, Word.COMPLETE, Word.ERROR)
        if job is not None:
            self.type_word(job, word)
            assert self.desk.word(job) == "NOT_RUNNING" or self.in_doubt(job)

    @rule(target=buffers, text=buffers, pick=PICK)
    def type_not_running_into_an_old_buffer(self, text: str, pick: int) -> object:
        return self.type_into(text, pick, "NOT_RUNNING")

    @rule(
        target=buffers,
        text=buffers,
        pick=PICK,
        word=st.sampled_from(["HOLD", "RESET", "COMPLETE", "ERROR", "CANCEL", "RUNNING"]),
    )
    def type_a_word_into_an_old_buffer(self, text: str, pick: int, word: str) -> object:
        return self.type_into(text, pick, word)

    def type_into(self, text: str, pick: int, word: str) -> object:
        """NOT_RUNNING is surely meant to undo an end only over that very end; the other words say what they mean."""
        rows = [
            row for row in parse(text.encode()).rows if row.id is not None and not self.desk.state.jobs[row.id].removed
        ]
        if not rows:
            return multiple()
        row = rows[pick % len(rows)]
        assert row.id is not None
        if self.desk.word(row.id) == word:
            return multiple()  # it may read like the newest text with another row's word typed over
        before = {job.id: (job.word, len(job.attempts)) for job in self.desk.state.jobs.values() if job.word.final}
        edited = with_word(text, row.id, word)
        self.save(edited)
        for job, (was, attempts) in before.items():
            now = self.desk.state.jobs[job]
            asked = job == row.id and (row.word == was or word in ("HOLD", "RESET", "COMPLETE", "ERROR"))
            assert asked or (now.word, len(now.attempts)) == (was, attempts), "an old buffer undid a result"
        self.take_cells_over()
        return edited

    def in_doubt(self, job: int) -> bool:
        """What was typed was not obeyed: then it was said how to insist."""
        return any(f"job {job} is {self.desk.word(job)}" in notice and "Kept" in notice for notice in self.desk.notices)

    # -- hosts, commands, other coordinators -------------------------------------------------------------------------

    @rule(pick=PICK, word=st.sampled_from(["COMPLETE", "ERROR"]))
    def mark_what_is_being_started(self, pick: int, word: str) -> None:
        """Its verdict comes from its own exit."""
        job = self.a_job(pick, Word.NOT_RUNNING)
        if job is not None:
            self.desk.claim(job)
            self.type_word(job, word)
            assert self.desk.word(job) == "NOT_RUNNING"
            self.desk.begin(job)

    @rule(pick=PICK)
    def start(self, pick: int) -> None:
        job = self.a_job(pick, Word.NOT_RUNNING)
        if job is not None:
            self.desk.start(job)

    @rule(pick=PICK, code=st.integers(0, 1))
    def finish(self, pick: int, code: int) -> None:
        running = [attempt.job for attempt in self.desk.state.open]
        if running:
            self.desk.finish(running[pick % len(running)], code=code)

    @rule(pick=PICK)
    def reset_by_command(self, pick: int) -> None:
        job = self.a_job(pick, Word.COMPLETE, Word.ERROR)
        if job is not None:
            self.desk.commit(ResetRequested(job))

    @rule(pick=PICK)
    def append_by_command(self, pick: int) -> None:
        new = self.fresh_text()
        job = self.desk.state.next_id
        self.desk.commit(JobsAdded(("x", "y"), ((job, new, "same"),)))
        self.cells[job] = (new, "same")

    # -- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def every_edit_is_there(self) -> None:
        for job in self.desk.state.listed():
            assert job.cells == self.cells[job.id], f"job {job.id} has lost an edit\n{self.desk.text}"

    @invariant()
    def the_file_says_what_the_journal_says(self) -> None:
        for job in self.desk.state.listed():
            row = self.desk.standing.row(job.id)
            assert row is not None, f"job {job.id} has no row"
            assert (row.word, row.cells) == (str(job.word), job.cells)


MORE = os.environ.get("BURNISH_TEST_EXAMPLES", "")  # so many others than the ordinary ones
TestMerging = Merging.TestCase
TestMerging.settings = settings(
    max_examples=int(MORE or 500), stateful_step_count=50, derandomize=not MORE, deadline=None, print_blob=True
)
