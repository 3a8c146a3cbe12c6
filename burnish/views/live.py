"""What `burnish run` says while it runs: plain lines on stderr, also where nobody looks at a terminal.

A failure is said when it happens, with the command that shows its log; progress every few seconds while something
changes, and once at the end.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.ids import name_ids
from burnish.core.jobs import Job, JobId, Word
from burnish.core.state import State
from burnish.views import durations

BEAT = 10.0  # s between two lines about progress
SHOWN_FAILURES = 20  # told one by one; more are counted

_ENDS = (events.AttemptExited, events.AttemptLost, events.AttemptRefused, events.AttemptVoided)


class Voice:
    """Turns news into lines. `say` gets one line at a time."""

    def __init__(
        self,
        say: Callable[[str], None],
        state: State,
        *,
        quiet: bool = False,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._state = state
        self._quiet = quiet
        self._verbose = verbose
        self._clock = clock
        self._began = self._last = clock()
        self._failures = 0

    def hear(self, facts: Sequence[Fact], state: State) -> None:
        """Facts were committed, by this run or by others."""
        for fact in facts:
            if isinstance(fact, _ENDS):
                self._tell_end(state.jobs[fact.attempt.job])
            elif isinstance(fact, events.AttemptStarted) and self._verbose:
                job = state.jobs[fact.attempt.job]
                self._say(f"job {job.id} runs on {job.attempts[-1].host}, pid {fact.pid}")
            elif isinstance(fact, events.HostDrained | events.HostUndrained | events.HostForgotten):
                self._say(_told_of_host(fact))
        if not self._quiet and self._clock() - self._last >= BEAT:
            self._last = self._clock()
            self._say(progress(state.listed()))

    def _tell_end(self, job: Job) -> None:
        if job.word is not Word.ERROR:
            if self._verbose:
                self._say(f"job {job.id} {job.word} {job.reason}".rstrip())
            return
        self._failures += 1
        if self._failures <= SHOWN_FAILURES or self._verbose:
            self._say(f"job {job.id} ERROR, {job.reason} (burnish view {job.id} --stderr)")
        elif self._failures == SHOWN_FAILURES + 1:
            self._say("more jobs fail; burnish view --errors shows them all")

    def summary(self, taken: Collection[JobId], stopped_by: int | None) -> None:
        """The last words of a run."""
        jobs = [self._state.jobs[job_id] for job_id in sorted(taken)]
        if stopped_by is not None:
            self._say(f"Stopped by {signal.Signals(stopped_by).name}. {_what_runs_on(jobs)}")
        elif not self._quiet:
            took = durations.short(self._clock() - self._began)
            self._say(f"{progress(jobs)}, in {took}" if jobs else "Nothing to run: no job is NOT_RUNNING")


def _told_of_host(fact: events.HostDrained | events.HostUndrained | events.HostForgotten) -> str:
    match fact:
        case events.HostDrained(host, reason):
            return f"{host} is drained{f' ({reason})' if reason else ''}: it takes no new jobs until burnish undrain {host}"
        case events.HostUndrained(host):
            return f"{host} takes jobs again"
        case events.HostForgotten(host):
            return f"{host} was forgotten: its jobs are LOST"


def progress(jobs: Iterable[Job]) -> str:
    """`12 of 36 done, 1 ERROR, 4 RUNNING`."""
    words = Counter(job.word for job in jobs)
    done = words[Word.COMPLETE] + words[Word.ERROR]
    parts = [f"{done} of {sum(words.values())} done"]
    parts += [f"{words[word]} {word}" for word in (Word.ERROR, Word.RUNNING, Word.HOLD) if words[word]]
    return ", ".join(parts)


def _what_runs_on(jobs: Sequence[Job]) -> str:
    alive = [job.id for job in jobs if job.open_attempt is not None]
    if not alive:
        return "No job is running."
    return (
        f"{'Job' if len(alive) == 1 else 'Jobs'} {name_ids(alive)} {'runs' if len(alive) == 1 else 'run'} on. "
        "The same burnish run takes them back; burnish cancel --all stops them."
    )
