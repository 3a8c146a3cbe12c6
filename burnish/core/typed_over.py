"""The words a person may type over STATE, and what burnish does about each: the table of the user's manual, as data.

`TYPED_OVER[typed][what the job is now]` is the answer. `core.merge` acts on it; here is also what is said when nothing is done.
"""

from __future__ import annotations

from enum import Enum, auto

from burnish.core.jobs import Job, Word
from burnish.core.table import CANCEL, RESET
from burnish.errors import printable


class Answer(Enum):
    """What burnish does about a word that was typed over the state a job is in."""

    NOTHING = auto()
    RELEASE = auto()
    HOLD = auto()
    RERUN = auto()
    RERUN_IF_SURE = auto()
    MARK = auto()  # COMPLETE or ERROR by hand
    STOP = auto()  # cancel what runs; hold what waits
    IGNORE = auto()  # and say so
    REFUSE = auto()  # and say what would do it


_N, _H, _R, _C, _E = Word.NOT_RUNNING, Word.HOLD, Word.RUNNING, Word.COMPLETE, Word.ERROR
_A = Answer

# typed -> the job is now -> answer
TYPED_OVER: dict[str, dict[Word, Answer]] = {
    "NOT_RUNNING": {_N: _A.NOTHING, _H: _A.RELEASE, _R: _A.IGNORE, _C: _A.RERUN_IF_SURE, _E: _A.RERUN_IF_SURE},
    "HOLD": {_N: _A.HOLD, _H: _A.NOTHING, _R: _A.IGNORE, _C: _A.IGNORE, _E: _A.HOLD},
    "RUNNING": {_N: _A.IGNORE, _H: _A.IGNORE, _R: _A.NOTHING, _C: _A.IGNORE, _E: _A.IGNORE},
    "COMPLETE": {_N: _A.MARK, _H: _A.MARK, _R: _A.IGNORE, _C: _A.NOTHING, _E: _A.MARK},
    "ERROR": {_N: _A.MARK, _H: _A.MARK, _R: _A.IGNORE, _C: _A.IGNORE, _E: _A.NOTHING},
    RESET: {_N: _A.NOTHING, _H: _A.RELEASE, _R: _A.REFUSE, _C: _A.RERUN, _E: _A.RERUN},
    CANCEL: {_N: _A.STOP, _H: _A.NOTHING, _R: _A.STOP, _C: _A.IGNORE, _E: _A.IGNORE},
}


def state_of(job: Job) -> str:
    """`COMPLETE (exit 0)`."""
    return f"{job.word} ({printable(job.reason, 60)})" if job.reason else str(job.word)


def kept(typed: str, job: Job) -> str:
    """What is said when the typed word may be an old text: the result stays, and how to insist."""
    kept_as = f"says {typed}; job {job.id} is {state_of(job)}. Kept {job.word}."
    if typed in ("COMPLETE", "ERROR"):
        return f"{kept_as} (An older text of the table may have been saved.)"
    if typed == Word.HOLD or (typed == CANCEL and job.word is not Word.RUNNING):
        return f"{kept_as} To keep it out: burnish hold --job_id {job.id}."
    if typed == CANCEL:
        return f"{kept_as} To stop it: burnish cancel --job_id {job.id}."
    if job.word is Word.HOLD:
        return f"{kept_as} To let it go on: burnish release --job_id {job.id}."
    insist = "" if typed == RESET else ", or write RESET"
    return f"{kept_as} To run it again: burnish reset --job_id {job.id}{insist}."


def taken(typed: str, released: bool, job: Job) -> str:
    """What is said when the typed word may be an old text, and is done all the same: nothing is lost by it."""
    done, verb, why = ("Released", "hold", "keep it out") if released else ("Held", "release", "let it go on")
    return (
        f"says {typed}; job {job.id} was {state_of(job)}. {done}. (An older text of the table may have been saved. "
        f"To {why}: burnish {verb} --job_id {job.id}.)"
    )


def left_alone(typed: str, job: Job) -> str:
    """What is said when the typed word changes nothing: why, and what would do it."""
    left = f"says {typed}; job {job.id} is {state_of(job)}. Left as it is"
    if typed == "RUNNING":
        return f"{left}: only burnish writes RUNNING."
    if job.word is Word.RUNNING:
        verb = "cancel" if typed == "HOLD" else "reset --kill"
        deed = "stop it" if typed == "HOLD" else "stop it and run it again"
        if typed in ("COMPLETE", "ERROR"):
            return f"{left}: its verdict comes from its own exit."
        return f"{left}. To {deed}: burnish {verb} --job_id {job.id}."
    if typed in ("COMPLETE", "ERROR"):
        return f"{left}." if job.word is Word.COMPLETE else f"{left}: it is being started."
    return f"{left}: it has ended."
