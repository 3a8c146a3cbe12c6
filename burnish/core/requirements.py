"""What a job asks of the place and time of its run: its control columns, read. Pure.

An empty cell asks for nothing. One that cannot be read is a fault of its row, which the table's reader names and passes over; it
asks for nothing here. Whoever starts a run may give TIME_LIMIT and RETRIES for all jobs; a cell goes before that.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from burnish.core import durations
from burnish.core.columns import CONTROL_COLUMNS, fault
from burnish.core.jobs import Job, JobId, Word
from burnish.core.phases import Phase, phase
from burnish.core.state import State

SHOWN_RING = 20  # jobs that wait for each other

_WORDS = re.compile(r"--\S+|[^\s,]+")  # of a HOSTS cell: commas belong to an option, and stand between names


class Requirements(Struct, frozen=True):
    """`gpus` devices of one host, None for one slot of any kind; one of `hosts` (names, globs, groups), empty for any.

    `sbatch`: where on a cluster, as options of sbatch by name. `time_limit` in s, `retries` after failures of its own.
    `after`: ranges of ids, ends included, that must be COMPLETE first.
    """

    gpus: int | None = None
    hosts: tuple[str, ...] = ()
    time_limit: float | None = None
    retries: int | None = None
    after: tuple[range, ...] = ()
    sbatch: tuple[tuple[str, str], ...] = ()

    @property
    def only_slurm(self) -> bool:
        """True if only a cluster will do: no host is named, and the nodes are Slurm's."""
        return bool(self.sbatch) and not self.hosts


NOTHING = Requirements()


def requirements(job: Job, state: State) -> Requirements:
    """What the control cells of `job` ask for."""
    places = _places(state.columns)
    return _read(places, tuple([job.cells[place] for _, place in places])) if places else NOTHING


@lru_cache(maxsize=1000)
def _read(places: tuple[tuple[str, int], ...], cells: tuple[str, ...]) -> Requirements:
    """What control cells ask for: many jobs have the same, so that they are seldom read anew, and shared."""
    named = zip((name for name, _ in places), cells, strict=True)
    texts = {name: text for name, cell in named if (text := cell.strip()) and fault(name, text) is None}
    if not texts:
        return NOTHING
    words = _WORDS.findall(texts.get("HOSTS", ""))
    return Requirements(
        gpus=int(texts["GPUS"]) if "GPUS" in texts else None,
        hosts=tuple(word for word in words if not word.startswith("--")),
        time_limit=durations.parse(texts["TIME_LIMIT"]) if "TIME_LIMIT" in texts else None,
        retries=int(texts["RETRIES"]) if "RETRIES" in texts else None,
        after=tuple(_ranges(texts.get("AFTER", ""))),
        sbatch=tuple(sorted(dict(word[2:].split("=", 1) for word in words if word.startswith("--")).items())),
    )


def priority(job: Job, state: State) -> float:
    """The PRIORITY cell; 0 when there is none or it is no number (which `core.table` names to the user)."""
    if "PRIORITY" not in state.columns:
        return 0.0
    try:
        value = float(job.cells[state.columns.index("PRIORITY")] or 0)
    except ValueError:
        return 0.0
    return value if value == value else 0.0  # nan has no place in an order


def unmet(after: tuple[range, ...], state: State) -> JobId | None:
    """The first of these jobs that is not COMPLETE, or that the table never had; None if there is none."""
    for ids in after:
        for number in ids:
            job = state.jobs.get(JobId(number))
            if job is None or phase(job) is not Phase.COMPLETE:
                return JobId(number)
    return None


def why_blocked(state: State, job_id: JobId, never: Mapping[JobId, str] | None = None) -> str:
    """Why a job that waits for others is not started: a clause. Whoever asks for many gives what `why_never_met` says."""
    if misnaming := misnamed(state, job_id) if never is None else never.get(job_id, ""):
        return misnaming
    watched = unmet(requirements(state.jobs[job_id], state).after, state)
    return "" if watched is None else f"it comes after job {watched}, which is {state.jobs[watched].word}"


def misnamed(state: State, job_id: JobId) -> str:
    """What is wrong with the AFTER of a job so that it can never be started, a clause; "" if nothing is."""
    if ring := circle(job_id, state):
        return "by AFTER it waits for itself: " + ", ".join(map(str, ring)) + f", {job_id}"
    for ids in requirements(state.jobs[job_id], state).after:
        for number in ids:
            if JobId(number) not in state.jobs:
                return f"its AFTER names job {number}, which the table does not have"
    return ""


def circle(job_id: JobId, state: State) -> tuple[JobId, ...]:
    """The jobs that wait for each other by AFTER, `job_id` first; empty if it waits for none that waits for it."""
    path: list[JobId] = []
    seen: set[JobId] = set()
    waiting: list[Iterator[JobId]] = [iter((job_id,))]
    while waiting:
        current = next(waiting[-1], None)
        if current is None:
            waiting.pop()
            del path[max(0, len(waiting) - 1) :]
        elif path and current == job_id:
            return tuple(path)
        elif current not in seen and (job := state.jobs.get(current)) is not None:
            seen.add(current)
            path.append(current)
            waiting.append(JobId(number) for ids in requirements(job, state).after for number in ids)
    return ()


class _Tangle(NamedTuple):
    """What stands in AFTER: the ids of each job that has some; the jobs that name one which is not there, by its id; and the jobs
    that wait in a circle, or behind one, with how many of those each of them waits for.
    """

    after: dict[JobId, tuple[range, ...]]
    unknown: dict[JobId, list[JobId]]
    left: dict[JobId, int]


def _tangle(state: State) -> _Tangle:
    """Costs what stands in AFTER, whatever the length of its chains."""
    listed = (job for job in state.listed() if job.word is not Word.COMPLETE)
    after = {job.id: asked.after for job in listed if (asked := requirements(job, state)).after}
    found = _Tangle(after, {}, {})
    followers: dict[JobId, list[JobId]] = {}
    for job_id, ranges in after.items():
        named = {JobId(number) for ids in ranges for number in ids}
        missing = min((number for number in named if number not in state.jobs), default=None)
        if missing is not None:
            found.unknown.setdefault(missing, []).append(job_id)
        waits_for = [other for other in named if other in after]
        found.left[job_id] = len(waits_for)
        for other in waits_for:
            followers.setdefault(other, []).append(job_id)
    free = [job_id for job_id, count in found.left.items() if not count]
    while free:
        job_id = free.pop()
        del found.left[job_id]
        for follower in followers.get(job_id, ()):
            found.left[follower] -= 1
            if not found.left[follower]:
                free.append(follower)
    return found


def unmeetable(state: State) -> frozenset[JobId]:
    """The jobs whose AFTER can never be met: all for which `misnamed` has a word, and those that wait for them in a circle."""
    if "AFTER" not in state.columns:
        return frozenset()
    found = _tangle(state)
    return frozenset(found.left).union(*found.unknown.values())


def never_met(state: State) -> Iterator[tuple[list[JobId], str]]:
    """Jobs whose AFTER can never be met, with the rest of a sentence that begins with them."""
    if "AFTER" not in state.columns:
        return
    after, unknown, left = _tangle(state)
    for missing, ids in unknown.items():
        yield ids, f"{'its' if len(ids) == 1 else 'their'} AFTER names job {missing}, which the table does not have"
    for ring, ids in _rings(after, left):
        yield ids, f"by AFTER, job {ring[0]} waits for itself: {_round(ring, 0)}"


def why_never_met(state: State) -> dict[JobId, str]:
    """Of each job whose AFTER can never be met, why: a clause. Costs less than to ask `why_blocked` for each of many."""
    return {job_id: why for ids, why in never_met(state) for job_id in ids}


class Circles:
    """Which jobs wait for themselves by AFTER. It is looked for behind those that are asked about, and nowhere twice."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._seen: set[JobId] = set()
        self._found: dict[JobId, str] = {}

    def why(self, job_id: JobId) -> str:
        """That this job waits for itself, a clause; "" if it was found in no circle. Of two circles that share a job, one is."""
        self._follow(job_id)
        return self._found.get(job_id, "")

    def _follow(self, job_id: JobId) -> None:
        path: dict[JobId, int] = {}  # from `job_id` on, each with its place
        waiting: list[Iterator[JobId]] = [iter((job_id,))]
        while waiting:
            current = next(waiting[-1], None)
            if current is None:
                waiting.pop()
                if path:
                    self._seen.add(path.popitem()[0])
            elif current in path:
                ring = list(path)[path[current] :]
                for place, other in enumerate(ring):
                    self._found.setdefault(other, f"waits for itself by AFTER: {_round(ring, place)}")
            elif current not in self._seen and (job := self._state.jobs.get(current)) and job.word is not Word.COMPLETE:
                path[current] = len(path)
                after = requirements(job, self._state).after
                waiting.append(JobId(number) for ids in after for number in ids)


def _round(ring: Sequence[JobId], place: int) -> str:
    """`2, 3, 1, 2`: the jobs of a circle from a place in it back to that."""
    shown = [ring[(place + step) % len(ring)] for step in range(min(len(ring), SHOWN_RING))]
    return ", ".join([*map(str, shown), *(["…"] if len(ring) > SHOWN_RING else []), str(ring[place])])


def _rings(after: Mapping[JobId, tuple[range, ...]], left: Collection[JobId]) -> list[tuple[list[JobId], list[JobId]]]:
    """The circles among these jobs, each of which waits for another one of them; with each the jobs in it and behind it."""
    found: list[tuple[list[JobId], list[JobId]]] = []
    leads_to: dict[JobId, int] = {}
    for job_id in left:
        path: dict[JobId, None] = {}
        current = job_id
        while current not in path and current not in leads_to:
            path[current] = None
            current = next(JobId(number) for ids in after[current] for number in ids if number in left)
        if current in path:
            order = [*path]
            found.append((order[order.index(current) :], []))
            leads_to.update(dict.fromkeys(path, len(found) - 1))
        else:
            leads_to.update(dict.fromkeys(path, leads_to[current]))
        found[leads_to[job_id]][1].append(job_id)
    return found


@lru_cache(maxsize=8)
def _places(columns: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """The control columns of a table, and where their cells are. PRIORITY, which says when and not where, is read by itself."""
    return tuple((name, columns.index(name)) for name in CONTROL_COLUMNS if name in columns and name != "PRIORITY")


def _ranges(text: str) -> Iterator[range]:
    for part in text.replace(",", " ").replace(";", " ").split():
        first, _, last = part.partition("-")
        yield range(int(first), int(last or first) + 1)
