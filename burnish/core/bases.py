"""Which text did a person have before their eyes when they made this save? Bases are the texts that an editor's buffer may hold.

Each text that burnish put in place and each save that it merged is kept for a while. The base of a save is the kept text with
the fewest differing rows; on a tie that with the fewest differing cells in them, then the newest. So a buffer that is an hour
old is compared with the text of an hour ago, and what happened since is not undone by it.

Three cases cannot be told apart by counting, and each is decided so that no result is lost:

- A save that is *exactly* an older text is either an old buffer or an edit taken back. If a later save, or the newest text,
  differs from it in nothing but what people write (the newest: in words), it was changed back, and is the base.
- `NOT_RUNNING` over a result is a wish or an old buffer. It is in doubt if another text that is as near says the same, or if the
  text that was open may be one that is no longer kept and the row changed around then. A text that lacks a result which the
  save shows was overtaken: nobody had it open.
- `RESET`, `HOLD` or `CANCEL` again in a text that was merged before is in doubt likewise, also where that text is taken for a
  later save taken back.

`Choice.ambiguous` names the jobs in doubt. Their results stay, what runs goes on, and `core.merge` says how to insist. A job that
waits or is held is released or held as the save says, and how to have it otherwise is said.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property, lru_cache
from itertools import pairwise

from msgspec import Struct, field

from burnish.core.jobs import JobId, Word
from burnish.core.table import CANCEL, RESET, Row, Table, parse, parse_id

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
KEPT_ALWAYS = 20
PERSONAL = frozenset(
    {"", str(Word.NOT_RUNNING), str(Word.HOLD), RESET, CANCEL}
)  # words that a person may well have typed
DOUBTFUL = frozenset({*map(str, Word), RESET, CANCEL} - {str(Word.RUNNING)})


class Base(Struct, eq=False, dict=True):
    """A text that an editor may hold. `read` gives its bytes; nothing is read before it is needed.

    `at`: when it was put in place or merged (s since 1970). `ids`: row number -> id, for rows whose JOB_ID is empty in it.
    `follows`: sha256 of the text that stood there before (None: it was the first); `followed`: of those before which it stood
    there, too, if it did so more than once. `saved`: a person wrote it.

    Known once it was chosen for a save: `born`, jobs that began as rows without id in any kept text; `equal_ids`, the `ids` of
    the kept text that reads exactly like the save.
    """

    sha256: str
    at: float
    read: Callable[[], bytes]
    ids: Mapping[int, JobId] = field(default_factory=dict)
    follows: str | None = None
    saved: bool = False
    followed: frozenset[str] = frozenset()
    born: frozenset[JobId] = frozenset()
    equal_ids: Mapping[int, JobId] = field(default_factory=dict)
    _step: tuple[str, frozenset[str], frozenset[str]] | None = None

    @classmethod
    def of(
        cls,
        table: Table,
        at: float,
        ids: Mapping[int, JobId] | None = None,
        follows: str | None = None,
        saved: bool = False,
        followed: frozenset[str] = frozenset(),
    ) -> Base:
        """The base that `table` is, without reading anything."""
        base = cls(table.sha256, at, lambda: table.data, ids or {}, follows, saved, followed)
        base.__dict__["table"] = table
        return base

    @cached_property
    def table(self) -> Table:
        """Its rows."""
        return parse(self.read())

    @property
    def in_memory(self) -> bool:
        """True if nothing has to be read to know its rows."""
        return "table" in self.__dict__

    def forget(self) -> None:
        """Drop the rows from memory; they are read again when needed."""
        self.__dict__.pop("table", None)
        self.__dict__.pop("numbers", None)

    @cached_property
    def numbers(self) -> Mapping[JobId, int]:
        """id -> row number, ids given to rows without one included."""
        return (
            {**{job: number for number, job in self.ids.items()}, **self.table.index} if self.ids else self.table.index
        )

    def row(self, job: JobId) -> Row | None:
        """The row of that job in this text."""
        number = self.numbers.get(job)
        return None if number is None else self.table.rows[number]

    def word(self, job: JobId) -> str | None:
        """What this text says in the row of that job; None without such a row."""
        row = self.row(job)
        return None if row is None else row.word

    def step_from(self, newer: Base) -> tuple[frozenset[str], frozenset[str]]:
        """(lines that `newer` has and this text has not, the reverse). Remembered: two texts in a row differ little."""
        if self._step is None or self._step[0] != newer.sha256:
            before, after = _differing(self, newer)
            self._step = newer.sha256, after - before, before - after
        return self._step[1:]

    def step_over(self, newer: Base) -> None:
        """`newer`, the text after this one, is no longer kept: two steps that are remembered become one."""
        if self._step is None or newer._step is None or self._step[0] != newer.sha256:
            return
        _, gained, lost = self._step
        following, gained_then, lost_then = newer._step
        self._step = following, ((gained - lost_then) | gained_then) - lost, (lost - gained_then) | (lost_then - gained)


class Choice(Struct, frozen=True):
    """The base of a save, and the jobs whose word in that save may be a wish or an old text."""

    base: Base
    ambiguous: frozenset[JobId] = frozenset()


def choose(bases: Sequence[Base], theirs: Table) -> Choice:
    """The base of the save `theirs`. `bases`: oldest first, at least one; the last is the text that the save replaced."""
    try:
        return _choose(bases, theirs)
    finally:
        _lines.cache_clear()


def _choose(bases: Sequence[Base], theirs: Table) -> Choice:
    mine = frozenset(lines_of(theirs.data))
    distances = _distances(bases, mine)
    least = min(distances)
    nearest = [number for number, distance in enumerate(distances) if distance == least]
    nearest = [number for number in nearest if not _overtaken(bases[number], bases[-1], mine)] or nearest
    undone = _changed_back(bases, nearest[-1], mine) if least == 0 else None
    if undone is not None:
        nearest = [undone]
    newest = bases[-1]
    base = bases[_fewest_cells(bases, nearest, mine) if least else nearest[-1]]
    chosen = copy(base)
    chosen.__dict__.update(base.__dict__)  # its rows, if they are in memory: a copy of a struct has its fields only
    chosen.born = frozenset(job for base in bases for job in base.ids.values())
    chosen.equal_ids = next((base.ids for base in reversed(bases) if base.sha256 == theirs.sha256), {})
    if chosen.sha256 == newest.sha256 and len(nearest) == 1 and undone is None and not _across_gaps(bases, nearest):
        return Choice(chosen)
    candidates = {
        row.id: row.word
        for row in theirs.rows
        if row.usable and row.id is not None and row.word in DOUBTFUL and row.word != newest.word(row.id)
    }
    # What an older text asked for was done when that was saved: it is asked for again only if this is no old buffer.
    asked = DOUBTFUL if undone == len(bases) - 1 and not newest.saved else {RESET, str(Word.HOLD), CANCEL}
    wishes = () if undone is None else (job for job, word in candidates.items() if word in asked)
    return Choice(chosen, frozenset([*wishes, *_in_doubt(bases, nearest, candidates)]))


def lines_of(data: bytes) -> list[str]:
    """The lines of a text that are not blank, without their ends."""
    text = data.decode("utf-8").removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    return list(filter(None, text.split("\n")))


@lru_cache(maxsize=3)
def _lines(base: Base) -> list[str]:
    return lines_of(base.read())


def _differing(one: Base, other: Base) -> tuple[frozenset[str], frozenset[str]]:
    """The lines of either text where they differ. Rows stay in place, as a rule: then only equal places are compared."""
    if one.in_memory and other.in_memory and one.table.head == other.table.head:
        here, there = _unlike(one.table.records, other.table.records)
        return frozenset(lines_of("".join(here).encode())), frozenset(lines_of("".join(there).encode()))
    here, there = _unlike(_lines(one), _lines(other))
    return frozenset(here), frozenset(there)


def _unlike(here: list[str], there: list[str]) -> tuple[Sequence[str], Sequence[str]]:
    if len(here) != len(there):
        return here, there
    pairs = [pair for pair in zip(here, there, strict=True) if pair[0] != pair[1]]
    return [one for one, _ in pairs], [other for _, other in pairs]


def _distances(bases: Sequence[Base], mine: frozenset[str]) -> list[int]:
    """How many rows of a save differ from each base, at least. From newest to oldest, by the little that they differ."""
    lines = frozenset(_lines(bases[-1]))
    size, shared = len(lines), len(lines & mine)
    distances = [max(size, len(mine)) - shared]
    for newer, older in pairwise(reversed(bases)):
        lost, gained = older.step_from(newer)
        size += len(gained) - len(lost)
        shared += len(gained & mine) - len(lost & mine)
        distances.append(max(size, len(mine)) - shared)
    return distances[::-1]


def _fewest_cells(bases: Sequence[Base], nearest: Sequence[int], mine: frozenset[str]) -> int:
    """Which of these texts differs from a save in the fewest of the cells that are people's, the newest on a tie.

    Two people at one row: the second has not seen what the first typed there, and takes nothing of it back.
    """
    if len(nearest) == 1:
        return nearest[0]
    return min(reversed(nearest), key=lambda number: _differing_cells(frozenset(_lines(bases[number])), mine))


def _differing_cells(lines: frozenset[str], mine: frozenset[str]) -> float:
    """In rows that have an id; infinity where some of these, or columns, are in one of the texts only."""
    before, after = _fields(lines - mine, lines), _fields(mine - lines, mine)
    if before is None or after is None:
        return math.inf
    there = {job: cells for job, _, cells in before if job is not None}
    here = {job: cells for job, _, cells in after if job is not None}
    if there.keys() != here.keys():
        return math.inf
    return sum(one != other for job in here for one, other in zip(there[job], here[job], strict=False))


def _overtaken(base: Base, newest: Base, mine: frozenset[str]) -> bool:
    """True if the save shows what burnish wrote after `base`: somebody who looked at `base` could not know it."""
    if base is newest:
        return False
    lines = frozenset(_lines(base))
    before, after = _records(lines - mine, lines), _records(mine - lines, mine)
    if before is None or after is None:
        return False
    later = {job: word for job, word in after.items() if word not in PERSONAL and before.get(job) not in (None, word)}
    return any(job is not None and word == newest.word(job) for job, word in later.items())


def _changed_back(bases: Sequence[Base], equal: int, mine: frozenset[str]) -> int | None:
    """The newest after `bases[equal]`, which reads like this save, that differs from it only in what people write.

    It is a save; or the text that stands there, if nothing but words differs: somebody held a job by a command, say, and somebody
    typed over that. Nobody types away at once what a command has added: that is an old buffer.
    """
    for number in range(len(bases) - 1, equal, -1):
        lines, newest = frozenset(_lines(bases[number])), number == len(bases) - 1
        typed = bases[number].saved or (newest and _differing_cells(lines, mine) == 0)
        if typed and _only_people_wrote(lines, mine):
            return number
    return None


def _only_people_wrote(theirs: frozenset[str], mine: frozenset[str]) -> bool:
    before, after = _records(theirs - mine, theirs), _records(mine - theirs, mine)
    if before is None or after is None:
        return False
    both = before.keys() & after.keys() - {None}
    if not {before.get(None, ""), after.get(None, "")} <= PERSONAL:
        return False  # whose result that is cannot be seen
    return all(before[job] == after[job] or {before[job], after[job]} <= PERSONAL for job in both)


def _records(lines: frozenset[str], all_lines: frozenset[str]) -> dict[JobId | None, str] | None:
    """id -> word of single lines; None if the header is among them or a line is no whole record.

    Under None: a word of a line without id, one that no person types if there is such.
    """
    rows = _fields(lines, all_lines)
    if rows is None:
        return None
    found: dict[JobId | None, str] = {}
    for job, word, _ in rows:
        if job is not None or found.get(job, "") in PERSONAL:
            found[job] = word
    return found


def _fields(lines: frozenset[str], all_lines: frozenset[str]) -> list[tuple[JobId | None, str, list[str]]] | None:
    """(id, word, cells) of single lines; None if the header is among them or a line is no whole record."""
    header = next((line for line in all_lines if "JOB_ID" in line and "STATE" in line), "")
    names = [name.strip() for name in next(csv.reader([header]), [])]
    if header in lines or not {"JOB_ID", "STATE"} <= set(names):
        return None
    id_at, word_at = names.index("JOB_ID"), names.index("STATE")
    rows = []
    for line in lines:
        try:
            fields = next(csv.reader([line], strict=True))
        except csv.Error:
            return None
        if len(fields) != len(names):
            return None
        cells = [text for at, text in enumerate(fields) if at not in (id_at, word_at)]
        rows.append((parse_id(fields[id_at].strip()), fields[word_at].strip().upper(), cells))
    return rows


def _across_gaps(bases: Sequence[Base], nearest: Sequence[int]) -> list[tuple[Base, Base | None]]:
    """(a nearest text, the kept text on the other side of texts no longer kept beside it; None: nothing older is kept)."""
    pairs: list[tuple[Base, Base | None]] = []
    by_name = {base.sha256: base for base in bases}
    for number in nearest:
        base = bases[number]
        if number == 0:
            pairs += [(base, None)] if base.follows is not None else []
        elif not _adjoin(bases[number - 1], base, by_name):
            pairs.append((base, bases[number - 1]))
        if number + 1 < len(bases) and not _adjoin(base, bases[number + 1], by_name):
            pairs.append((base, bases[number + 1]))
        pairs += [(base, None)] if base.followed - by_name.keys() else []
    return pairs


def _adjoin(older: Base, newer: Base, by_name: Mapping[str, Base]) -> bool:
    """True if nothing stood there between them, or only a text that has come to stand there again since."""
    between = by_name.get(newer.follows or "")
    return newer.follows == older.sha256 or (between is not None and older.sha256 in between.followed)


def _in_doubt(bases: Sequence[Base], nearest: Sequence[int], candidates: Mapping[JobId, str]) -> Iterator[JobId]:
    left = dict(candidates)
    for number in nearest:  # oldest first: the likeliest to settle all at once
        if not left:
            return
        for job in [job for job, word in left.items() if bases[number].word(job) == word]:
            del left[job]
            yield job
    for base, beyond in _across_gaps(bases, nearest):
        for job in [job for job, word in left.items() if word not in (RESET, Word.HOLD, CANCEL)]:
            if beyond is None or beyond.word(job) != base.word(job):
                del left[job]
                yield job


def kept(times: Sequence[float], now: float) -> set[int]:
    """Which of these texts are kept: the last 20, the newest of each minute for an hour, of each hour for a day.

    `times` and `now` in s since 1970, oldest first; gives indices into `times`.
    """
    keep = set(range(max(0, len(times) - KEPT_ALWAYS), len(times)))
    for span, reach in ((MINUTE, HOUR), (HOUR, DAY)):
        newest_of = {int(at // span): number for number, at in enumerate(times) if now - at < reach}
        keep.update(newest_of.values())
    return keep
