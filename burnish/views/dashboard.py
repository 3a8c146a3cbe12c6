"""What stands at the foot of a terminal while `burnish run` goes on: how far it is, and what failed last.

The loop of the run counts, at most a few times a second, and leaves a `Progress` that never changes; a thread draws it twice a
second, so that the clock goes on while nothing happens. What is said meanwhile is printed above.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, TextIO

from msgspec import Struct, field

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import HostName, Job, JobId, Word
from burnish.core.pace import Pace
from burnish.core.state import State
from burnish.errors import counted, printable
from burnish.views import durations

if TYPE_CHECKING:
    from burnish.views.foot import Foot

COUNTED = 0.25  # s between two counts, at least
SHARE = 0.02  # of the run's time at most goes into counting
FAILURES = 3  # shown
HOSTS = 8  # shown
LONGEST_BAR = 40  # columns


class Busy(Struct, frozen=True):
    """A host of the run: how many slots are busy, of how many (None: not known), and how many jobs it has finished."""

    host: HostName
    busy: int
    slots: int | None
    finished: int


class Progress(Struct, frozen=True):
    """What is known at one moment. `left`: s that the rest may take, as long as jobs last as they did; None: nobody knows."""

    words: Counter[Word] = field(default_factory=Counter)
    hosts: tuple[Busy, ...] = ()
    failures: tuple[str, ...] = ()
    left: float | None = None
    at: float = 0.0  # monotonic

    @property
    def done(self) -> int:
        """Jobs that are over."""
        return self.words[Word.COMPLETE] + self.words[Word.ERROR]


class Dashboard:
    """Keeps a terminal's foot up to date: a context manager. `taken`: the jobs of the run, as they are when it counts.

    `slots` tells of each of the run's hosts how many slots are busy, and how many it has; `last_line` what a failed job wrote
    last, "" if nothing.
    """

    def __init__(
        self,
        err: TextIO,
        state: State,
        *,
        taken: Collection[JobId],
        slots: Callable[[], dict[HostName, tuple[int, int | None]]],
        last_line: Callable[[Job], str],
        colour: bool,
        most: int | None = None,
    ) -> None:
        self._err = err
        self._state = state
        self._taken = taken
        self._slots = slots
        self._last_line = last_line
        self._colour = colour
        self._most = most  # so many jobs are asked for
        self._began = time.monotonic()
        self._pace = Pace(COUNTED, SHARE)
        self._failures: deque[str] = deque(maxlen=FAILURES)
        self._progress = Progress()
        self._foot: Foot | None = None

    def __enter__(self) -> Dashboard:
        from burnish.views.foot import Foot

        self._foot = Foot(self._err, self._lines, colour=self._colour)
        self._foot.start()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._foot is not None:
            self._foot.stop()
            self._foot = None

    def say(self, line: str) -> None:
        """Print a line above the foot."""
        if self._foot is None:
            self._err.write(line + "\n")
        else:
            self._foot.say(line)

    def hear(self, facts: Sequence[Fact], state: State) -> bool:
        """Facts were committed: remember what failed, and count if it is time. False while nothing is drawn."""
        for fact in facts:
            if isinstance(fact, events.AttemptExited | events.AttemptLost | events.AttemptRefused):
                job = state.jobs[fact.attempt.job]
                if job.word is Word.ERROR:
                    said = self._last_line(job)
                    self._failures.append(printable(f"job {job.id} {job.reason}{f': {said}' if said else ''}", 300))
        if (now := time.monotonic()) >= self._pace.due:
            self._progress = self._counted(now)
            self._pace.done(now, time.monotonic())
        return self._foot is None or self._foot.in_front

    def _counted(self, now: float) -> Progress:
        jobs = [job for job_id in self._taken if not (job := self._state.jobs[job_id]).dropped]
        if self._most is not None:
            jobs.sort(key=lambda job: job.word is Word.NOT_RUNNING)  # what began counts, and of the rest what may begin
            jobs = jobs[: self._most]
        finished = Counter(end.host for job in jobs if job.word.final and (end := job.end) is not None)
        hosts = tuple(Busy(name, busy, slots, finished[name]) for name, (busy, slots) in self._slots().items())
        return Progress(
            Counter(job.word for job in jobs), hosts, tuple(self._failures), time_left(jobs, time.time()), now
        )

    def _lines(self, columns: int, rows: int) -> list[str]:
        now = time.monotonic()
        lines = foot(self._progress, now - self._began, now, columns - 1)
        return list(lines)[: max(1, rows - 2)]


def time_left(jobs: Iterable[Job], now: float) -> float | None:
    """Seconds until the last of `jobs` is over, if as many run at a time as now. None while none is COMPLETE or none runs.

    What waits takes as long as others took on average. What runs takes as long as those took that lasted longer than it has
    already; a job that has outlasted all of them, as long again. `now` is s since 1970.
    """
    waiting, lasted, running = 0, [], []
    for job in jobs:
        if job.word is Word.NOT_RUNNING:
            waiting += 1
        elif job.word is Word.RUNNING:
            if (attempt := job.open_attempt) is not None and attempt.started_at is not None:
                running.append(max(0.0, now - attempt.started_at))
        elif job.word is Word.COMPLETE and (end := job.end) is not None:
            lasted.append(end.duration or 0.0)
    if not lasted or not running:
        return None
    lasted.sort()
    sums = list(accumulate(lasted, initial=0.0))
    lasting = lasted + [elapsed for elapsed in running if elapsed > lasted[-1]]
    rests = [_rest(elapsed, lasted, sums) for elapsed in running]
    return max(*rests, (waiting * sum(lasting) / len(lasting) + sum(rests)) / len(running))


def _rest(elapsed: float, lasted: Sequence[float], sums: Sequence[float]) -> float:
    """What is left of a job that has run for `elapsed`, going by what others `lasted`, in order; `sums[i]`: of the first i."""
    shorter = bisect_right(lasted, elapsed)
    longer = len(lasted) - shorter
    return (sums[-1] - sums[shorter]) / longer - elapsed if longer else elapsed


def foot(progress: Progress, elapsed: float, now: float, width: int) -> Iterator[str]:
    """The lines of the foot, each at most `width` columns: the bar, the hosts, the newest failures."""
    total = progress.words.total()
    if not total:
        return
    left = (
        ""
        if progress.left is None
        else f", about {durations.short(max(0.0, progress.left - (now - progress.at)))} left"
    )
    parts = [f"{progress.done} of {total} done"]
    named = ((Word.ERROR, "failed"), (Word.RUNNING, "running"), (Word.NOT_RUNNING, "waiting"), (Word.HOLD, "held"))
    parts += [f"{progress.words[word]} {name}" for word, name in named if progress.words[word]]
    yield _cut(bar(progress.done, total, min(LONGEST_BAR, width // 3)) + " " + durations.short(elapsed) + left, width)
    yield _cut(", ".join(parts), width)
    for busy in progress.hosts[:HOSTS]:
        of = "" if busy.slots is None else f" of {counted(busy.slots, 'slot')}"
        yield _cut(f"  {busy.host}: {busy.busy}{of} busy, {busy.finished} done", width)
    if len(progress.hosts) > HOSTS:
        yield _cut(f"  … and {len(progress.hosts) - HOSTS} more hosts", width)
    for failure in progress.failures:
        yield _cut(f"  {failure}", width)


def bar(done: int, total: int, width: int) -> str:
    """`━━━━╌╌╌╌`: how much of `total` is done, in `width` columns."""
    full = width * done // total
    return "━" * full + "╌" * (width - full)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: max(0, width - 1)] + "…"
