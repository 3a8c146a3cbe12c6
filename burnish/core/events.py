"""The facts a journal holds, in the past tense, and their JSON.

A fact is true once it is committed, whoever wrote it, and `State.apply` is the only reader of its meaning. Facts are frozen
values; a fact about an attempt names it by `AttemptId`. Times are seconds since 1970 on the clock of whoever wrote them and
are for showing only: nothing is decided by comparing two of them.

A reader that meets a kind of fact it does not know belongs to an older burnish and must not write (`UnknownFact`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Union

from msgspec import Struct, field
from msgspec.structs import asdict

from burnish.core import compact
from burnish.core.jobs import AttemptId, JobId
from burnish.errors import StoreError


class UnknownFact(StoreError):
    """The journal was written by a newer burnish."""


class TableOpened(Struct, frozen=True):
    """The first fact of a journal. `columns`: control columns and arguments in table order, without JOB_ID and STATE."""

    table: str
    columns: tuple[str, ...]
    at: float


class TableClosed(Struct, frozen=True):
    """`clean`: the journal is about to be removed; whoever reads this stops and writes nothing."""

    by: str


class JobsAdded(Struct, frozen=True):
    """New rows. Each is `[id, cell, cell, …]`, cells aligned with `columns` (which may add columns to the table)."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


class ColumnsChanged(Struct, frozen=True):
    """A person added, removed, renamed or reordered columns; cells of a column that stays keep their text."""

    columns: tuple[str, ...]


class JobChanged(Struct, frozen=True):
    """A person edited cells of a row: column -> new text. A running attempt keeps its old command."""

    job: int
    cells: dict[str, str]


class JobRemoved(Struct, frozen=True):
    """A person deleted the row. A running attempt goes on until it ends or is cancelled."""

    job: int


class JobMarked(Struct, frozen=True):
    """The state was set without a run: `word` is COMPLETE, ERROR or HOLD, `reason` says by whom (`by hand`, `from the file`)."""

    job: int
    word: str
    reason: str


class ResetRequested(Struct, frozen=True):
    """Run it again: NOT_RUNNING, whatever it was but running."""

    job: int


class HoldRequested(Struct, frozen=True):
    """Keep it out until released. `reason` is `` or `CANCELLED`."""

    job: int
    reason: str = ""


class ReleaseRequested(Struct, frozen=True):
    """HOLD -> NOT_RUNNING."""

    job: int


class CancelRequested(Struct, frozen=True):
    """Stop this attempt's whole process tree: TERM, `grace` seconds, KILL. Its end is ERROR, CANCELLED; never retried.

    Asked again, it has the shortest grace, from when that was asked.
    """

    attempt: AttemptId
    by: str
    grace: float


class AttemptClaimed(Struct, frozen=True):
    """Coordinator `by` will start this attempt on `host`. Committed before the host hears of it.

    `nonce` completes the name of its folder there; `state_id` and `incarnation` are the host's at that time; `entry` is what a
    later run needs to reach the host; `slots` are slot indices; `log` is the stem of its log files below the log folder. With
    `after`, the name of an attempt, it waits on the host until that one, which has its slot, has ended. `retries`: how often the
    job may fail before it is left as ERROR and not started again; `on_failure` has policies for kinds of failures
    (`core.failures`), which go before that.
    """

    attempt: AttemptId
    nonce: str
    by: str
    host: str
    state_id: str
    incarnation: str
    entry: dict[str, Any]
    slots: tuple[int, ...]
    gpus: tuple[str, ...]
    argv: tuple[str, ...]
    log: str
    at: float
    after: str = ""
    retries: int = 0
    on_failure: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """That of its folder on the host: `12.1-9f86d081`."""
        return f"{self.attempt}-{self.nonce}"


class AttemptRefused(Struct, frozen=True):
    """burnish could not even make a command (the runner raised, an argument is too long): ERROR, `not started: why`."""

    attempt: AttemptId
    by: str
    why: str
    log: str
    at: float


class AttemptQueued(Struct, frozen=True):
    """The word of a host's batch system: it has the attempt and has not started it, for the reason `why`, a clause."""

    attempt: AttemptId
    why: str


class AttemptDisowned(Struct, frozen=True):
    """It runs, and its host's batch system has no such job: `why` that is known, a clause, or "" if it has it again."""

    attempt: AttemptId
    why: str


class AttemptStarted(Struct, frozen=True):
    """The host's word: its gate opened. `pid` on that host; `version` of the code in its folder then, as git knows it, or "".

    `node`: of a cluster, and the job's number there, or "".
    """

    attempt: AttemptId
    pid: int
    at: float
    version: str = ""
    node: str = ""


class AttemptVoided(Struct, frozen=True):
    """The host's word: the command never ran and never will.

    `refused`: it cannot be run as asked (ERROR, no retry). `trouble`: that host could not start anything (a full disk).
    `busy`: its slot could not be had. `lacks`: what it needs and that host has not, in the agent's words (`core.lacking`).
    """

    attempt: AttemptId
    why: str
    refused: bool = False
    trouble: bool = False
    busy: bool = False
    lacks: dict[str, Any] | None = None


class AttemptExited(Struct, frozen=True):
    """The word of the process that waited for the job: `code` or `signal` (one is None), and what it measured.

    `duration` in s, `max_rss` in KiB, `result` the JSON object that the job reported, or None. `cancelled` and `time_limit`:
    its supervisor ended it, asked by a person or by the clock; `oom`: the kernel did, for want of memory. `leftovers` counts
    processes it left behind, which were ended. `not_started`: why its program could not be executed. `lacks`: the command was
    not reached behind its `setup` lines, the host's fault as in `AttemptVoided`. `error`: why its result could not be read.
    `note`: what the end of its stderr says of why it failed. `pid`, `version` and `node`: as in `AttemptStarted`, of an attempt
    that had ended before anybody heard that it had started; otherwise 0 and "".
    """

    attempt: AttemptId
    code: int | None
    signal: int | None
    started: float
    ended: float
    duration: float
    max_rss: int
    cancelled: bool = False
    time_limit: bool = False
    oom: bool = False
    leftovers: int = 0
    result: dict[str, Any] | None = None
    not_started: str = ""
    error: str = ""
    note: str = ""
    lacks: dict[str, Any] | None = None
    pid: int = 0
    version: str = ""
    node: str = ""


class AttemptLost(Struct, frozen=True):
    """The host's word: it died without a verdict (`host rebooted`, `killed with its supervisor`).

    `excused`: its place was taken from it (Slurm preempted it). That may happen to a job as often as it likes.
    """

    attempt: AttemptId
    why: str
    at: float
    excused: bool = False


class AttemptAdopted(Struct, frozen=True):
    """Coordinator `by` looks after an attempt whose claimer is gone."""

    attempt: AttemptId
    by: str


class HostForgotten(Struct, frozen=True):
    """A person gave up this host's attempts without its word (`burnish forget`)."""

    host: str
    state_id: str
    by: str


class HostDrained(Struct, frozen=True):
    """No new attempt goes to this host until it is undrained; or, if `host` is such as `gpu3:GPU-8c7…`, to that GPU of it.

    `excused`: jobs whose newest failure there was the fault of what is drained, and burns no retry.
    """

    host: str
    reason: str
    by: str
    excused: tuple[int, ...] = ()


class HostUndrained(Struct, frozen=True):
    host: str
    by: str


class StartsHalted(Struct, frozen=True):
    """Nothing more is started in any run, for a reason such as `5 jobs of 20 failed`. What runs goes on."""

    why: str
    by: str


class StartsResumed(Struct, frozen=True):
    """Somebody started a run after a halt."""

    by: str


class TableRendered(Struct, frozen=True):
    """A text of the table that is about to be put in place (or a save that was merged): `sha256` of its bytes, hex.

    The last one named is the text that stands there if nobody has saved; so it is named again after a save that went elsewhere.

    `ids` gives the ids of rows that had none in that text: row number (from 0, data rows only) -> id.
    """

    sha256: str
    ids: dict[str, int]
    at: float


Fact = Union[  # noqa: UP007 - evaluated at run time for the registry below
    TableOpened,
    TableClosed,
    JobsAdded,
    ColumnsChanged,
    JobChanged,
    JobRemoved,
    JobMarked,
    ResetRequested,
    HoldRequested,
    ReleaseRequested,
    CancelRequested,
    AttemptClaimed,
    AttemptRefused,
    AttemptQueued,
    AttemptDisowned,
    AttemptStarted,
    AttemptVoided,
    AttemptExited,
    AttemptLost,
    AttemptAdopted,
    HostForgotten,
    HostDrained,
    HostUndrained,
    StartsHalted,
    StartsResumed,
    TableRendered,
]

BEGINNINGS = (AttemptClaimed, AttemptRefused)  # of each of which an attempt comes
ENDS = (AttemptExited, AttemptLost, AttemptVoided)  # of an attempt that was claimed


class _Codec:
    """Per class: which fields hold an AttemptId and which tuples, so that JSON's strings and lists become them again."""

    kinds: ClassVar[dict[str, tuple[type[Any], tuple[str, ...], tuple[str, ...]]]] = {}

    @classmethod
    def register(cls, kind: type[Any]) -> None:
        types = kind.__annotations__
        attempts = tuple(name for name in types if types[name] == "AttemptId")
        tuples = tuple(name for name in types if types[name].startswith("tuple["))
        cls.kinds[kind.__name__] = (kind, attempts, tuples)


for _kind in Fact.__args__:  # type: ignore[attr-defined]
    _Codec.register(_kind)


def job_of(fact: Fact) -> JobId | None:
    """The one job that a fact is about, itself or by its attempt; None for a fact about the table, a host or many jobs."""
    attempt = getattr(fact, "attempt", None)
    return getattr(fact, "job", None) if attempt is None else JobId(attempt.job)


def to_json(fact: Fact) -> str:
    """One line of JSON, ASCII, without newline: `{"fact":"AttemptStarted","attempt":"12.1",…}`."""
    values = asdict(fact)
    for name in _Codec.kinds[type(fact).__name__][1]:
        values[name] = str(values[name])
    said = values.get("result") or values.get("lacks")  # by a job, or its host: any JSON
    encode = compact.exact if said else compact.encode
    return encode({"fact": type(fact).__name__, **values})


def from_json(line: str) -> Fact:
    """Inverse of `to_json`. Raises UnknownFact for a kind or field of a newer burnish, ValueError for anything malformed."""
    values = compact.decode(line)
    if not isinstance(values, dict) or not isinstance(values.get("fact"), str):
        raise ValueError("a fact is a JSON object with a key fact")
    name = values.pop("fact")
    if name not in _Codec.kinds:
        raise UnknownFact(
            f'The journal holds a fact "{name}" that this burnish does not know. A newer burnish wrote it; nothing was changed.',
            hint="install the newer burnish here too",
        )
    kind, attempts, tuples = _Codec.kinds[name]
    if unknown := sorted(values.keys() - set(kind.__struct_fields__)):
        raise UnknownFact(
            f'The journal holds a fact {name} with "{unknown[0]}", which this burnish does not know. '
            "A newer burnish wrote it; nothing was changed.",
            hint="install the newer burnish here too",
        )
    try:
        for field in attempts:
            values[field] = AttemptId.parse(values[field])
        for field in tuples:
            values[field] = _as_tuple(values[field])
        return kind(**values)  # type: ignore[no-any-return]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"malformed {name}: {error}") from None


def _as_tuple(value: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(tuple(item) if isinstance(item, list) else item for item in value)
