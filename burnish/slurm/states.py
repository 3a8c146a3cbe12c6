"""What Slurm's states mean for an attempt: one table, `STATES`. Pure.

No state makes a verdict where the attempt's own supervisor left one: that stands, and Slurm's word says why a job was killed.
A state that this version does not know is taken for one in which the job goes on: nothing follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace


class Stage(Enum):
    """It is not over."""

    WAITS = "waits"
    GOES_ON = "goes on"


class End(Struct, frozen=True):
    """It is over: `why`, a clause. `exit`: what an exit record says of it; without one it is lost, and may run again.

    `excused`: nor does it count then. `refused` and `trouble`: what a void says, if it never began (docs/protocol.md).
    """

    why: str
    exit: Mapping[str, Any] = field(default_factory=dict)
    excused: bool = False
    refused: bool = False
    trouble: bool = False

    @property
    def lost(self) -> dict[str, Any]:
        """What the record of one that is lost says."""
        return {"why": self.why, **({"excused": True} if self.excused else {})}


_UNSAID = "its script ended in Slurm without a verdict"
_OUT_OF_TIME = End("it was out of time in Slurm", {"signal": 9, "time_limit": True}, trouble=True)
_NODE = End("its node failed")
CANCELLED = End("cancelled in Slurm", {"signal": 9, "cancelled": "scancel"}, refused=True)

_NOT_LAUNCHED = "Slurm could not launch it"

STATES: Mapping[str, End | Stage] = {
    "PENDING": Stage.WAITS,
    "CONFIGURING": Stage.WAITS,  # its nodes boot
    "REQUEUED": Stage.WAITS,
    "REQUEUE_FED": Stage.WAITS,
    "REQUEUE_HOLD": Stage.WAITS,
    "RESV_DEL_HOLD": Stage.WAITS,
    "SPECIAL_EXIT": Stage.WAITS,  # requeued and held
    "RUNNING": Stage.GOES_ON,
    "COMPLETING": Stage.GOES_ON,
    "EXPEDITING": Stage.GOES_ON,
    "POWER_UP_NODE": Stage.GOES_ON,
    "RESIZING": Stage.GOES_ON,
    "SIGNALING": Stage.GOES_ON,
    "STAGE_OUT": Stage.GOES_ON,
    "STOPPED": Stage.GOES_ON,
    "SUSPENDED": Stage.GOES_ON,
    "UPDATE_DB": Stage.GOES_ON,
    "COMPLETED": End(_UNSAID, trouble=True),
    "FAILED": End(_UNSAID, trouble=True),
    "TIMEOUT": _OUT_OF_TIME,
    "DEADLINE": _OUT_OF_TIME,
    "OUT_OF_MEMORY": End("it was out of memory in Slurm", {"signal": 9, "oom": True}, trouble=True),
    "CANCELLED": CANCELLED,
    "NODE_FAIL": _NODE,
    "BOOT_FAIL": _NODE,
    "LAUNCH_FAILED": _NODE,
    "RECONFIG_FAIL": _NODE,
    "PREEMPTED": End("preempted in Slurm", excused=True),
    "REVOKED": End("revoked in Slurm"),
}
GONE = End("Slurm does not know it any more")


def end_of(state: str, nodes: str = "") -> End | None:
    """How a task in this state ended, that was given these nodes; None while it goes on."""
    end = STATES.get(state, Stage.GOES_ON)
    if isinstance(end, Stage):
        return None
    if end.refused and nodes:
        # A node that cannot launch a job, as where its prolog fails, cancels it: --no-requeue leaves it no other way. If it never
        # began, that was nobody's wish, or somebody's within the second before it did.
        return replace(end, why=f"{_NOT_LAUNCHED} on {nodes}", refused=False, trouble=True)
    return end


def waiting(state: str, reason: str) -> str:
    """Why a task in this state has not started, a clause; "" if it has, or is over."""
    if STATES.get(state) is not Stage.WAITS:
        return ""
    return f"waiting for {reason}" if reason not in ("", "None") else "in Slurm's queue"


def leaves_open(final: Mapping[str, Any]) -> bool:
    """True if a supervisor's record says that its job failed, and Slurm may know why.

    Whom Slurm ends hears TERM, and many say with an exit code of their own that they did, or that a process of theirs was ended.
    """
    exit = final.get("exit") or {}
    known = any(exit.get(key) for key in ("cancelled", "time_limit", "oom", "exec_error"))
    return bool(exit) and exit.get("code") != 0 and not known


def completed(final: Mapping[str, Any], end: End) -> dict[str, Any]:
    """A record that leaves open why its job failed, with what Slurm says of that."""
    exit = final["exit"]
    if end.exit:
        return {"exit": {**exit, **{key: value for key, value in end.exit.items() if key != "signal"}}}
    if end.trouble:
        return dict(final)  # Slurm knows of nothing: it failed by itself, or somebody else killed it
    return {"lost": {**end.lost, "ended": exit["ended"]}}
