"""How an attempt that exited ended: COMPLETE or ERROR, and the reason that is shown for it; and what its job does then. Pure."""

from __future__ import annotations

from burnish.core import events
from burnish.core.failures import HOLD, RETRY, STOP
from burnish.core.jobs import CANCELLED, FAILED, Attempt, Job, Word

NOT_TAKEN = "BURNISH_RESULT was not taken"


def verdict_of(fact: events.AttemptExited) -> tuple[Word, str]:
    """COMPLETE or ERROR and the reason, from an exit record alone. What a job wrote to stderr is never a verdict."""
    if fact.cancelled:
        return Word.ERROR, CANCELLED
    if fact.time_limit:
        return Word.ERROR, "TIME_LIMIT"
    if fact.not_started:
        return Word.ERROR, f"not started: {fact.not_started}"
    if fact.oom:
        return Word.ERROR, "OOM"
    how = f"exit {fact.code}" if fact.signal is None else f"signal {fact.signal}"
    error = f"{NOT_TAKEN}: {fact.error}" if fact.error and fact.signal is None else ""
    said = "; ".join(part for part in (fact.note, error) if part)
    return (Word.COMPLETE if fact.code == 0 else Word.ERROR), f"{how} ({said})" if said else how


def after_failure(job: Job, attempt: Attempt, kind: str, reason: str) -> tuple[Word, str]:
    """Where a job goes whose newest failure is counted in `failed_on`, and the reason that is shown."""
    policy = attempt.on_failure.get(kind, RETRY)
    if policy == HOLD:
        return Word.HOLD, f"{FAILED}{reason}"
    if policy == STOP or len(job.failed_on) > attempt.retries:
        return Word.ERROR, reason
    return Word.HOLD if job.hold_next else Word.NOT_RUNNING, f"again: {reason}"
