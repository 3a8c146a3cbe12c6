"""Where a job is between its row and its verdict, and which facts may meet it there: the rules of the journal, as a table.

A job is in one of six phases; `TRANSITIONS` lists which fact may meet it in which phase, and where it goes.
`CLAIMED` is NOT_RUNNING to a person: a host was asked, and has not said yet that the command started.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from burnish.core import events
from burnish.core.jobs import Job, Word


class Phase(Enum):
    """Where a job is between its row and its verdict."""

    WAITING = "waiting"
    HELD = "held"
    CLAIMED = "claimed"
    RUNNING = "running"
    COMPLETE = "complete"
    ERROR = "error"


# Of a job that has no open attempt.
SETTLED = {
    Word.NOT_RUNNING: Phase.WAITING,
    Word.HOLD: Phase.HELD,
    Word.RUNNING: Phase.RUNNING,  # without an attempt: core.file_alone
    Word.COMPLETE: Phase.COMPLETE,
    Word.ERROR: Phase.ERROR,
}

_W, _H, _C, _R, _D, _E = Phase.WAITING, Phase.HELD, Phase.CLAIMED, Phase.RUNNING, Phase.COMPLETE, Phase.ERROR

# fact -> phase it may meet -> phases it may lead to. Several where the fact's content decides (exit code, lost again, refused).
TRANSITIONS: dict[type[Any], dict[Phase, frozenset[Phase]]] = {
    events.AttemptClaimed: {_W: frozenset({_C})},
    events.AttemptRefused: {_W: frozenset({_E})},
    events.AttemptQueued: {_C: frozenset({_C})},
    events.AttemptStarted: {_C: frozenset({_R})},
    events.AttemptDisowned: {_R: frozenset({_R})},
    events.AttemptVoided: {_C: frozenset({_W, _H, _E})},
    events.AttemptExited: {_C: frozenset({_D, _E, _W, _H}), _R: frozenset({_D, _E, _W, _H})},
    events.AttemptLost: {_C: frozenset({_W, _H, _E}), _R: frozenset({_W, _H, _E})},
    events.AttemptAdopted: {_C: frozenset({_C}), _R: frozenset({_R})},
    events.CancelRequested: {_C: frozenset({_C}), _R: frozenset({_R})},
    events.HoldRequested: {_W: frozenset({_H}), _H: frozenset({_H}), _C: frozenset({_C}), _E: frozenset({_H})},
    events.ReleaseRequested: {_H: frozenset({_W}), _C: frozenset({_C})},
    events.ResetRequested: {_W: frozenset({_W}), _H: frozenset({_W}), _D: frozenset({_W}), _E: frozenset({_W})},
    events.JobMarked: {
        _W: frozenset({_D, _E, _H}),
        _H: frozenset({_D, _E, _H}),
        _D: frozenset({_D, _E}),
        _E: frozenset({_D, _E}),
    },
}


def phase(job: Job) -> Phase:
    """The phase a job is in."""
    attempt = job.open_attempt
    if attempt is not None:
        return Phase.CLAIMED if attempt.started_at is None else Phase.RUNNING
    return SETTLED[job.word]
