"""The order for one attempt, and the facts its records prove: both ends of docs/protocol.md as a coordinator sees it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.core import compact, events
from burnish.core.command import Command, sought
from burnish.core.events import Fact
from burnish.core.failures import note_of
from burnish.core.hosts import Host
from burnish.core.jobs import GRACE, Attempt, AttemptId

LONGEST_WHY = 500  # characters of a sentence from a host
LONGEST_VERSION = 150  # … of what it says of the code
LONGEST_NODE = 300  # … and of where it is
LATEST = 1e12  # s: no time or duration is as large
LARGEST = 1 << 53  # nor any number that a record counts with
_NUMBERS = (int, float)


def spec(
    attempt: Attempt,
    command: Command,
    host: Host,
    *,
    table: str,
    log_dir: str,
    logs: Mapping[str, str],
    environment: Mapping[str, str],
    slots: Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    gpus: int | None = None,
    sbatch: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What the agent is asked to start. `logs`: the paths of `out` and `err` if the job writes them in place, else nothing.

    `environment`: what the host's entry and slot add. What the command itself sets wins. `time_limit` in s.
    `gpus`: how many a batch system is asked for; elsewhere they are in `slots`. `sbatch`: what it is asked for besides.
    """
    own = {
        "BURNISH_JOB_ID": str(attempt.id.job),
        "BURNISH_ATTEMPT": str(attempt.id.number),
        "BURNISH_DB": table,
        "BURNISH_HOST": str(attempt.host),
        "BURNISH_SLOT": ",".join(map(str, attempt.slots)),
        "BURNISH_GPUS": ",".join(attempt.gpus),
        "BURNISH_LOG_DIR": log_dir,
    }
    return {
        "argv": list(command.argv),
        "cwd": command.cwd or attempt.entry["workdir"],
        "env": {**environment, **own, **(command.env or {})},
        "setup": host.setup,
        **sought(command.argv),
        "grace": GRACE,
        **({"slots": dict(slots)} if slots is not None else {}),
        **({"time_limit": time_limit} if time_limit is not None else {}),
        **({"gpus": gpus} if gpus is not None and host.engine == "slurm" else {}),
        **({"sbatch": dict(sbatch)} if sbatch and host.engine == "slurm" else {}),
        **logs,
    }


def _brief(text: object) -> str:
    """What a host says in words, as far as a reason needs it."""
    return str(text)[:LONGEST_WHY]


def started(attempt: AttemptId, start: Mapping[str, Any]) -> Fact:
    """The fact that a start.json with `go` proves. Raises KeyError, TypeError or ValueError for anything else."""
    go = _record(start["go"])
    return events.AttemptStarted(attempt, _whole(go.get("pid", 0)), _seconds(go["started"]), _version(go), _node(go))


def voided(attempt: AttemptId, start: Mapping[str, Any]) -> events.AttemptVoided:
    """The fact that a start.json with `void` proves. Raises KeyError, TypeError or ValueError for anything else."""
    void = _record(start["void"])
    kind = {name: bool(void.get(name)) for name in ("refused", "trouble", "busy")}
    return events.AttemptVoided(attempt, _brief(void["why"]), **kind, lacks=_lacks(void))


def ended(attempt: AttemptId, final: Mapping[str, Any], start: Mapping[str, Any] | None = None) -> Fact:
    """The fact that a final.json proves. Raises KeyError, TypeError or ValueError for anything else.

    `start`: its start.json, if it was not heard of before: what only that says goes into the fact, too.
    """
    if "lost" in final:
        lost = _record(final["lost"])
        return events.AttemptLost(attempt, _brief(lost["why"]), _seconds(lost["ended"]), bool(lost.get("excused")))
    record = _record(final["exit"])
    code, signal = record.get("code"), record.get("signal")
    if (code is None) == (signal is None):
        raise ValueError("an exit has a code or a signal")
    result = record.get("result")
    go = (start or {}).get("go")
    begun = go if isinstance(go, dict) else {}  # a verdict does not hang on it
    return events.AttemptExited(
        attempt=attempt,
        code=None if code is None else _whole(code),
        signal=None if signal is None else _whole(signal),
        started=_seconds(record["started"]),
        ended=_seconds(record["ended"]),
        duration=_seconds(record["duration"]),
        max_rss=_whole(record["max_rss"]),
        cancelled=bool(record.get("cancelled")),
        time_limit=bool(record.get("time_limit")),
        oom=bool(record.get("oom")),
        leftovers=_whole(record.get("leftovers", 0)),
        result=result if isinstance(result, dict) else None,
        not_started=_brief(record.get("exec_error") or ""),
        error=_brief(record.get("result_error") or ""),
        note=note_of(str(record.get("tail") or "")),
        lacks=_lacks(record) if record.get("exec_error") else None,
        pid=_pid(begun) or _pid(record),
        version=_version(begun),
        node=_node(begun),
    )


def _pid(said: Mapping[str, Any]) -> int:
    """The job's pid, 0 if this record does not say it, as a start.json does not: that is made before the job is."""
    pid = said.get("pid")
    return pid if type(pid) is int and 0 < pid < LARGEST else 0


def _version(go: Mapping[str, Any]) -> str:
    return str(go.get("version") or "")[:LONGEST_VERSION]


def _node(go: Mapping[str, Any]) -> str:
    """Where on a cluster it began, and as which job of the batch system; "" elsewhere."""
    if not isinstance(batch := go.get("batch"), dict):
        return ""
    number, node = batch.get("job"), batch.get("node") or go.get("host")
    return ", ".join([str(node)] * bool(node) + [f"Slurm job {number}"] * bool(number))[:LONGEST_NODE]


def _lacks(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a host says that it lacks; None for what it could not be asked for as it was said: no JSON has an infinity."""
    lacks = record.get("lacks")
    return lacks if isinstance(lacks, dict) and compact.decode(compact.encode(lacks)) == lacks else None


def _record(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, read {value!r:.80}")
    return value


def _whole(value: object) -> int:
    """A number that decides is never rounded into a verdict: 0.4 and false are no exit codes."""
    if type(value) is not int or abs(value) > LARGEST:
        raise TypeError(f"expected a whole number, read {value!r:.80}")
    return value


def _seconds(value: object) -> float:
    """Finite: what a host says is written to the journal and shown."""
    if not isinstance(value, _NUMBERS) or not abs(value) < LATEST:
        raise ValueError(f"expected a time in s, read {value!r:.80}")
    return float(value)
