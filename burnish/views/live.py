"""What `burnish run` says while it runs: plain lines on stderr, also where nobody looks at a terminal.

A failure is said when it happens, with the command that shows its log; progress every few seconds while something
changes, and once at the end.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.explain import more_of
from burnish.core.ids import name_ids, name_run, to_type
from burnish.core.jobs import FAILED, FOUND_RUNNING, Attempt, CoordinatorId, Job, JobId, Word
from burnish.core.state import State
from burnish.errors import counted, printable
from burnish.views import durations

BEAT = 10.0  # s between two lines about progress
SHOWN_FAILURES = 20  # told one by one; more are counted

_ENDS = (*events.ENDS, events.AttemptRefused)
_OF_HOSTS = (events.HostDrained, events.HostUndrained, events.HostForgotten)


class Voice:
    """Turns news into lines. `say` gets one line at a time; `more` tells the command that shows more of a failed job."""

    def __init__(
        self,
        say: Callable[[str], None],
        state: State,
        *,
        quiet: bool = False,
        verbose: bool = False,
        more: Callable[[Job], str] = more_of,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._state = state
        self._quiet = quiet
        self._verbose = verbose
        self._more = more
        self._clock = clock
        self._began = self._last = clock()
        self._failures = 0
        self.taken: Collection[JobId] | None = None  # the jobs of the run, which progress is of; None: all
        self.few = False  # only so many of them are asked for: those that wait are no part of what is to be done
        # Shows the progress instead, and hears as we do. False while it cannot.
        self.foot: Callable[[Sequence[Fact], State], bool] | None = None

    def hear(self, facts: Sequence[Fact], state: State) -> None:
        """Facts were committed, by this run or by others; or none, and time has passed."""
        for fact in facts:
            if isinstance(fact, _ENDS):
                self._tell_end(state.jobs[fact.attempt.job])
            elif isinstance(fact, events.AttemptStarted) and self._verbose:
                job = state.jobs[fact.attempt.job]
                self._say(f"job {job.id} runs on {job.attempts[-1].host}, pid {fact.pid}")
            elif isinstance(fact, events.StartsHalted):
                self._say(
                    f"Nothing more is started: {printable(fact.why)}. What runs goes on; the next burnish run goes on."
                )
            elif isinstance(fact, _OF_HOSTS):
                self._say(_told_of_host(fact))
        shown = self.foot is not None and self.foot(facts, state)
        if not shown and facts and not self._quiet and self._clock() - self._last >= BEAT:
            self._last = self._clock()
            jobs = state.listed() if self.taken is None else [state.jobs[job_id] for job_id in self.taken]
            self._say(progress(jobs, few=self.few))

    def _tell_end(self, job: Job) -> None:
        if job.word is not Word.ERROR:
            if self._verbose or job.reason.startswith(("again: ", FAILED)):
                self._say(f"job {job.id} {job.word} {job.reason}".rstrip())
            return
        self._failures += 1
        if self._failures <= SHOWN_FAILURES or self._verbose:
            self._say(f"job {job.id} ERROR, {job.reason} ({self._more(job)})")
        elif self._failures == SHOWN_FAILURES + 1:
            self._say("more jobs fail; burnish view --errors shows them all")

    def summary(
        self,
        taken: Collection[JobId],
        stopped_by: int | None,
        me: CoordinatorId,
        others: Collection[CoordinatorId],
        skipped: int = 0,
        stuck: Mapping[JobId, str] = MappingProxyType({}),
    ) -> None:
        """The last words of a run: what became of the jobs it took up, and who looks after those that run on.

        `me` is this run, `others` are those that live; `skipped`: how many rows of the table could not be read;
        `stuck`: jobs that could not be started, and why, a clause.
        """
        jobs = [self._state.jobs[job_id] for job_id in sorted(taken)]
        left = list(_what_runs_on(jobs, me, others))
        if stopped_by is not None:
            self._say(f"Stopped by {signal.Signals(stopped_by).name}. {' '.join(left) or 'No job is running.'}")
        elif not self._quiet:
            took = durations.short(self._clock() - self._began)
            self._say(f"{progress(jobs, few=self.few)}, in {took}" if jobs else self._nothing())
        if stopped_by is None:
            for sentence in left:
                self._say(sentence)
        if skipped:
            self._say(f"{counted(skipped, 'row was', 'rows were')} skipped; burnish status says which, and why")
        if found := [job.id for job in self._state.listed() if job.reason == FOUND_RUNNING and job.word is Word.HOLD]:
            were = counted(len(found), "job was", "jobs were")
            self._say(
                f"{were} not run: on HOLD, {FOUND_RUNNING} in a table without a journal. Once nothing of theirs runs any more: "
                f"burnish release --job_id {to_type(found)}"
            )
        for why, ids in _by_reason(stuck):
            self._say(f"{'Job' if len(ids) == 1 else 'Jobs'} {name_ids(ids)} could not be started: {why}.")

    def _nothing(self) -> str:
        """Why the run had nothing to do."""
        waiting = any(job.word is Word.NOT_RUNNING for job in self._state.listed())
        return f"Nothing to run: no job {'that was chosen ' if waiting else ''}is NOT_RUNNING"


def _told_of_host(fact: events.HostDrained | events.HostUndrained | events.HostForgotten) -> str:
    match fact:
        case events.HostDrained(host, reason):
            return f"{host} is drained{f' ({reason})' if reason else ''}: it takes no new jobs until burnish undrain {host}"
        case events.HostUndrained(host):
            return f"{host} takes jobs again"
        case events.HostForgotten(host):
            return f"{host} was forgotten: its jobs are LOST"


def _by_reason(stuck: Mapping[JobId, str]) -> Iterable[tuple[str, list[JobId]]]:
    """The jobs that could not be started for the same reason, together; the first reasons only."""
    together: dict[str, list[JobId]] = {}
    for job_id in sorted(stuck):
        together.setdefault(stuck[job_id], []).append(job_id)
    return list(together.items())[:SHOWN_FAILURES]


def awaited(jobs: Sequence[Job]) -> str:
    """What `wait` waits for: `Waiting for 36 jobs: 4 RUNNING, 32 NOT_RUNNING.`"""
    if not jobs:
        return "Nothing is running or waiting."
    words = Counter(job.word for job in jobs)
    shown = ", ".join(f"{words[word]:,} {word}" for word in (Word.RUNNING, Word.NOT_RUNNING) if words[word])
    return f"Waiting for {counted(len(jobs), 'job')}: {shown}. Ctrl-C ends the waiting, and no job."


def progress(jobs: Iterable[Job], *, few: bool = False) -> str:
    """`12 of 36 done, 1 ERROR, 4 RUNNING`; where only a `few` of them are asked for, `2 of 2 done, 34 wait`.

    What was deleted from the table while it waited is no part of what is to be done: `35 of 35 done, 1 deleted`.
    """
    there, dropped = list[Job](), 0
    for job in jobs:
        if job.dropped:
            dropped += 1
        else:
            there.append(job)
    words = Counter(job.word for job in there)
    left = words.pop(Word.NOT_RUNNING, 0) if few else 0
    done = words[Word.COMPLETE] + words[Word.ERROR]
    parts = [f"{done} of {sum(words.values())} done"]
    parts += [f"{words[word]} {word}" for word in (Word.ERROR, Word.RUNNING, Word.HOLD) if words[word]]
    parts += [f"{left} wait{'s' * (left == 1)}"] if left else []
    parts += [f"{dropped} deleted"] if dropped else []
    if since := sum(job.removed for job in there):
        parts.append(f"{since} of these {'is' if since == 1 else 'are'} in the table no more")
    return ", ".join(parts)


def _what_runs_on(jobs: Sequence[Job], me: CoordinatorId, others: Collection[CoordinatorId]) -> Iterator[str]:
    """A sentence for each run that looks after some of the jobs that run on, or did."""
    by_run: dict[CoordinatorId, list[Attempt]] = {}
    unheard: list[JobId] = []
    queued: list[JobId] = []
    for job in jobs:
        if (attempt := job.open_attempt) is not None and attempt.started_at is not None:
            by_run.setdefault(attempt.by, []).append(attempt)
        elif attempt is not None and attempt.by not in others:
            (queued if attempt.entry.get("engine") == "slurm" and job.reason else unheard).append(job.id)
    for run, attempts in by_run.items():
        ids = name_ids([attempt.id.job for attempt in attempts])
        on = f"Job {ids} runs on" if len(attempts) == 1 else f"Jobs {ids} run on"
        them = "it" if len(attempts) == 1 else "them"
        if run == me:
            yield f"{on}. burnish run takes {them} back; burnish cancel --all stops {them}."
        elif run in others:
            yield f"{on}, and another burnish run looks after {them} ({name_run(run)}). To wait for {them}: burnish wait"
        else:
            hosts = " and ".join(sorted({attempt.host for attempt in attempts}))
            were = f"Job {ids} was" if len(attempts) == 1 else f"Jobs {ids} were"
            yield (
                f"{were} left running by a run that is gone ({name_run(run)}), and {hosts} has not said what became of {them}. "
                f"burnish run takes {them} back."
            )
    if queued:
        ids, them = (f"Job {queued[0]} waits", "it") if len(queued) == 1 else (f"Jobs {name_ids(queued)} wait", "them")
        yield f"{ids} in Slurm's queue. burnish run takes {them} back; burnish cancel --all takes {them} out."
    if unheard:
        ids = f"Job {name_ids(unheard)}" if len(unheard) == 1 else f"Jobs {name_ids(unheard)}"
        yield f"{ids} may have started meanwhile: no host has said. The next burnish run finds out."
