"""The invariants, held after every effect that can break them.

I1 a command starts at most once per attempt, and only under an open claim · I2 no two attempts of a job are alive together ·
I3 a slot has one attempt (these three: `programs.Ledger.begin`) · I4 a verdict is what the kernel said of that very command, when
all its processes were gone; LOST has a cause · I5 a commit is synced before it has its name, and never changes or goes · I6 a log
at home is what the command wrote · I7 what a person typed into a cell of theirs stands there in the end · I8 a command gets its
argv as claimed. Not judged: logs of a host whose records or power were taken, slots of GPUs, and rows behind the place where a
loss of power cut an unsynced save at the end of a row (`tore`).

The oracle reads the journal on the server's own disk each time a commit gets its name, and applies its facts to a state of its
own with the real rules. At the end of a run, when faults have stopped, everything has to be told: `at_rest`.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from typing import Any

from burnish.core import events
from burnish.core.jobs import Attempt, JobId, Word
from burnish.core.phases import Phase, phase
from burnish.core.state import State
from burnish.errors import BurnishError
from burnish.store.seal import unseal
from simulation.filesystem import FileSystem, Inode
from simulation.programs import Ledger
from simulation.world import World


class Oracle:
    """Knows one table's journal as it really is. `disturbances`: host -> how often its supervisors were killed."""

    def __init__(self, world: World, ledger: Ledger, disk: FileSystem, folder: Sequence[str]) -> None:
        self.world = world
        self.ledger = ledger
        self.disk = disk
        self._folder = folder  # of the table, from the disk's root
        self.state = State()
        self.commits: list[bytes] = []
        self.disturbances: dict[str, int] = {}
        self.expected: dict[
            tuple[int, str], str
        ] = {}  # (job, column) -> what a person typed there, where nothing stood
        self.perhaps: set[tuple[int, str]] = set()  # of these, only the beginning may stand there, or nothing
        self.cut_off: set[JobId] = (
            set()
        )  # whose rows stood behind the place where a power loss cut a text, at a row's end
        self.added: set[str] = set()  # the work of rows that a person added
        self.wiped: set[str] = set()  # hosts whose records somebody removed
        self.incarnation_of: Callable[[str], str] = lambda host: ""
        self._claimed_at: dict[str, int] = {}
        disk.on_named = self.named
        disk.on_torn = self.tore
        ledger.claimed = lambda name: any(attempt.name == name for attempt in self.state.open.values())

    # -- commits ---------------------------------------------------------------------------------------------------

    def named(self, folder: Inode, name: str, inode: Inode | None) -> None:
        """A name on the disk has changed."""
        if len(name) != 14 or not name.endswith(".jsonl"):
            return
        number = int(name[:8])
        if inode is None:
            self.world.fail(f"I5: commit {number} was removed")
        elif number <= len(self.commits):
            self.world.fail(f"I5: commit {number} was replaced")
        elif number != len(self.commits) + 1:
            self.world.fail(f"I5: commit {number} was put after commit {len(self.commits)}")
        elif inode.kept_data != bytes(inode.data):
            self.world.fail(f"I5: commit {number} got its name before it was synced")
        else:
            self._take(bytes(inode.data))

    def _take(self, data: bytes) -> None:
        self.commits.append(data)
        try:
            for line in list(unseal(data))[1:]:
                fact = events.from_json(line)
                self.world.note(f"COMMIT {len(self.commits)} {line[:300]}")
                self._judge(fact)
                self.state.apply(fact)
            self.state.check()
        except (ValueError, BurnishError) as error:
            self.world.fail(f"I5: commit {len(self.commits)} cannot follow: {error}")

    def after_power_loss(self) -> None:
        """Of the commits, all but the newest must still be there, unchanged."""
        folder = self._find(".burnish", "burnish.db", "log", "00000")
        entries = folder.entries if folder is not None else {}
        left = [entries[name] for name in sorted(entries)]
        for number, inode in enumerate(left):
            if sorted(entries)[number] != f"{number + 1:08d}.jsonl" or bytes(inode.data) != self.commits[number]:
                self.world.fail(f"I5: commit {number + 1} did not survive a loss of power, a later one did")
                return
        self.world.note(f"{len(self.commits) - len(left)} commits are lost with the power")
        self.commits, self.state = [], State()
        judge, self._judge = self._judge, lambda fact: None  # type: ignore[method-assign]
        for inode in left:
            self._take(bytes(inode.data))
        self._judge = judge  # type: ignore[method-assign]

    # -- facts -----------------------------------------------------------------------------------------------------

    def _judge(self, fact: Any) -> None:
        match fact:
            case events.AttemptClaimed():
                self._judge_claim(fact)
            case events.AttemptStarted():
                deed = self._deed(fact)
                if deed is None or not deed.starts:
                    if not fact.pid:
                        return  # `go` is on its disk, and the supervisor stands still before it runs the command
                    self.world.fail(f"I4: {self._name(fact)} is said to have started, and did not")
                elif deed.argv != self.state.open[fact.attempt].argv:
                    self.world.fail(f"I8: {self._name(fact)} was started as {deed.argv}")
            case events.AttemptVoided():
                if self._deed(fact) is not None:
                    self.world.fail(f"I4: {self._name(fact)} is said never to have started, and did")
                self.ledger.void[self._name(fact)] = fact.why
            case events.AttemptExited():
                self._judge_exit(fact)
            case events.AttemptLost():
                self._judge_loss(fact)

    def _judge_claim(self, fact: events.AttemptClaimed) -> None:
        if alive := self.ledger.living(fact.attempt.job):
            self.world.fail(f"I2: {fact.attempt} is claimed while {alive} live")
        self._claimed_at[f"{fact.attempt}-{fact.nonce}"] = self.disturbances.get(fact.host, 0)

    def _judge_exit(self, fact: events.AttemptExited) -> None:
        deed, name = self._deed(fact), self._name(fact)
        status = fact.code << 8 if fact.code is not None else fact.signal
        if deed is None or deed.status is None:
            self.world.fail(f"I4: {name} is said to have ended, and did not")
        elif deed.status != status:
            self.world.fail(f"I4: {name} is said to have ended with {status}; it was {deed.status}")
        elif deed.living:
            self.world.fail(f"I4: {name} is said to have ended while {[p.name for p in deed.living]} live")
        else:
            self._compare_logs(fact.attempt)

    def _judge_loss(self, fact: events.AttemptLost) -> None:
        deed, name = self._deed(fact), self._name(fact)
        if deed is not None and deed.living:
            self.world.fail(f"I2: {name} is said to be lost while {[p.name for p in deed.living]} live")
        if not self._has_cause(self.state.open[fact.attempt], deed):
            self.world.fail(f"I4: {name} is said to be lost ({fact.why}), and nothing happened to it")
        self.ledger.void[name] = fact.why

    def _has_cause(self, attempt: Attempt, deed: Any) -> bool:
        """True if what an attempt lives by was destroyed after its claim, or before, unknown to its claimer."""
        host = attempt.host
        if host in self.wiped or self.incarnation_of(host) != attempt.incarnation:
            return True
        if deed is not None and deed.supervisor is not None:
            return bool(deed.supervisor.status != 0)
        return self.disturbances.get(host, 0) != self._claimed_at.get(attempt.name, 0)

    def _name(self, fact: Any) -> str:
        attempt = self.state.open.get(fact.attempt)
        return str(fact.attempt) if attempt is None else attempt.name

    def _deed(self, fact: Any) -> Any:
        return self.ledger.deeds.get(self._name(fact))

    def _compare_logs(self, attempt_id: Any) -> None:
        attempt = self.state.jobs[attempt_id.job].attempts[attempt_id.number - 1]
        deed = self.ledger.deeds.get(attempt.name)
        for stream, suffix in (("out", ".log"), ("err", ".err")):
            if deed is not None and deed.torn:
                continue
            written = bytes(deed.written[stream]) if deed is not None else b""
            at_home = self.read_log(attempt.log + suffix)
            if at_home != written:
                self.world.fail(f"I6: {stream} of {attempt.name} at home is {at_home!r}; it wrote {written!r}")

    def read_log(self, name: str) -> bytes:
        """A log as it stands at home; empty if there is none."""
        inode = self._find("logs", "burnish", name)
        return b"" if inode is None else bytes(inode.data)

    def _find(self, *names: str) -> Inode | None:
        inode: Inode | None = self.disk.root
        for name in (*self._folder, *names):
            inode = inode.entries.get(name) if inode is not None else None
        return inode

    # -- the end ---------------------------------------------------------------------------------------------------

    @property
    def resting(self) -> bool:
        """True if nothing runs and nothing waits."""
        return not self.state.open and not any(phase(job) is Phase.WAITING for job in self.state.listed())

    def at_rest(self) -> None:
        """The run is over: everything is told, and the table says it."""
        for job in self.state.listed():
            attempt = job.attempt
            if job.word is Word.COMPLETE and (
                attempt is None or (deed := self.ledger.deeds.get(attempt.name)) is None or deed.status != 0
            ):
                self.world.fail(f"I4: job {job.id} is COMPLETE, and no command of it ended with 0")
        for job in self.state.jobs.values():
            for attempt in job.attempts:
                if attempt.verdict is not None and not attempt.verdict.reason.startswith("LOST"):
                    self._compare_logs(attempt.id)
        if alive := [deed.name for deed in self.ledger.deeds.values() if deed.living]:
            self.world.fail(f"I2: the table is at rest and {alive} live")
        table = self._find("burnish.db")
        self._compare_table("" if table is None else table.data.decode())

    def forget_edits(self) -> None:
        """What people saved may be gone with the power, or all but its beginning, unless it was merged."""
        for (job, column), typed in self.expected.items():
            if job not in self.state.jobs or typed not in self.state.jobs[JobId(job)].cells:
                self.perhaps.add((job, column))
        self.added.clear()

    def tore(self, whole: bytes, left: bytes) -> None:
        """Of the text `whole`, which nobody had synced, a loss of power left `left`.

        Cut just behind a row it reads as if somebody had deleted the others, which no burnish can know better.
        """
        at_a_row = left.endswith(b"\n") or whole[len(left) :].startswith(b"\n")
        if whole.startswith(b"JOB_ID,") and at_a_row:
            gone = (line.partition(b",")[0].decode() for line in whole[len(left) :].splitlines())
            self.cut_off.update(JobId(int(job)) for job in gone if job.isdigit())

    def _compare_table(self, text: str) -> None:
        rows = list(csv.DictReader(text.splitlines()))
        shown = {row["JOB_ID"]: row for row in rows}
        for job in self.state.listed():
            row = shown.get(str(job.id))
            if row is None or row["STATE"] != job.word.value:
                self.world.fail(f"at rest the table says {row} of job {job.id}, the journal {job.word}")
        for (job_id, column), typed in self.expected.items():
            job = self.state.jobs.get(JobId(job_id))
            if JobId(job_id) in self.cut_off and (job is None or job.removed):
                continue
            text = shown.get(str(job_id), {}).get(column)
            if text != typed and ((job_id, column) not in self.perhaps or not typed.startswith(text or "")):
                self.world.fail(f"I7: somebody typed {typed!r} into {column} of job {job_id}; it is {text!r}")
        for work in self.added:
            if (count := sum(job.cells[0] == work for job in self.state.listed())) != 1:
                self.world.fail(f"I7: somebody added a row {work}; there are {count} jobs of it")
