"""The nouns: job, attempt, slot, and the words of the STATE column.

A *job* is a row of the table. An *attempt* is one run of it, numbered from 1 and written `12.2`. A state carries exactly
what is true in it, so that "finished but no verdict" cannot be written. All values here are plain and immutable, except
`Job` and `Attempt`, which `core.state.State` alone changes.
"""

from __future__ import annotations

from collections import defaultdict
from enum import Enum
from typing import NamedTuple, NewType, Protocol

from msgspec import Struct, field

JobId = NewType("JobId", int)
HostName = NewType("HostName", str)
CoordinatorId = NewType("CoordinatorId", str)

FROM_FILE = "from the file"  # the reason of a result that the table had before its journal began
FOUND_RUNNING = "found as RUNNING"  # … of a job that stood there as RUNNING then, and is held
BY_HAND = "by hand"  # … of a result that a person typed
FAILED = "failed: "  # begins the reason of a job that is on HOLD since it failed
GRACE = 10.0  # s between TERM and KILL, unless asked otherwise
CANCELLED = "CANCELLED"  # the reason of a job that a person stopped, or kept from starting


class Word(str, Enum):
    """The words a person reads in the STATE column."""

    NOT_RUNNING = "NOT_RUNNING"
    HOLD = "HOLD"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    ERROR = "ERROR"

    __hash__ = str.__hash__  # as Enum's, which is a function in Python: jobs are counted by their words a lot

    def __str__(self) -> str:
        return self.value

    @property
    def final(self) -> bool:
        """True for COMPLETE and ERROR: nothing but a reset leaves these."""
        return self in (Word.COMPLETE, Word.ERROR)


class AttemptId(NamedTuple):
    """One run of a job. Prints as `12.2` everywhere: log, folder, table, messages."""

    job: JobId
    number: int

    def __str__(self) -> str:
        return f"{self.job}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> AttemptId:
        """Inverse of `str`. Raises ValueError for anything but `<digits>.<digits>`."""
        job, _, number = text.partition(".")
        if not (job.isascii() and job.isdigit() and number.isascii() and number.isdigit()):
            raise ValueError(f"{text!r} is not an attempt such as 12.2")
        return cls(JobId(int(job)), int(number))


class Slot(Struct, frozen=True):
    """A share of a host that one attempt occupies: worker `index`, and the GPU (as the inventory names it) it stands for.

    It is share number `share` of `of` equal ones of that GPU.
    """

    host: HostName
    index: int
    gpu: str | None = None
    share: int = 0
    of: int = 1


class Verdict(Struct, frozen=True):
    """How an attempt ended: COMPLETE or ERROR, and the reason shown for it (`exit 0`, `exit 1`, `signal 9`, `LOST: …`)."""

    word: Word
    reason: str
    started: float | None = None
    ended: float | None = None
    duration: float | None = None
    max_rss: int | None = None
    result: dict[str, object] | None = None


class Attempt(Struct):
    """One run of a job, from its claim on. Open until it has a `verdict` or is `voided`.

    `retries`: if it fails, and the job has failed no more often than this since its last reset, the job is started again, unless
    the policy that `on_failure` has for such a failure says otherwise.
    """

    id: AttemptId
    nonce: str
    by: CoordinatorId
    host: HostName
    state_id: str
    incarnation: str
    entry: dict[str, object]
    slots: tuple[int, ...]
    gpus: tuple[str, ...]
    argv: tuple[str, ...]
    log: str
    claimed_at: float
    retries: int = 0
    on_failure: dict[str, str] = field(default_factory=dict)
    pid: int | None = None
    started_at: float | None = None
    cancelled_by: str | None = None
    grace: float = GRACE
    voided: str | None = None
    verdict: Verdict | None = None
    version: str = ""  # of the code, as git had it checked out where the job started: "" if that is not known
    node: str = ""  # of a cluster, and the job's number there: `n3, Slurm job 17`
    after: str = ""  # the name of the attempt that had the slot when this one was claimed for it: core.ahead
    name: str = ""  # that of its folder on the host, and its own in every frame: `12.1-9f86d081`

    def __post_init__(self) -> None:
        self.name = f"{self.id}-{self.nonce}"

    @property
    def open(self) -> bool:
        """True while it runs or may still come to run."""
        return self.verdict is None and self.voided is None


class End(NamedTuple):
    """What became of an attempt, in short. `word`: None if it is void; `ended`: s since 1970, 0.0 if not known; `duration`: s."""

    word: Word | None
    host: HostName
    ended: float
    duration: float | None


class Unread(Protocol):
    """The attempts of a job, none of them open, for as long as nobody has asked for them. Called, it reads them.

    `end` is that of the newest.
    """

    @property
    def end(self) -> End: ...

    def __call__(self) -> list[Attempt]: ...


class Job(Struct):
    """A row of the table and what became of it.

    `word` follows from the newest attempt and the wishes of people; `reason` says why in a few words. `cells` are aligned with
    `State.columns`. `lost` counts attempts that died without a verdict or excuse since the last reset. `hold_next`: a person
    held it while it was claimed, so it is HOLD if that claim is voided or lost. `removed`: its row was deleted from the table.
    `failed_on`: the hosts on which it failed since the last reset, one for each failure. `outgrew`: those on which it ran out
    of memory. `ran_with` are the cells the newest attempt was claimed with, when they differ from `cells` now.
    `history` are the attempts, read or unread: a table of a hundred thousand jobs that ran is looked at without them.
    """

    id: JobId
    cells: tuple[str, ...]
    word: Word = Word.NOT_RUNNING
    reason: str = ""
    history: list[Attempt] | Unread = field(default_factory=list)
    lost: int = 0
    hold_next: bool = False
    removed: bool = False
    ran_with: tuple[str, ...] | None = None
    failed_on: tuple[HostName, ...] = ()
    outgrew: tuple[HostName, ...] = ()

    @property
    def attempts(self) -> list[Attempt]:
        """All of them, oldest first."""
        if not isinstance(self.history, list):
            self.history = self.history()
        return self.history

    def of(self, attempt_id: AttemptId) -> Attempt | None:
        """The attempt of this id, mostly the newest."""
        for attempt in reversed(self.attempts):
            if attempt.id == attempt_id:
                return attempt
        return None

    @property
    def failed(self) -> bool:
        """True if it failed for good, by itself: it is ERROR, or on HOLD since `on_failure` says so."""
        held = self.word is Word.HOLD and self.reason.startswith(FAILED)
        return held or (self.word is Word.ERROR and self.reason != CANCELLED)

    @property
    def dropped(self) -> bool:
        """True if its row was deleted while it waited: nothing is to be done about it any more."""
        return self.removed and self.word in (Word.NOT_RUNNING, Word.HOLD) and self.open_attempt is None

    @property
    def attempt(self) -> Attempt | None:
        """The newest attempt, open or not."""
        return self.attempts[-1] if self.attempts else None

    @property
    def open_attempt(self) -> Attempt | None:
        """The attempt that runs or may come to run, if there is one; there is never more than one."""
        history = self.history
        return history[-1] if isinstance(history, list) and history and history[-1].open else None

    @property
    def end(self) -> End | None:
        """How its newest attempt ended; None while it is open, and without one."""
        if not isinstance(self.history, list):
            return self.history.end
        last = self.history[-1] if self.history else None
        if last is None or last.open:
            return None
        if last.verdict is None:
            return End(None, last.host, 0.0, None)
        return End(last.verdict.word, last.host, last.verdict.ended or 0.0, last.verdict.duration)

    def excuse(self, host: HostName) -> None:
        """Let its newest failure on `host` not count. If that was its end, and retries were asked for, it waits again."""
        if host not in self.failed_on:
            return
        newest = len(self.failed_on) - 1 - self.failed_on[::-1].index(host)
        self.failed_on = self.failed_on[:newest] + self.failed_on[newest + 1 :]
        last = self.attempts[-1]
        its_end = self.word is Word.ERROR and last.host == host and last.verdict and last.verdict.reason == self.reason
        if its_end and last.retries and not self.removed:
            self.word, self.reason = Word.NOT_RUNNING, f"again: {self.reason}"


class OpenAttempts(dict[AttemptId, Attempt]):
    """Attempts by id, and by host: of a fleet's thousands, a host has a few. They are put in and taken out one at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._by_host: defaultdict[HostName, dict[AttemptId, Attempt]] = defaultdict(dict)

    def __setitem__(self, id: AttemptId, attempt: Attempt) -> None:
        super().__setitem__(id, attempt)
        self._by_host[attempt.host][id] = attempt

    def __delitem__(self, id: AttemptId) -> None:
        del self._by_host[self[id].host][id]
        super().__delitem__(id)

    def on(self, host: HostName) -> list[Attempt]:
        """Those on one host, in the order in which they were put in."""
        return list(self._by_host[host].values()) if host in self._by_host else []

    @property
    def whole(self) -> bool:
        """True if each is found by its host."""
        return all(self._by_host[attempt.host].get(id) is attempt for id, attempt in self.items()) and len(self) == sum(
            map(len, self._by_host.values())
        )
