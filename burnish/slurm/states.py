"""What Slurm's states mean for an attempt: one table. Pure.

No state makes a verdict where the attempt's own supervisor left one: that stands, and Slurm's word says why a job was killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WAITS = frozenset(
    ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT")
)
KILLS = (9, 15)  # signals that Slurm ends jobs with


@dataclass(frozen=True, slots=True)
class End:
    """It is over: `why`, a clause. `exit`: what an exit record says of it; without one it is lost, and may run again.

    `refused` and `trouble`: what a void says, if it never began (docs/protocol.md).
    """

    why: str
    exit: Mapping[str, Any] = field(default_factory=dict)
    refused: bool = False
    trouble: bool = False


_UNSAID = "its script ended in Slurm without a verdict"
_OUT_OF_TIME = End("it was out of time in Slurm", {"signal": 9, "time_limit": True}, trouble=True)
_NODE = End("its node failed")

ENDS: Mapping[str, End] = {
    "COMPLETED": End(_UNSAID, trouble=True),
    "FAILED": End(_UNSAID, trouble=True),
    "TIMEOUT": _OUT_OF_TIME,
    "DEADLINE": _OUT_OF_TIME,
    "OUT_OF_MEMORY": End("it was out of memory in Slurm", {"signal": 9, "oom": True}, trouble=True),
    "CANCELLED": End("cancelled in Slurm", {"signal": 9, "cancelled": "scancel"}, refused=True),
    "NODE_FAIL": _NODE,
    "BOOT_FAIL": _NODE,
    "LAUNCH_FAILED": _NODE,
    "RECONFIG_FAIL": _NODE,
    "PREEMPTED": End("preempted in Slurm"),
    "REVOKED": End("revoked in Slurm"),
}
GONE = End("Slurm does not know it any more")


def end_of(state: str) -> End | None:
    """How a task in this state ended; None while it goes on, and for states that this version does not know."""
    return ENDS.get(state)


def waiting(state: str, reason: str) -> str:
    """Why a task in this state has not started, a clause; "" if it has, or is over."""
    if state not in WAITS:
        return ""
    return f"waiting for {reason}" if reason not in ("", "None") else "in Slurm's queue"


def leaves_open(final: Mapping[str, Any]) -> bool:
    """True if a supervisor's record says that its job was killed, and not why: Slurm may know."""
    exit = final.get("exit") or {}
    known = any(exit.get(key) for key in ("cancelled", "time_limit", "oom", "exec_error"))
    return exit.get("signal") in KILLS and not known


def completed(final: Mapping[str, Any], end: End) -> dict[str, Any]:
    """A record that leaves open why its job was killed, with what Slurm says of that."""
    exit = final["exit"]
    if end.exit:
        return {"exit": {**exit, **end.exit, "signal": exit["signal"]}}
    if end.trouble:
        return dict(final)  # Slurm knows of nothing: whoever killed it was somebody else
    return {"lost": {"why": end.why, "ended": exit["ended"]}}
