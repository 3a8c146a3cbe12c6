"""Ids as people write and read them: of jobs, `3`, `3,5-8`, `all`; of runs, `pid 4711 on desk`."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.core.jobs import CoordinatorId, JobId
from burnish.errors import UsageError, printable

SHOWN_IDS = 12
TYPED_IDS = 100  # pieces of a command that somebody may copy
LONGEST_NUMBER = 4000  # digits; Python refuses to read more of them
EXPECTED = "Expected 3, or 3,5-8, or all."


def parse_ids(text: str, option: str = "--job_id") -> frozenset[JobId] | None:
    """`3`, `3,5-8`, `all` (None). Raises UsageError for anything else, in which `option` says where it was typed."""
    if text.strip().lower() == "all":
        return None
    if not text.strip():
        raise UsageError(f"{option} is empty. {EXPECTED}")
    where = f"{option} {printable(text)}"
    ids: set[JobId] = set()
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        numbers = [first, last] if dash else [first]
        if not part.strip():
            raise UsageError(f"{where}: an id is missing beside a comma. {EXPECTED}")
        if not all(is_number(number) for number in numbers):
            raise UsageError(f'{where}: "{printable(part.strip())}" is not an id. {EXPECTED}')
        low, high = int(numbers[0]), int(numbers[-1])
        if low > high:
            raise UsageError(f"{where}: {printable(f'{low}-{high}')} runs backwards. {EXPECTED}")
        if high - low >= 10_000_000:
            raise UsageError(f"{where}: {printable(f'{low}-{high}')} is more jobs than a table holds.")
        ids.update(JobId(number) for number in range(low, high + 1))
    return frozenset(ids)


def is_number(text: str) -> bool:
    """True for a whole number, 0 or more, in the digits that ids are written in."""
    return text.isascii() and text.isdigit() and len(text) <= LONGEST_NUMBER


def name_ids(ids: Sequence[int]) -> str:
    """`3, 5-8`: ranges where they help, at most a dozen pieces."""
    pieces = _ranges(ids)
    return ", ".join(pieces[:SHOWN_IDS]) + (f" and {len(pieces) - SHOWN_IDS} more" if len(pieces) > SHOWN_IDS else "")


def name_jobs(ids: Sequence[int]) -> str:
    """`job 3`, `jobs 3, 5-8`."""
    return f"{'job' if len(ids) == 1 else 'jobs'} {name_ids(ids)}"


def typed_ids(ids: Sequence[int]) -> str:
    """`3,5-8`: all of them, as `parse_ids` reads them."""
    return ",".join(_ranges(ids))


def to_type(ids: Sequence[int]) -> str:
    """The same in a command that is suggested; `IDS` where nobody would copy it, and no shell take it: thousands of pieces."""
    pieces = _ranges(ids)
    return ",".join(pieces) if len(pieces) <= TYPED_IDS else "IDS"


def _ranges(ids: Sequence[int]) -> list[str]:
    pieces: list[str] = []
    start = previous = None
    for number in [*sorted(ids), None]:
        if start is not None and previous is not None and number != previous + 1:
            pieces.append(f"{start}" if start == previous else f"{start}-{previous}")
            start = number
        if start is None:
            start = number
        previous = number
    return pieces


def new_run(host: str, pid: int, token: str) -> CoordinatorId:
    """The id of a run on `host`; `token` tells it from another one of the same pid."""
    return CoordinatorId(f"{host[:32]}-{pid}-{token}")


def name_run(run: CoordinatorId) -> str:
    """`pid 4711 on desk`: what tells a person which process that is."""
    pid, host = process_of(run)
    return run if pid is None else f"pid {pid} on {host}"


def process_of(run: CoordinatorId) -> tuple[int | None, str]:
    """(pid, host) of a run; (None, "") if its id does not say."""
    parts = run.rsplit("-", 2)
    return (int(parts[1]), parts[0]) if len(parts) == 3 and parts[1].isdigit() else (None, "")
