"""`burnish view`: the log of a job, in a viewer or on stdout; what an attempt was; what the failures have in common."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from burnish import following
from burnish.core.command import as_shown
from burnish.core.explain import more_of
from burnish.core.ids import name_ids, name_run, process_of
from burnish.core.jobs import BY_HAND, FROM_FILE, Attempt, CoordinatorId, Job, JobId, Word
from burnish.errors import UsageError, counted, printable
from burnish.fetching import Fetch, in_place
from burnish.session import Session
from burnish.views import durations
from burnish.views.log_text import LogText, what_stays
from burnish.views.output import Output
from burnish.views.snapshot import explains

CHUNK = 1 << 16
_WITHOUT_ATTEMPT = {
    FROM_FILE: "ERROR already when burnish first read this table; no log of it is known",
    BY_HAND: "set to ERROR by hand; it was not run",
}
LAST_LINES = 20  # of a failed job's stderr, in `view --errors`
REASON = 2000  # characters of a reason, at most
LINE = 300  # likewise of a line of a log, among failures
TAIL_BYTES = 1 << 20  # the most that is read from the end of a log to find its last lines


def view(
    session: Session,
    out: Output,
    job_id: int,
    *,
    follow: bool,
    tail: int | None,
    stderr: bool,
    attempt: int | None,
    meta: bool,
) -> None:
    """Show a log as asked. Raises UsageError when there is none, saying why."""
    [job] = session.jobs(frozenset({JobId(job_id)}), nothing="")
    if session.alone and job.word not in (Word.NOT_RUNNING, Word.HOLD):
        raise _log_elsewhere(session, job)
    chosen = _attempt(job, attempt)
    passed_over = job.attempt if attempt is None and chosen is not job.attempt else None
    if meta:
        out.lines(describe(job, chosen, session.presence.others(), passed_over))
        return
    if passed_over is not None:
        session.say(f"({_unstarted(passed_over)} This is of attempt {chosen.id}.)")
    with _fetched(session, chosen) as fetch:
        _show(session, job, chosen, fetch, follow=follow, tail=tail, stderr=stderr, colour=out.colour)


def _log_elsewhere(session: Session, job: Job) -> UsageError:
    """Of a job that was run, as the file says, under a journal that we have not."""
    logs = sorted(session.paths.log_dir.glob(f"*_job_{job.id}.log"))
    there = f"burnish view {job.id} in the folder where the table is run: .burnish/ and burnish_log/ are there"
    return UsageError(
        f"Job {job.id} is {job.word}, and which log is its, only the journal says.",
        hint=f"less {shlex.quote(os.path.relpath(logs[-1]))} is the newest that is here" if logs else there,
    )


def _fetched(session: Session, attempt: Attempt) -> AbstractContextManager[Fetch | None]:
    """Brings home the log of an attempt on another machine, when no run is going that does."""
    if not attempt.open or in_place(attempt) or session.presence.others():
        return nullcontext()
    return Fetch(attempt, session.state.table, session.paths, session.say)


def _show(
    session: Session,
    job: Job,
    attempt: Attempt,
    fetch: Fetch | None,
    *,
    follow: bool,
    tail: int | None,
    stderr: bool,
    colour: bool,
) -> None:
    if fetch is not None:
        fetch.catch_up()
    log = session.paths.log(attempt.log, "out")
    errors = session.paths.log(attempt.log, "err")
    shown = errors if stderr or (not log.exists() and errors.exists()) else log
    if not shown.exists():
        hint = (
            None
            if session.paths.log_dir.is_dir()
            else f"{_again(job, attempt)} --log_dir DIR, if the run was given one"
        )
        raise UsageError(
            f"Job {job.id} has no log {shown}. {_why_no_log(session, job, attempt)}",
            hint=hint if attempt.voided is None else _older_log(job, attempt),
        )
    if not (_size(shown) or (follow and attempt.open)) and (stderr or not _size(errors)):
        session.say(f"({_nothing_in(job, attempt, log, stderr)})")
        return
    if sys.stdout.isatty() and not (follow or stderr) and tail is None:
        _open_viewer(log, errors)
        return
    text = LogText(colour) if sys.stdout.isatty() else None
    try:
        position = _copy(shown, 0 if tail is None else _start_of_tail(shown, tail), text)

        def more() -> None:
            nonlocal position
            position = _copy(shown, position, text)

        if follow:
            following.follow(session, attempt, more, fetch)
    finally:
        if text is not None:
            _write(text.end())
    if follow:
        return
    if shown == log and _size(errors):
        also = ", too" if _size(log) else " only"
        session.say(f"({_who(job, attempt)} wrote to stderr{also}: {_again(job, attempt)} --stderr)")


def _size(path: Path) -> int:
    """0 for a file that is not there, too."""
    return path.stat().st_size if path.exists() else 0


def _nothing_in(job: Job, attempt: Attempt, log: Path, stderr: bool) -> str:
    """Why an empty log is empty, and where more is to be found: a sentence."""
    if attempt.voided is not None:
        older = _older_log(job, attempt)
        if older is None:
            return f"Job {job.id} never started: {printable(attempt.voided, REASON)}"
        command = f" Its command: {printable(as_shown(attempt.argv), REASON)}." if attempt.argv else ""
        return f"{_unstarted(attempt)}{command} {older}"
    who = _who(job, attempt)
    if attempt is job.attempt or attempt.verdict is None:
        how = f"it is {job.word}{_because(job)}"
    else:
        how = f"it ended as {attempt.verdict.word} ({printable(attempt.verdict.reason, REASON)})"
    if stderr and _size(log):
        return f"{who} wrote nothing to stderr; {how}. What it wrote to stdout: {_again(job, attempt)}"
    return f"{who} wrote nothing{' so far' if attempt.open else ''}; {how}"


def _attempt(job: Job, number: int | None) -> Attempt:
    """The attempt of this number; for None the newest that started, or that was the job's end because it did not."""
    if not job.attempts:
        raise UsageError(f"Job {job.id} was not started under this table: it is {job.word}{_because(job)}.")
    if number is None:
        newest = job.attempts[-1]
        if newest.voided is not None and explains(newest, job):
            return newest
        started = [attempt for attempt in job.attempts if attempt.started_at is not None or not attempt.argv]
        return started[-1] if started else newest
    for attempt in job.attempts:
        if attempt.id.number == number:
            return attempt
    raise UsageError(f"Job {job.id} has {counted(job.attempts[-1].id.number, 'attempt')}; there is no number {number}.")


def _who(job: Job, attempt: Attempt) -> str:
    return f"Job {job.id}" if attempt is job.attempt else f"Attempt {attempt.id}"


def _again(job: Job, attempt: Attempt) -> str:
    """The command that shows this attempt's log."""
    return f"burnish view {job.id}{'' if attempt is _attempt(job, None) else f' --attempt {attempt.id.number}'}"


def _unstarted(attempt: Attempt) -> str:
    """A sentence about an attempt of which no start is known."""
    if attempt.voided is not None:
        return f"Attempt {attempt.id} never started: {printable(attempt.voided, REASON)}."
    if attempt.verdict is not None:
        return f"Attempt {attempt.id} is not known to have started: {printable(attempt.verdict.reason, REASON)}."
    return f"Attempt {attempt.id} has not started yet."


def _older_log(job: Job, attempt: Attempt) -> str | None:
    """Where the log is of the one before `attempt` that started; None if none did."""
    older = [one for one in job.attempts if one.started_at is not None and one.id.number < attempt.id.number]
    return f"What attempt {older[-1].id} wrote: {_again(job, older[-1])}" if older else None


def _because(job: Job) -> str:
    return f" ({printable(job.reason, REASON)})" if job.reason else ""


def _why_no_log(session: Session, job: Job, attempt: Attempt) -> str:
    if attempt.voided is not None:
        return f"Attempt {attempt.id} never started ({printable(attempt.voided, REASON)})."
    ran = f"Attempt {attempt.id} ran on {attempt.host}; the job is {job.word}{_because(job)}."
    machine = process_of(attempt.by)[1]
    if attempt.open or machine in ("", process_of(session.me)[1]):
        return ran
    return f"{ran} Its log was brought to {printable(machine)}, where the run was that collected it."


def _open_viewer(log: Path, errors: Path) -> None:
    """vim read-only, stderr below when there is some; or $BURNISH_VIEWER with the same files."""
    files = [str(path) for path in (log, errors) if path.exists() and (path == log or _size(path))]
    chosen = os.environ.get("BURNISH_VIEWER")
    if chosen:
        command = [*shlex.split(chosen), *files]
    elif shutil.which("vim"):
        command = ["vim", "-R", "-o", *files]
    else:
        command = [shutil.which("less") or "more", *files]
    try:
        subprocess.run(command, check=False)
    except OSError as error:
        raise UsageError(f"The viewer {shlex.join(command[:1])} cannot be started: {error.strerror}.") from None


def _copy(path: Path, position: int, text: LogText | None) -> int:
    """A log from `position` on to stdout: byte for byte, or to a terminal as its `text`; the position of the end."""
    with path.open("rb") as log:
        log.seek(position)
        while chunk := log.read(CHUNK):
            if text is None:
                sys.stdout.buffer.write(chunk)
            else:
                _write(text.feed(chunk))
            position += len(chunk)
    sys.stdout.buffer.flush()
    return position


def _write(text: str) -> None:
    sys.stdout.buffer.write(text.encode(sys.stdout.encoding, "backslashreplace"))
    sys.stdout.buffer.flush()


def _start_of_tail(path: Path, lines: int) -> int:
    """Where the last `lines` lines begin."""
    size = path.stat().st_size
    with path.open("rb") as log:
        start = max(0, size - TAIL_BYTES)
        log.seek(start)
        data = log.read()
    position = len(data) - data.endswith(b"\n")
    for _ in range(lines):
        position = data.rfind(b"\n", 0, position)
        if position < 0:
            return start
    return start + position + 1


def describe(
    job: Job, attempt: Attempt, runs: Collection[CoordinatorId], newest: Attempt | None = None
) -> Iterator[str]:
    """What an attempt was: a line each for command, host, process, times, exit. `runs`: those that are going.

    `newest`: one that is passed over for it, as it did not start.
    """
    verdict = attempt.verdict
    yield f"job       {job.id} ({job.word}{': ' + printable(job.reason, REASON) if job.reason else ''})"
    unstarted = [one.id.number for one in job.attempts if one.voided is not None and one.id.number < attempt.id.number]
    yield f"attempt   {attempt.id}{f' (of these, {name_ids(unstarted)} never started)' if unstarted else ''}"
    if newest is not None:
        yield f"newest    {_unstarted(newest)}"
    if attempt.argv:
        yield f"command   {printable(as_shown(attempt.argv), 10_000)}"
        yield f"host      {attempt.host}{f' ({printable(attempt.node)})' if attempt.node else ''}"
    if attempt.gpus:
        yield f"gpus      {', '.join(attempt.gpus)}"
    if attempt.pid:
        yield f"pid       {attempt.pid}"
    if attempt.open:
        gone = "" if attempt.by in runs else ", gone; the next burnish run takes the job back"
        yield f"run       {name_run(attempt.by)}{gone}"
    if attempt.version:
        yield f"code      {printable(attempt.version)}"
    if attempt.started_at is not None:
        yield f"started   {_when(attempt.started_at)}"
    if verdict is not None:
        lasted = "" if verdict.duration is None else f" after {durations.short(verdict.duration)}"
        yield f"ended     {_when(verdict.ended)}{lasted}"
        yield f"verdict   {verdict.word} ({printable(verdict.reason)})"
        if verdict.max_rss:
            yield f"memory    {verdict.max_rss / 1024:.0f} MiB at most"
    elif attempt.voided is not None:
        yield f"verdict   never started ({printable(attempt.voided, REASON)})"
    yield f"log       {attempt.log}.log"


def _when(at: float | None) -> str:
    return "?" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def errors(session: Session, ids: frozenset[JobId] | None = None, tail: int | None = None) -> Iterator[str]:
    """Failed jobs (of `ids` only), alike ones together, most first: how many, which, and the last lines of one of them.

    Alike are those that never started for the same reason, and those with the same last line. `tail`: so many lines. Raises
    UsageError for ids that are no jobs.
    """
    jobs, count = session.jobs(ids, nothing=""), LAST_LINES if tail is None else tail
    groups: dict[tuple[str, int], list[Job]] = {}
    for job in jobs:
        if job.word is Word.ERROR:
            groups.setdefault(_headline(session, job), []).append(job)
    if not groups:
        yield _none_failed(jobs, ids)
    for (headline, most), failed in sorted(groups.items(), key=lambda group: -len(group[1])):
        yield f"{counted(len(failed), 'job')} ({name_ids([job.id for job in failed])}): {printable(headline, most)}"
        first = failed[0]
        lines = [] if first.attempt is None else _last_lines(session, first.attempt, count)
        if lines:
            reason = "" if headline == first.reason else f", {printable(first.reason, REASON)}"
            yield f"    job {first.id}{reason}:"
        yield from (f"    | {printable(line, LINE)}" for line in lines)


def _none_failed(jobs: Sequence[Job], ids: frozenset[JobId] | None) -> str:
    if ids is None:
        return "No job is in ERROR."
    if len(jobs) == 1:
        return f"Job {jobs[0].id} is not in ERROR: it is {jobs[0].word}{_because(jobs[0])}."
    return f"None of these {len(jobs)} jobs is in ERROR."


def _headline(session: Session, job: Job) -> tuple[str, int]:
    """What tells one failure from another, whole, and how many characters of it are shown.

    It is the last line that the job wrote, or the reason where it wrote none.
    """
    attempt = job.attempt
    if attempt is None and job.reason in _WITHOUT_ATTEMPT:
        return _WITHOUT_ATTEMPT[job.reason], REASON
    if attempt is None or attempt.verdict is None:
        # Set by hand or never started: what stands in its log is burnish's, or its runner function's.
        return job.reason, REASON
    if lines := _last_lines(session, attempt):
        return lines[-1], LINE
    silent = "" if attempt.pid is None else ", and nothing on stdout or stderr"
    return f"{job.reason}{silent}", REASON


def where_to_read(session: Session, job: Job) -> str:
    """The command that shows more of a failed job, and not an empty log: its stdout where it wrote nothing to stderr."""
    attempt = job.attempt
    if attempt is None or attempt.verdict is None or _size(session.paths.log(attempt.log, "err")):
        return more_of(job)
    return f"burnish view {job.id}{'' if _size(session.paths.log(attempt.log, 'out')) else ' --meta'}"


def last_line(session: Session, job: Job) -> str:
    """What the newest attempt of a job wrote last, on stderr if it wrote there; "" if nothing."""
    lines = [] if job.attempt is None else _last_lines(session, job.attempt)
    return lines[-1] if lines else ""


def _last_lines(session: Session, attempt: Attempt, count: int = LAST_LINES) -> list[str]:
    for stream in ("err", "out"):
        path = session.paths.log(attempt.log, stream)
        try:
            with path.open("rb") as log:
                log.seek(_start_of_tail(path, count))
                lines = [what_stays(line) for line in log.read().decode(errors="backslashreplace").split("\n")]
        except OSError:
            continue
        if written := [line for line in lines if line]:
            return written
    return []
