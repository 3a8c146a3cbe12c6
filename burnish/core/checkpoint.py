"""A state as lines of JSON and back: what shortens the replay of a long journal, and nothing else.

The first line names the commit it stands for and counts the jobs; then follow the jobs, a thousand to a line. `by`, `host`,
`state_id`, `incarnation` and `entry` are the same for thousands of attempts, so they are written once and referred to by number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from burnish.core.jobs import Attempt, AttemptId, Job, JobId, Verdict, Word
from burnish.core.state import State

VERSION = 6
JOBS_PER_LINE = 1000

_WORDS = {word.value: word for word in Word}
_NO_POLICY: dict[str, str] = {}  # of nearly all attempts, and never changed

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


def dump(state: State, number: int) -> Iterator[str]:
    """Lines without newline. `number` is the last commit that `state` contains."""
    jobs = list(state.jobs.values())
    yield _encode(
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
        places: dict[str, int] = {}
        rows = [_job_row(job, places) for job in jobs[start : start + JOBS_PER_LINE]]
        yield _encode([[json.loads(place) for place in places], rows])


def load(lines: Iterable[str]) -> tuple[State, int]:
    """Inverse of `dump`. Raises ValueError when it is torn, of another version, or not a checkpoint at all."""
    source = iter(lines)
    try:
        head = json.loads(next(source))
        if head["version"] != VERSION:
            raise ValueError(f"version {head['version']}")
        state = State()
        state.table, state.opened_at = head["table"], head["opened_at"]
        state.columns, state.next_id = tuple(head["columns"]), JobId(head["next_id"])
        state.drained, state.lacking, state.halted = head["drained"], head["lacking"], head["halted"]
        state.rendered = {sha: (ids, at) for sha, (ids, at) in head["rendered"]}
        for line in source:
            places, rows = json.loads(line)
            for row in rows:
                job = _job(row, places)
                state.jobs[job.id] = job
                if (attempt := job.open_attempt) is not None:
                    state.open[attempt.id] = attempt
        if len(state.jobs) != head["jobs"]:
            raise ValueError(f"{len(state.jobs)} of {head['jobs']} jobs")
        return state, head["checkpoint"]
    except (KeyError, TypeError, IndexError, AttributeError, StopIteration) as error:
        raise ValueError(f"not a checkpoint: {error!r}") from None


def _job_row(job: Job, places: dict[str, int]) -> list[Any]:
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
        [_attempt_row(attempt, places) for attempt in job.attempts],
    ]


def _job(row: list[Any], places: list[list[Any]]) -> Job:
    id_, cells, word, reason, lost, hold_next, removed, ran_with, failed_on, outgrew, attempts = row
    job_id = JobId(id_)
    return Job(
        job_id,
        tuple(cells),
        _WORDS[word],
        reason,
        [_attempt(job_id, attempt, places) for attempt in attempts],
        lost,
        hold_next,
        removed,
        None if ran_with is None else tuple(ran_with),
        tuple(failed_on),
        tuple(outgrew),
    )


def _attempt_row(a: Attempt, places: dict[str, int]) -> list[Any]:
    place = places.setdefault(_encode([a.by, a.host, a.state_id, a.incarnation, a.entry]), len(places))
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
        a.after,
        a.retries,
        a.on_failure,
    ]


def _attempt(job: JobId, row: list[Any], places: list[list[Any]]) -> Attempt:
    number, nonce, place, slots, gpus, argv, log, claimed_at, *lived, version, after, retries, on_failure = row
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
        after,
    )
