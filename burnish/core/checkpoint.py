"""A state as lines of JSON and back: what shortens the replay of a long journal, and nothing else.

The first line names the commit it stands for and counts the jobs; then follow the jobs, a thousand to a line, and behind such a
line one for each of them that has attempts. These lines stay text until somebody asks for them, unless an attempt is open, and go
into the next checkpoint as they are. The last line says that it is the last.

`by`, `host`, `state_id`, `incarnation` and `entry` are the same for thousands of attempts, so they are written once and referred
to by number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from sys import intern
from typing import Any

from msgspec import Struct

from burnish.core import compact
from burnish.core.jobs import Attempt, AttemptId, End, HostName, Job, JobId, Verdict, Word
from burnish.core.state import State
from burnish.errors import InternalError

VERSION = 8
JOBS_PER_LINE = 1000
LAST = "null"

_WORDS = {word.value: word for word in Word}
_MAY_BE_OPEN = (Word.NOT_RUNNING.value, Word.RUNNING.value)  # of a job in another word, no attempt is
_NO_POLICY: dict[str, str] = {}  # of nearly all attempts, and never changed


class _Unread(Struct):
    """The attempts of a job as their line has them, with the places that it refers to. Called, it reads them.

    Raises InternalError if that is no such line: a seal vouches for what a burnish wrote, and not for its having been right.
    """

    job: JobId
    text: str
    places: list[list[Any]]
    end: End

    def __call__(self) -> list[Attempt]:
        try:
            return [_attempt(self.job, row, self.places) for row in compact.decode(self.text)]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise InternalError(
                f"the attempts of job {self.job} cannot be read from the checkpoint: {error!r}"
            ) from None


def dump(state: State, number: int) -> Iterator[str]:
    """Lines without newline. `number` is the last commit that `state` contains. Attempts of jobs at rest become unread."""
    jobs = list(state.jobs.values())
    yield compact.encode(
        {
            "checkpoint": number,
            "version": VERSION,
            "jobs": len(jobs),
            "table": state.table,
            "opened_at": state.opened_at,
            "columns": state.columns,
            "next_id": state.next_id,
            "drained": state.drained,
            "lacking": state.lacking,
            "halted": state.halted,
            "rendered": list(state.rendered.items()),
        }
    )
    for start in range(0, len(jobs), JOBS_PER_LINE):
        yield from _lines(jobs[start : start + JOBS_PER_LINE])
    yield LAST


def load(lines: Iterable[str]) -> tuple[State, int]:
    """Inverse of `dump`. Raises ValueError when it is torn, of another version, or not a checkpoint at all."""
    source = iter(lines)
    try:
        head = compact.decode(next(source))
        if head["version"] != VERSION:
            raise ValueError(f"version {head['version']}")
        state = State()
        state.table, state.opened_at = head["table"], head["opened_at"]
        state.columns, state.next_id = tuple(head["columns"]), JobId(head["next_id"])
        state.drained, state.lacking, state.halted = head["drained"], head["lacking"], head["halted"]
        state.rendered = {sha: (ids, at) for sha, (ids, at) in head["rendered"]}
        while len(state.jobs) < head["jobs"]:
            places, rows = compact.decode(next(source))
            for row in rows:
                job = _job(row, source, places)
                state.jobs[job.id] = job
                if (attempt := job.open_attempt) is not None:
                    state.open[attempt.id] = attempt
        if next(source) != LAST:
            raise ValueError("it does not end where it should")
        return state, head["checkpoint"]
    except (KeyError, TypeError, IndexError, AttributeError, StopIteration) as error:
        raise ValueError(f"not a checkpoint: {error!r}") from None


def _lines(jobs: Sequence[Job]) -> Iterator[str]:
    # What was read behind one line of jobs, or put to rest with it, has the same places: it stays as it is, and so do they.
    at_rest = [job.history for job in jobs if isinstance(job.history, _Unread)]
    kept = at_rest[0].places if at_rest else []
    places = {compact.encode(place): number for number, place in enumerate(kept)}
    texts = [_text(job, kept, places) for job in jobs]
    kept.extend(compact.decode(place) for place in list(places)[len(kept) :])
    for job, text in zip(jobs, texts, strict=True):
        if isinstance(job.history, list) and (end := job.end) is not None:
            job.history = _Unread(job.id, text, kept, end)
    yield compact.encode([kept, [_job_row(job) for job in jobs]])
    yield from filter(None, texts)


def _text(job: Job, kept: list[list[Any]], places: dict[str, int]) -> str:
    """The attempts of a job, "" if it has none; `places` grows by those that are new."""
    if isinstance(job.history, _Unread) and job.history.places is kept:
        return job.history.text
    if not job.attempts:
        return ""
    encode = compact.exact if any(a.verdict and a.verdict.result for a in job.attempts) else compact.encode
    return encode([_attempt_row(attempt, places) for attempt in job.attempts])


def _job_row(job: Job) -> list[Any]:
    return [
        job.id,
        job.cells,
        job.word.value,
        job.reason,
        job.lost,
        job.hold_next,
        job.removed,
        job.ran_with,
        job.failed_on,
        job.outgrew,
        job.end or ([] if job.history else None),  # a line follows, if it is not null
    ]


def _job(row: list[Any], lines: Iterator[str], places: list[list[Any]]) -> Job:
    id_, cells, word, reason, lost, hold_next, removed, ran_with, failed_on, outgrew, end = row
    job_id = JobId(id_)
    return Job(
        job_id,
        tuple(cells),
        _WORDS[word],
        reason,
        [] if end is None else _history(job_id, word, next(lines), places, end),
        lost,
        hold_next,
        removed,
        None if ran_with is None else tuple(ran_with),
        tuple(failed_on),
        tuple(outgrew),
    )


def _history(job: JobId, word: str, text: str, places: list[list[Any]], end: list[Any]) -> list[Attempt] | _Unread:
    if word in _MAY_BE_OPEN:
        return [_attempt(job, row, places) for row in compact.decode(text)]
    newest, host, ended, duration = end
    return _Unread(job, text, places, End(newest and _WORDS[newest], HostName(intern(host)), ended, duration))


def _attempt_row(a: Attempt, places: dict[str, int]) -> list[Any]:
    place = places.setdefault(compact.encode([a.by, a.host, a.state_id, a.incarnation, a.entry]), len(places))
    v = a.verdict
    verdict = None if v is None else [v.word.value, v.reason, v.started, v.ended, v.duration, v.max_rss, v.result]
    lived = [a.pid, a.started_at, a.cancelled_by, a.grace, a.voided, verdict]
    return [
        a.id.number,
        a.nonce,
        place,
        a.slots,
        a.gpus,
        a.argv,
        a.log,
        a.claimed_at,
        *lived,
        a.version,
        a.node,
        a.after,
        a.retries,
        a.on_failure,
    ]


def _attempt(job: JobId, row: list[Any], places: list[list[Any]]) -> Attempt:
    number, nonce, place, slots, gpus, argv, log, claimed_at, *lived, version, node, after, retries, on_failure = row
    pid, started_at, cancelled_by, grace, voided, v = lived
    by, host, state_id, incarnation, entry = places[place]
    verdict = None if v is None else Verdict(_WORDS[v[0]], *v[1:])
    return Attempt(
        AttemptId(job, number),
        nonce,
        by,
        host,
        state_id,
        incarnation,
        entry,
        tuple(slots),
        tuple(gpus),
        tuple(argv),
        log,
        claimed_at,
        retries,
        on_failure or _NO_POLICY,
        pid,
        started_at,
        cancelled_by,
        grace,
        voided,
        verdict,
        version,
        node,
        after,
    )
