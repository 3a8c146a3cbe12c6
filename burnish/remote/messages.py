"""What an agent says, as reports. Types are checked here, once: a host may be broken, of another version, or hostile.

What passes is what its report promises; only its meaning is still to be judged (`hearing.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.core import reports, sighting
from burnish.core.jobs import AttemptId, HostName
from burnish.core.reports import Report
from burnish.errors import HostRefused, HostUnreachable

LARGEST = 1 << 62  # bytes: no log is as large
LONGEST = 1000  # characters of a name or a sentence: they are written to the journal, or said


def cannot_work(host: str, why: str, passing: bool) -> HostRefused | HostUnreachable:
    """The error that an agent's refusal of `hello` means; `passing` if that may be another tomorrow."""
    trouble = HostUnreachable if passing else HostRefused
    return trouble(
        f"{host}: its agent cannot work there: {why}.",
        hint=f"{host} must let you write where attempts are kept, ~/.burnish unless `state_dir:` in the inventory names another "
        "folder, and into /var/tmp",
    )


def report(host: HostName, header: Mapping[str, Any], body: bytes) -> Report | None:
    """The report that a frame is, or None for one that is none. Raises KeyError or ValueError for what no agent says."""
    match header["type"]:
        case "status":
            return reports.AttemptReported(
                host,
                _attempt(header["attempt"]),
                _text(header["status"]),
                _record(header.get("start")),
                _record(header.get("final")),
                _sizes(header),
                _submitted(header),
                header.get("supervised") is not False,
                header.get("beats") is True,
            )
        case "log":
            where = *_log(header), _size(header["offset"]), _size(header["end"])
            return reports.LogPulled(host, *where, body, header.get("told") is True)
        case "grown":
            return reports.LogGrown(host, *_log(header))
        case "refused":
            name = _attempt(header["attempt"]) if header.get("attempt") else ""
            return reports.RequestRefused(host, name, *(_text(header[word])[:LONGEST] for word in ("request", "why")))
        case "ran":
            code, said = header["code"], [_text(header[name]) for name in ("out", "err")]
            if type(code) is not int:
                raise ValueError(f"expected an exit code, read {code!r:.80}")
            return reports.CommandRan(host, _text(header["id"]), code, *said)
        case "seen":
            return reports.HostSeen(host, sighting.read({}, header))
        case "welcome":
            said = [_text(header[name])[:LONGEST] for name in ("state_id", "incarnation", "hostname", "source")]
            return reports.HostConnected(host, reports.Welcome(*said))
    return None


def _attempt(value: object) -> str:
    name = _text(value)
    AttemptId.parse(name.partition("-")[0])  # raises ValueError
    return name


def _log(header: Mapping[str, Any]) -> tuple[str, str]:
    stream = _text(header["stream"])
    if stream not in ("out", "err"):
        raise ValueError(f"no log is called {stream!r:.80}")
    return _attempt(header["attempt"]), stream


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a text, read {value!r:.80}")
    return value


def _size(value: object) -> int:
    if type(value) is not int or not 0 <= value < LARGEST:
        raise ValueError(f"expected a number of bytes, read {value!r:.80}")
    return value


def _record(value: object) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"expected an object, read {value!r:.80}")
    return value


def _submitted(header: Mapping[str, Any]) -> reports.Submitted | None:
    """As what the attempt of a status is given to a batch system: while it is queued, and once it has started."""
    go = _record((_record(header.get("start")) or {}).get("go")) or {}
    batch = _record(header.get("batch") or go.get("batch"))
    if batch is None:
        return None
    if type(batch["index"]) is not int:
        raise ValueError(f"expected an index, read {batch['index']!r:.80}")
    return reports.Submitted(_text(batch["name"]), batch["index"], _text(batch.get("job") or ""))


def _sizes(header: Mapping[str, Any]) -> dict[str, int] | None:
    """Of an ended attempt's logs: its verdict says them, or the host, where its supervisor did not."""
    verdict = (_record(header.get("final")) or {}).get("exit")
    said = verdict.get("sizes") if isinstance(verdict, dict) else None
    sizes = said if isinstance(said, dict) and said else _record(header.get("sizes"))
    return None if sizes is None else {stream: _size(size) for stream, size in sizes.items()}
