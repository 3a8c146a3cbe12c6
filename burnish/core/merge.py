"""What did a person change? A save of the table becomes facts; what they did not touch becomes nothing.

Three texts meet here. *Base* is the text the person had before their eyes (`core.bases` finds it), *theirs* is what they saved,
*ours* is the state that the journal gives now. Only a difference between base and theirs is a wish. Where theirs reads like the
base, the person did nothing, and however much happened since, ours stands. So an editor that was open for an hour undoes nothing,
and four coordinators that merge the same save agree.

A wish becomes a fact only if ours does not say so already; merging a save twice is merging it once. Cells are the person's:
burnish never writes them, so theirs wins. The word in STATE is burnish's, with exceptions that a person may type over it:
`core.typed_over` is all of them, by what was typed and what the job is *now*.

A row is known by its JOB_ID. A row without one is new, unless the base has it: by its cells, in order, or by its place. That is
how a buffer in which the id is still missing can be saved a second time without making a second job. Likewise a row whose id was
spoilt (`1E+05`) is not a row that was deleted: while it stands there, a job with its cells counts as present; and while a row
stands there that resembles no job, none counts as deleted.

What is dangerous is refused with a sentence that says how to insist: a file without rows removes nothing (no column either), a
file that breaks off in the middle of a row changes nothing, `NOT_RUNNING` over a result reruns only if it is surely no old
buffer.

After `merge` the caller commits the facts together with `TableRendered(theirs.sha256, ids)`, keeps theirs as a base with these
ids, and renders. A sentence per row, but never a hundred: `core.notices` folds them.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Mapping

from msgspec import Struct

from burnish.core.bases import Base
from burnish.core.broken_off import breaks_off
from burnish.core.columns import CONTROL_COLUMNS
from burnish.core.events import (
    CancelRequested,
    ColumnsChanged,
    Fact,
    HoldRequested,
    JobChanged,
    JobMarked,
    JobRemoved,
    JobsAdded,
    ReleaseRequested,
    ResetRequested,
)
from burnish.core.ids import name_ids, to_type
from burnish.core.jobs import BY_HAND, CANCELLED, FOUND_RUNNING, FROM_FILE, GRACE, Job, JobId, Word
from burnish.core.notices import Notices
from burnish.core.table import CANCEL, Row, Table
from burnish.core.typed_over import TYPED_OVER, Answer, kept, left_alone, state_of, taken
from burnish.errors import counted, printable

BY_TABLE = "table"


class Merged(Struct, frozen=True):
    """Facts to commit in this order, sentences to show, and row number -> id for every row of the save that had no id.

    `refused`: the save is damaged; the next text is to be rendered from the base's table, not from the save's.
    """

    facts: list[Fact]
    notices: list[str]
    ids: dict[int, JobId]
    refused: bool = False


def merge(
    base: Base,
    theirs: Table,
    jobs: Mapping[JobId, Job],
    columns: tuple[str, ...],
    next_id: int,
    ambiguous: Collection[JobId] = frozenset(),
) -> Merged:
    """The facts that the save `theirs` of somebody who looked at `base` calls for, in the state `jobs`, `columns`, `next_id`.

    `ambiguous`: jobs whose word in the save may be an old text (`Choice.ambiguous`). Never raises.
    """
    if theirs.empty and (known := sum(not job.removed for job in jobs.values())):
        notice = (
            f"{theirs.name} is empty, but {counted(known, 'job is', 'jobs are')} known. Nothing was removed; the table is "
            "written again. To remove a table: burnish clean."
        )
        return Merged([], [notice], {}, refused=True)
    merging = _Merge(base, theirs, jobs, columns, next_id, frozenset(ambiguous))
    ids = merging.bind()
    if breaks_off(base, theirs, jobs, columns, ids):
        notice = (
            f"{theirs.where(theirs.rows[-1])}: the file breaks off in the middle of this row, as a save does on a full disk or "
            "in a loss of power. Nothing of it was taken; the table is written again. If the row is as you want it: save it "
            "with a newline behind it."
        )
        return Merged([], [notice], {}, refused=True)
    known = 0 if theirs.rows else sum(_listed(jobs, job_id) for job_id in base.numbers)
    if known:
        notice = (
            f"{theirs.name} has no rows, but {counted(known, 'job is', 'jobs are')} known. "
            "Nothing was removed; the table is written again. To remove a table: burnish clean."
        )
        return Merged([], [notice], {}, refused=True)
    return merging.run(ids)


def adopt(theirs: Table) -> Merged:
    """The facts that make the jobs of a table without a journal: results are believed, what was running is held.

    The caller puts `TableOpened` before them. For a table of the first burnish, one copied, or one restored from git.
    """
    first = max(theirs.index, default=-1) + 1
    ids = {number: JobId(first + count) for count, number in enumerate(_without_id(theirs))}
    marks: list[Fact] = []
    rows: list[tuple[object, ...]] = []
    notices = []
    for number, row in enumerate(theirs.rows):
        if not row.usable:
            continue
        job = ids[number] if row.id is None else row.id
        rows.append((job, *row.cells))
        if row.word in (Word.COMPLETE, Word.ERROR):
            marks.append(JobMarked(job, row.word, FROM_FILE))
        elif row.word == Word.RUNNING:
            marks.append(JobMarked(job, str(Word.HOLD), FOUND_RUNNING))
        elif row.word in (Word.HOLD, CANCEL):
            marks.append(HoldRequested(job, CANCELLED if row.word == CANCEL else ""))
    running = [mark.job for mark in marks if isinstance(mark, JobMarked) and mark.word == Word.HOLD]
    if running:
        notices.append(
            f"{theirs.name}: {counted(len(running), 'job stands', 'jobs stand')} there as RUNNING ({name_ids(running)}), but no "
            "journal here knows of a start, so burnish cannot see whether anything still runs. Put on HOLD, so that nothing "
            f"runs twice. Once nothing of theirs runs any more: burnish release --job_id {to_type(running)}"
        )
    return Merged([JobsAdded(theirs.columns, tuple(rows)), *marks] if rows else [], notices, ids)


def _without_id(table: Table) -> list[int]:
    return [number for number, row in enumerate(table.rows) if row.usable and row.id is None]


class _Merge:
    """One merge, step by step: columns, whose row is whose, each row, new rows, rows that went."""

    def __init__(
        self,
        base: Base,
        theirs: Table,
        jobs: Mapping[JobId, Job],
        columns: tuple[str, ...],
        next_id: int,
        ambiguous: frozenset[JobId],
    ) -> None:
        self.base, self.theirs, self.jobs, self.ambiguous = base, theirs, jobs, ambiguous
        self.columns, self.next_id = columns, max(next_id, max(theirs.index, default=-1) + 1)
        self.merged_columns = merged_columns(base.table.columns, theirs.columns, columns)
        self.same_columns = base.table.columns == theirs.columns
        self.ours_at = {column: place for place, column in enumerate(columns)}
        self.base_at = {column: place for place, column in enumerate(base.table.columns)}
        self.facts: list[Fact] = []
        self.new: list[tuple[object, ...]] = []
        self.notices = Notices(theirs.name)
        self.respelt: Counter[tuple[str, str, str]] = Counter()

    def run(self, ids: dict[int, JobId]) -> Merged:
        """`ids`: of rows without one that are jobs already (`bind`)."""
        taken = set(ids.values())
        # Over NFS a kept text may be ahead of the journal, and so may the ids in it.
        self.next_id = max([self.next_id, *(JobId(job + 1) for job in taken)])
        for number, row in enumerate(self.theirs.rows):
            job_id = row.id if row.id is not None else ids.get(number)
            if not row.usable:
                continue
            if job_id is None:
                ids[number] = job_id = JobId(self.next_id)
                self.next_id += 1
            job = self.jobs.get(job_id)
            before = self.base.row(job_id)
            if job is None or (job.removed and before is None):
                self.add(row, job_id, job)
            elif job.removed:
                what = f"job {job_id} was removed, and stays so. To run it: give the row a JOB_ID that was never used."
                self.notices.add("removed", row.line, what, job_id)
            elif before is None or row.raw != before.raw or job_id in self.ambiguous or not self.same_columns:
                self.change(row, before, job)
        self.remove(taken)
        changed: list[Fact] = [] if self.merged_columns == self.columns else [ColumnsChanged(self.merged_columns)]
        new_columns = tuple(column for column in self.theirs.columns if column in self.merged_columns)
        added: list[Fact] = [JobsAdded(new_columns, tuple(self.new))] if self.new else []
        self._name_respellings()
        return Merged([*changed, *added, *self.facts], self.notices.sentences(), ids)

    # -- whose row is whose ------------------------------------------------------------------------------------------

    def bind(self) -> dict[int, JobId]:
        """Row number -> id for rows without id that are jobs already, among jobs whose id is not in the save.

        First those of a kept text that reads exactly so. Then by cells, in order. Then by place, for a job that began without an
        id there: an edit in the buffer that it began in.
        """
        free = _without_id(self.theirs)
        if not free:
            return {}
        bound = {number: job for number, job in self.base.equal_ids.items() if number in set(free)}
        taken = {*bound.values(), *self.theirs.index}
        by_cells = self._jobs_by_cells(taken)
        for number in free:
            if number not in bound and (queue := by_cells.get(self.theirs.rows[number].cells)):
                bound[number] = queue.popleft()
                taken.add(bound[number])
        born = self.base.born | set(self.base.ids.values())
        at_place = {number: job for job, number in self.base.numbers.items() if job in born}
        shift = len(self.base.table.rows) - len(self.theirs.rows)
        for number in free:
            for place in (number, number + shift):
                job = at_place.get(place)
                if number not in bound and job is not None and job not in taken:
                    bound[number] = job
                    taken.add(job)
        return bound

    def _jobs_by_cells(self, taken: Collection[JobId]) -> dict[tuple[str, ...], deque[JobId]]:
        """Jobs that a row without id may be, in the order of the base, then those that came since.

        A job that was removed comes into question only for a row that had no id in the base either, and so is no wish.
        """
        by_cells: dict[tuple[str, ...], deque[JobId]] = defaultdict(deque)
        for job_id, number in sorted(self.base.numbers.items(), key=lambda entry: entry[1]):
            if job_id not in taken and (_listed(self.jobs, job_id) or number in self.base.ids):
                by_cells[self.base.table.rows[number].cells].append(job_id)
        if self.columns == self.theirs.columns:
            for job_id, job in self.jobs.items():
                if not job.removed and job_id not in taken and job_id not in self.base.numbers:
                    by_cells[job.cells].append(job_id)
        return by_cells

    # -- one row -----------------------------------------------------------------------------------------------------

    def add(self, row: Row, job_id: JobId, known: Job | None) -> None:
        """A row that the base has not, of a job that is not there (or was removed: then it is back, as it was)."""
        cells = zip(self.theirs.columns, row.cells, strict=True)
        self.new.append((job_id, *(text for column, text in cells if column in self.merged_columns)))
        if known is not None:
            self.notices.add("back", row.line, f"job {job_id} is back; it is {state_of(known)}.", job_id)
            return
        if row.word in (Word.HOLD, CANCEL):
            self.facts.append(HoldRequested(job_id, CANCELLED if row.word == CANCEL else ""))
        elif row.word in (Word.COMPLETE, Word.ERROR):
            self.facts.append(JobMarked(job_id, row.word, BY_HAND))
            what = f"the new job {job_id} says {row.word} and never ran. Kept, by hand. To run it: write RESET."
            self.notices.add("new mark", row.line, what, job_id)
        elif row.word == Word.RUNNING:
            self.notices.add(
                "new running", row.line, f"the new job {job_id} says RUNNING; it waits as NOT_RUNNING.", job_id
            )

    def change(self, row: Row, before: Row | None, job: Job) -> None:
        """The wishes in one row of a job that exists."""
        cells = self._edited(row, before, job)
        if cells:
            self.facts.append(JobChanged(job.id, cells))
        obeyed = self._obey(row, before, job)
        if cells:
            self._name_edit(row, job, cells, obeyed)

    def _obey(self, row: Row, before: Row | None, job: Job) -> bool:
        """Do what the row's word asks for, or say why not. True if the job does not stay as it is."""
        typed = row.word
        said = None if before is None else before.word
        # A row that lost its id says nothing sure about a job that has gone on since.
        in_doubt = job.id in self.ambiguous or (row.id is None and typed != said)
        if typed in ("", job.word.value) or (typed == said and not in_doubt):
            return False
        answer = TYPED_OVER[typed][job.word]
        if answer is Answer.MARK and job.open_attempt is not None:
            answer = Answer.IGNORE
        if answer is Answer.RERUN_IF_SURE:
            in_doubt |= said != job.word.value
            answer = Answer.RERUN
        steers = answer in (Answer.HOLD, Answer.STOP, Answer.RELEASE)
        costly = (answer is Answer.HOLD and job.word.final) or (answer is Answer.STOP and job.open_attempt is not None)
        costly |= answer in (Answer.RERUN, Answer.MARK) or (answer is Answer.RELEASE and row.id is None)
        if in_doubt and (costly or (steers and typed == said)):
            self.notices.add("doubt", row.line, kept(typed, job), job.id)
            return False
        if typed == said:
            return False
        if in_doubt and steers:
            self.notices.add("taken", row.line, taken(typed, answer is Answer.RELEASE, job), job.id)
        self._answer(answer, typed, row, job)
        return answer not in (Answer.NOTHING, Answer.IGNORE, Answer.REFUSE)

    def _answer(self, answer: Answer, typed: str, row: Row, job: Job) -> None:
        attempt = job.open_attempt
        if answer is Answer.RELEASE:
            self.facts.append(ReleaseRequested(job.id))
        elif answer is Answer.HOLD:
            if not job.hold_next:
                self.facts.append(HoldRequested(job.id))
        elif answer is Answer.RERUN:
            self.facts.append(ResetRequested(job.id))
        elif answer is Answer.MARK:
            self.facts.append(JobMarked(job.id, typed, BY_HAND))
        elif answer is Answer.STOP and attempt is None:
            self.facts.append(HoldRequested(job.id, CANCELLED))
        elif answer is Answer.STOP and attempt is not None:
            if attempt.cancelled_by is None:
                self.facts.append(CancelRequested(attempt.id, BY_TABLE, GRACE))
        elif answer in (Answer.IGNORE, Answer.REFUSE):
            self.notices.add(f"ignored {typed}", row.line, left_alone(typed, job), job.id)

    def _edited(self, row: Row, before: Row | None, job: Job) -> dict[str, str]:
        """Cells that the person typed anew and that ours does not have yet."""
        if before is not None and self.same_columns and row.cells == before.cells:
            return {}
        edited = {}
        for column, text in zip(self.theirs.columns, row.cells, strict=True):
            if column not in self.merged_columns:
                continue
            ours = job.cells[self.ours_at[column]] if column in self.ours_at else ""
            was = ours
            if before is not None and before.cells:
                was = before.cells[self.base_at[column]] if column in self.base_at else ""
            if text not in (was, ours):
                edited[column] = text
        return edited

    def _name_edit(self, row: Row, job: Job, cells: dict[str, str], obeyed: bool) -> None:
        """Say which text a job that has started or ended has; what a word typed into the same row moves on needs no word."""
        spelt = {c: (self._ours(job, c), text) for c, text in cells.items()}
        alike = {c: pair for c, pair in spelt.items() if respells(*pair)}
        self.respelt.update((column, *pair) for column, pair in alike.items())
        shown = [column for column in cells if column not in alike and column not in CONTROL_COLUMNS]
        ended = job.word.final and not obeyed
        if not shown or not (ended or job.open_attempt is not None):
            return
        column = shown[0]
        old, new = (printable(text, 60) for text in spelt[column])
        now = f"now reads {new}" if new else "is empty now"
        had = f"with {old}" if old else "without it"
        if job.open_attempt is not None:
            what = f"{column} {now}; job {job.id} goes on {had}. The new text is for its next attempt."
        else:
            what = f"{column} {now}; job {job.id} is {job.word} {had} and stays so. To run it again: write RESET."
        self.notices.add("edited", row.line, what, job.id)

    def _ours(self, job: Job, column: str) -> str:
        return job.cells[self.ours_at[column]] if column in self.ours_at else ""

    def _name_respellings(self) -> None:
        count = sum(self.respelt.values())
        if count < 3:
            return
        (column, old, new), _ = self.respelt.most_common(1)[0]
        self.notices.say(
            f"{self.theirs.name}: {count} cells are spelt anew ({column}: {printable(old, 40)} became {printable(new, 40)}); "
            "this looks like a spreadsheet's work. They are taken as they read now; jobs that have ended keep their results."
        )

    # -- rows that went ----------------------------------------------------------------------------------------------

    def remove(self, bound: Collection[JobId]) -> None:
        """Jobs whose row was in the base and is not in the save."""
        gone = [job_id for job_id in self.base.numbers if job_id not in self.theirs.index and job_id not in bound]
        gone = [job_id for job_id in gone if _listed(self.jobs, job_id)]
        if not gone:
            return
        present, resembled = self._spoilt(gone)
        if not resembled:
            self.notices.say(
                f"{self.theirs.name}: {counted(len(gone), 'row is', 'rows are')} gone (JOB_ID {name_ids(gone)}), but as long as "
                "there are rows without a readable JOB_ID, which may stand for them, no job is removed."
            )
            return
        for job_id in gone:
            if job_id in present:
                continue
            self.facts.append(JobRemoved(job_id))
            if self.jobs[job_id].word is Word.RUNNING:
                what = (
                    f"the row of job {job_id} is gone; the job runs on. To stop it: burnish cancel --job_id {job_id}."
                )
                self.notices.add("gone", None, what, job_id)

    def _spoilt(self, gone: list[JobId]) -> tuple[set[JobId], bool]:
        """(jobs that an unreadable row stands for, True if each unreadable row stands for one)."""
        cells = Counter(row.cells for row in self.theirs.nameless)
        present = set()
        for job_id in gone:
            row = self.base.row(job_id)
            if row is not None and row.cells and cells[row.cells] > 0:
                cells[row.cells] -= 1
                present.add(job_id)
        return present, not +cells


def _listed(jobs: Mapping[JobId, Job], job_id: JobId) -> bool:
    job = jobs.get(job_id)
    return job is not None and not job.removed


def merged_columns(base: tuple[str, ...], theirs: tuple[str, ...], ours: tuple[str, ...]) -> tuple[str, ...]:
    """The columns after a save: theirs if they were edited, with what ours gained meanwhile and without what it lost."""
    if theirs == base:
        return ours
    kept = [column for column in theirs if column in ours or column not in base]
    return (*kept, *(column for column in ours if column not in kept and column not in base))


def respells(old: str, new: str) -> bool:
    """True if `new` is `old` as a spreadsheet would put it: the same number (`1e-4`, `0.0001`) or word (`true`, `TRUE`)."""
    if old == new or not old or not new:
        return False
    if old.casefold() == new.casefold():
        return True
    try:
        return float(old) == float(new)
    except ValueError:
        return False
