"""What is worth a call of `--on_event`: names that people's commands switch on, and what a command is told with each. Pure.

`first_failure` comes once in a run, before the `job_failed` of the same job: whoever wants one mail asks for that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import HostName, Job, JobId, Word
from burnish.core.state import State
from burnish.errors import printable

_ENDS = (*events.ENDS, events.AttemptRefused)


class Occasion(Struct, frozen=True):
    """One call: its name, a sentence, and the job or the host that it is about, with the reason."""

    name: str
    text: str
    job: JobId | None = None
    host: HostName | None = None
    reason: str = ""


class Occasions:
    """Remembers what was told in this run, so that nothing is told twice."""

    def __init__(self) -> None:
        self._failed = False
        self._down: dict[HostName, str] = {}

    def of_facts(self, facts: Iterable[Fact], state: State) -> Iterator[Occasion]:
        """What facts that were just committed call for."""
        for fact in facts:
            if isinstance(fact, _ENDS):
                yield from self._failure(state.jobs[fact.attempt.job])
            elif isinstance(fact, events.StartsHalted):
                yield Occasion("sweep_halted", f"Nothing more is started: {fact.why}.", reason=fact.why)
            elif isinstance(fact, events.HostDrained):
                why = f": {fact.reason}" if fact.reason else ""
                text = f"{fact.host} takes no new jobs{why}."
                yield Occasion("host_drained", text, host=HostName(fact.host), reason=fact.reason)

    def of_hosts(self, down: Mapping[HostName, str]) -> Iterator[Occasion]:
        """What follows when just these hosts cannot be used: host -> why."""
        for host, why in down.items():
            if host not in self._down:
                yield Occasion("host_down", f"{host} cannot be used: {why}.", host=host, reason=why)
        for host in self._down:
            if host not in down:
                yield Occasion("host_back", f"{host} answers again.", host=host)
        self._down = dict(down)

    def _failure(self, job: Job) -> Iterator[Occasion]:
        """Of a job that failed for good; what was cancelled was asked for."""
        if not job.failed:
            return
        host = job.attempts[-1].host if job.attempts else None
        about = Occasion("job_failed", f"Job {job.id} is {job.word}: {job.reason}.", job.id, host, job.reason)
        if not self._failed:
            self._failed = True
            yield Occasion("first_failure", about.text, about.job, about.host, about.reason)
        yield about


def end(signal: str | None, halted: str) -> Occasion:
    """The last call of a run: nothing is left that it may start, or it was stopped: by a signal, or since the sweep is halted."""
    if signal is None and not halted:
        return Occasion("sweep_done", "The run is done: nothing is left that it may start.")
    return Occasion("run_stopped", f"The run was stopped ({signal or halted}).", reason=signal or halted)


def environment(occasion: Occasion, state: State) -> dict[str, str]:
    """What the command is told: the occasion, and how many jobs are in each state. Empty where there is nothing to tell."""
    words = Counter(job.word for job in state.listed())
    return {
        "BURNISH_EVENT": occasion.name,
        "BURNISH_EVENT_TEXT": printable(occasion.text, 2000),
        "BURNISH_EVENT_JOB_ID": "" if occasion.job is None else str(occasion.job),
        "BURNISH_EVENT_HOST": occasion.host or "",
        "BURNISH_EVENT_REASON": printable(occasion.reason, 2000),
        "BURNISH_JOBS": str(sum(words.values())),
        **{f"BURNISH_{word}": str(words[word]) for word in Word},
    }
