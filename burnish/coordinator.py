"""The loop of one `burnish run`: hear, commit, act.

Each turn takes the reports that have come in, turns what is news into facts, adds the claims that free slots allow, and puts all
of it into one commit. Only then does it act: orders to hosts follow from committed facts alone (`core.actions.follow`), other
coordinators' facts included. So whatever is killed at whatever moment, the journal names every attempt that may exist, and the
next run asks the hosts what became of them.

A turn costs what has changed, not what there is: the queue, the open attempts and the table's dirty rows are kept by id.

State has one owner, this thread. Links and the runner have threads of their own, which only put reports on the inbox.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from burnish.core import actions, events, reports
from burnish.core.command import Command
from burnish.core.events import Fact
from burnish.core.jobs import Attempt, AttemptId, CoordinatorId, HostName, Job, JobId, Slot, Word
from burnish.core.placement import Selection, WaitingQueue, free_slots
from burnish.core.reports import Report
from burnish.core.spec import ended, spec, started, voided
from burnish.core.state import Phase, State, phase
from burnish.projection import Projection
from burnish.remote.link import Link
from burnish.runners.refusal import RunnerRefused
from burnish.runners.sources import Call, CommandSource
from burnish.store.journal import Journal
from burnish.store.paths import Paths
from burnish.store.presence import Presence

TROUBLE = 10.0  # s without new starts on a host that could start nothing
TURN = 0.25  # s between two looks at the journal, the table and the clock when nothing is heard


@dataclass(frozen=True, slots=True)
class Place:
    """A host that this run uses: how to reach it, and its slots."""

    host: HostName
    slots: tuple[Slot, ...]
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of this run. Without `source` it starts nothing and only looks after what runs.

    `attend`: attempts to look after whoever claimed them. `until`: end when this holds, instead of when nothing is left to do.
    `limit`: end after so many s in any case.
    """

    source: CommandSource | None = None
    selection: Selection = field(default_factory=Selection)
    num_jobs: int | None = None
    attend: frozenset[AttemptId] = frozenset()
    until: Callable[[State], bool] | None = None
    limit: float = float("inf")


@dataclass(slots=True)
class Outcome:
    """How a run ended: the ids it took up, how many attempts it claimed, the signal that stopped it, if one did, and whether no
    host could be used.
    """

    taken: set[JobId] = field(default_factory=set)
    claimed: int = 0
    stopped_by: int | None = None
    no_host: bool = False


class Reservation(NamedTuple):
    """A slot kept for a job while its command is made, and the cells it is made of: an edit in between makes it void."""

    slot: Slot
    cells: tuple[str, ...]


class Coordinator:
    """One run over one table. Build it, call `run`, look at the outcome."""

    def __init__(
        self,
        me: CoordinatorId,
        journal: Journal,
        paths: Paths,
        presence: Presence,
        projection: Projection,
        places: Sequence[Place],
        connect: Callable[[Place, Callable[[Report], None]], Link],
        plan: Plan,
        *,
        say: Callable[[str], None],
        on_news: Callable[[Sequence[Fact], State], None] = lambda facts, state: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.me = me
        self.outcome = Outcome()
        self._journal = journal
        self._paths = paths
        self._presence = presence
        self._projection = projection
        self._plan = plan
        self._say = say
        self._on_news = on_news
        self._clock = clock
        self._inbox: SimpleQueue[Report] = SimpleQueue()
        self._places = {place.host: place for place in places}
        self._links = {place.host: connect(place, self._inbox.put) for place in places}
        self._queue = WaitingQueue(self._may_start)
        self._skipped: frozenset[JobId] = frozenset()
        self._proposals: dict[AttemptId, Fact] = {}
        self._reserved: dict[JobId, Reservation] = {}
        self._commands: dict[JobId, Command] = {}
        self._specs: dict[str, dict[str, Any]] = {}
        self._wishes: SimpleQueue[Sequence[Call] | None] = SimpleQueue()
        self._turned_away: dict[HostName, str] = {}
        self._troubled: dict[HostName, float] = {}
        self._gone: set[CoordinatorId] = set()
        self._next_look = 0.0
        self._deadline = time.monotonic() + plan.limit

    # -- the loop --------------------------------------------------------------------------------------------------

    def stop(self, signal: int) -> None:
        """Ask for the end of the run from a signal handler. Jobs live on."""
        self._inbox.put(reports.StopAsked(signal))

    def run(self) -> Outcome:
        """Take turns until nothing that this run may start waits and nothing that it looks after runs."""
        self._presence.enter()
        try:
            self._paths.make_log_dir()
            self._begin()
            for link in self._links.values():
                link.start()
            if self._plan.source is not None and not self._plan.source.instant:
                threading.Thread(target=self._run_runner, args=(self._plan.source,), name="runner", daemon=True).start()
            while not self._finished():
                self.turn(TURN)
            self._projection.render()
            self._journal.checkpoint()
        finally:
            self._wishes.put(None)
            for link in self._links.values():
                link.close()
            self._presence.leave()
        return self.outcome

    def turn(self, timeout: float) -> None:
        """One turn: wait up to `timeout` s for a report, then hear, commit, act."""
        for report in self._heard(timeout):
            self._hear(report)
        if time.monotonic() >= self._next_look:
            self._look_around()
            self._next_look = time.monotonic() + TURN
        self._place()
        self._journal.commit(self._decide)
        self._act()
        self._projection.render_if_due()

    def _begin(self) -> None:
        state = self._journal.state
        self._journal.take_news()
        for job in state.listed():
            if phase(job) in (Phase.WAITING, Phase.CLAIMED, Phase.RUNNING):
                self._take_up([job.id])
        self._queue.update(state.jobs, state)
        state.take_touched()

    def _finished(self) -> bool:
        if self.outcome.stopped_by is not None or time.monotonic() >= self._deadline:
            return True
        if self._plan.until is not None:
            return not self._proposals and self._plan.until(self._journal.state)
        if self._proposals or self._mine():
            return False
        return self._starts_nothing() or not (self._queue or self._reserved)

    def _starts_nothing(self) -> bool:
        if self._plan.source is None or self.outcome.no_host:
            return True
        return self._plan.num_jobs is not None and self.outcome.claimed >= self._plan.num_jobs

    def _heard(self, timeout: float) -> list[Report]:
        batch: list[Report] = []
        try:
            batch.append(self._inbox.get(timeout=timeout))
            while True:
                batch.append(self._inbox.get_nowait())
        except Empty:
            return batch

    def _look_around(self) -> None:
        """What is not reported: other coordinators' commits, the user's edits, deaths, the passing of time."""
        self._journal.catch_up()
        for notice in self._projection.look():
            self._say(notice)
        if (skipped := self._projection.skipped) != self._skipped:
            mended, self._skipped = self._skipped ^ skipped, skipped
            self._queue.update(mended & self._journal.state.jobs.keys(), self._journal.state)
        self._presence.beat()
        for link in self._links.values():
            link.watch()
        self._adopt()
        self._journal.checkpoint()

    # -- hearing ---------------------------------------------------------------------------------------------------

    def _hear(self, report: Report) -> None:
        match report:
            case reports.AttemptReported(host, name):
                try:
                    self._hear_status(report)
                except (KeyError, TypeError, ValueError) as error:
                    self._say(
                        f"{host}: its record of {name} cannot be read ({error!r}). Nothing was concluded from it."
                    )
            case reports.CommandPrepared(job, command):
                self._commands[job] = command
            case reports.CommandRefused(job, why, detail):
                self._refuse(job, why, detail)
            case reports.HostConnected(host):
                self._turned_away.pop(host, None)
                self._resume(host)
            case reports.HostDropped(host, why):
                self._say(f"{host} does not answer ({why}); trying again. Its jobs are not affected.")
            case reports.HostTurnedAway(host, why):
                self._turned_away[host] = why
                self.outcome.no_host = len(self._turned_away) == len(self._places)
                self._say(f"{host} is not used: {why}")
            case reports.RequestRefused():
                self._hear_refusal(report)
            case reports.StopAsked(signal):
                self.outcome.stopped_by = signal

    def _hear_status(self, report: reports.AttemptReported) -> None:
        """Turn the status of a folder into the fact it proves, if that is news."""
        attempt = self._open_attempt(report)
        if attempt is None:
            if report.status in ("void", "ended") and self._settled(report):
                self._send(actions.AckAttempt(report.host, report.name))
            return
        link = self._links[report.host]
        assert link.welcome is not None
        rebooted = attempt.incarnation != link.welcome.incarnation
        match report.status:
            case "running" if attempt.started_at is None:
                self._propose(started(attempt.id, report.start or {}))
            case "void":
                self._propose(voided(attempt.id, report.start or {}))
            case "ended":
                self._propose(ended(attempt.id, report.final or {}))
            case "absent" if rebooted:
                self._propose(events.AttemptLost(attempt.id, "its host rebooted", self._clock()))
            case "absent" | "unstarted" if attempt.started_at is None and report.name not in self._specs:
                self._send(actions.void(attempt, "its coordinator is gone"))

    def _hear_refusal(self, report: reports.RequestRefused) -> None:
        """An order that the agent would not carry out. What it would not start, it is asked to make sure of."""
        attempt = self._open_attempt(report)
        if report.request == "start" and attempt is not None and attempt.started_at is None:
            self._send(actions.void(attempt, report.why))
        else:
            self._say(f"{report.host}: {report.request} {report.name} was refused: {report.why}")

    def _open_attempt(self, report: reports.AttemptReported | reports.RequestRefused) -> Attempt | None:
        try:
            attempt = self._journal.state.open.get(AttemptId.parse(report.name.partition("-")[0]))
        except ValueError:
            return None
        return attempt if attempt is not None and attempt.name == report.name else None

    def _settled(self, report: reports.AttemptReported) -> bool:
        """True if the journal already has this attempt's end, so that the host may forget it."""
        attempt_id = AttemptId.parse(report.name.partition("-")[0])
        job = self._journal.state.jobs.get(attempt_id.job)
        return job is not None and any(a.name == report.name and not a.open for a in job.attempts)

    def _propose(self, fact: Any) -> None:
        self._proposals[fact.attempt] = fact

    def _resume(self, host: HostName) -> None:
        """A host answers: give again every order that the state calls for, and hear what else it has."""
        self._links[host].send({"type": "list"})
        for attempt in self._mine():
            if attempt.host == host and self._is_there(attempt):
                for action in actions.resume(attempt, holds_spec=attempt.name in self._specs):
                    self._send(action)

    def _refuse(self, job_id: JobId, why: str, detail: str) -> None:
        """The runner made no command: write what it said where the job's errors are read, and let that be its verdict."""
        self._reserved.pop(job_id, None)
        job = self._journal.state.jobs[job_id]
        stem = self._stem(job)
        path = self._paths.log(stem, "err")
        path.write_text(f"{why}\n{detail}", encoding="utf-8", errors="backslashreplace")
        number = job.attempts[-1].id.number + 1 if job.attempts else 1
        self._propose(events.AttemptRefused(AttemptId(job_id, number), self.me, why, stem, self._clock()))

    # -- placing ---------------------------------------------------------------------------------------------------

    def _may_start(self, job: Job, state: State) -> bool:
        return job.id not in self._projection.skipped and self._plan.selection.admits(job, state)

    def _place(self) -> None:
        """Reserve a free slot for each next job and ask the runner for its command."""
        source = self._plan.source
        if source is None or not self._queue or not self._projection.readable:
            return
        calls = []
        for slot in self._free():
            if self._plan.num_jobs is not None and self.outcome.claimed + len(self._reserved) >= self._plan.num_jobs:
                break
            job_id = self._queue.pop()
            if job_id is None:
                break
            job = self._journal.state.jobs[job_id]
            self._reserved[job_id] = Reservation(slot, job.cells)
            calls.append(self._call(job, slot))
        if calls:
            self._prepare(source, calls)

    def _free(self) -> list[Slot]:
        state = self._journal.state
        free = []
        for place in self._places.values():
            calm = time.monotonic() >= self._troubled.get(place.host, 0.0)
            if calm and self._links[place.host].up and place.host not in state.drained:
                mine = [attempt for attempt in self._mine() if attempt.host == place.host]
                reserved = [kept.slot for kept in self._reserved.values() if kept.slot.host == place.host]
                free.extend(free_slots(place.slots, mine, reserved))
        return free

    def _call(self, job: Job, slot: Slot) -> Call:
        values = {"JOB_ID": str(job.id), "STATE": job.word.value, **self._journal.state.values(job)}
        folder = self._paths.log_dir
        gpus = slot.gpu or ""
        return Call(values, {"log_dir": str(folder.parent), "prefix": folder.name, "host": slot.host, "gpus": gpus})

    def _prepare(self, source: CommandSource, calls: Sequence[Call]) -> None:
        """Ask for the commands: at once, or in the runner's thread where a user's function may take its time."""
        if not source.instant:
            self._wishes.put(calls)
            return
        for report in prepared(source, calls):
            self._hear(report)

    def _run_runner(self, source: CommandSource) -> None:
        while (calls := self._wishes.get()) is not None:
            for report in prepared(source, calls):
                self._inbox.put(report)

    # -- committing ------------------------------------------------------------------------------------------------

    def _decide(self, state: State) -> list[Fact]:
        """All that is news, on the newest state. May be asked again when somebody else committed first."""
        facts = [fact for fact in self._proposals.values() if state.admits(fact)]
        for job_id, command in self._commands.items():
            job = state.jobs[job_id]
            slot, cells = self._reserved[job_id]
            if phase(job) is Phase.WAITING and not job.removed and job.cells == cells:
                facts.append(self._claim(job, command, slot))
        return facts

    def _claim(self, job: Job, command: Command, slot: Slot) -> events.AttemptClaimed:
        place, link = self._places[slot.host], self._links[slot.host]
        assert link.welcome is not None
        now = self._clock()
        return events.AttemptClaimed(
            attempt=AttemptId(job.id, job.attempts[-1].id.number + 1 if job.attempts else 1),
            nonce=secrets.token_hex(4),
            by=self.me,
            host=slot.host,
            state_id=link.welcome.state_id,
            incarnation=link.welcome.incarnation,
            entry=dict(place.entry),
            slots=(slot.index,),
            gpus=(slot.gpu,) if slot.gpu else (),
            argv=tuple(command.argv),
            log=self._stem(job),
            at=now,
        )

    def _stem(self, job: Job) -> str:
        return self._paths.free_log_stem(job.id, self._clock(), {attempt.log for attempt in job.attempts})

    # -- acting ----------------------------------------------------------------------------------------------------

    def _act(self) -> None:
        """Do what the committed facts call for; forget what they settled."""
        state = self._journal.state
        news = self._journal.take_news()
        self._proposals.clear()
        for fact in news:
            if isinstance(fact, events.AttemptClaimed) and fact.by == self.me:
                self._keep_spec(fact)
                self.outcome.claimed += 1
            if isinstance(fact, events.AttemptVoided) and fact.trouble:
                self._pause(state.jobs[fact.attempt.job].attempts[-1].host, fact.why)
            for action in actions.follow(fact, state, self.me):
                self._send(action)
        changed = state.take_touched().union(self._commands)
        for job_id in self._commands:
            del self._reserved[job_id]
        self._commands.clear()
        self._queue.update(changed, state)
        self._projection.mark(changed)
        self._take_up(job_id for job_id in changed if state.jobs[job_id].word in (Word.NOT_RUNNING, Word.RUNNING))
        if news:
            self._on_news(news, state)

    def _pause(self, host: HostName, why: str) -> None:
        """A host could start nothing: leave it alone for a while, so that a full disk is not tried a thousand times."""
        if host not in self._troubled:
            self._say(f"{host} cannot start anything now: {why}. Trying again every {TROUBLE:.0f} s.")
        self._troubled[host] = time.monotonic() + TROUBLE

    def _keep_spec(self, claim: events.AttemptClaimed) -> None:
        job = self._journal.state.jobs[claim.attempt.job]
        attempt = job.attempts[-1]
        logs = {stream: str(self._paths.log(attempt.log, stream)) for stream in ("out", "err")}
        self._specs[attempt.name] = spec(
            attempt, self._commands[job.id], str(self._paths.db), str(self._paths.log_dir), logs
        )

    def _send(self, action: actions.Action) -> None:
        link = self._links.get(action.host)
        if link is None:
            return
        match action:
            case actions.StartAttempt(_, name, incarnation, state_id):
                claim = {"incarnation": incarnation, "state_id": state_id}
                link.send({"type": "start", "attempt": name, "spec": self._specs[name], **claim})
            case actions.AskStatus(_, name):
                link.send({"type": "status", "attempt": name})
            case actions.VoidAttempt(_, name, incarnation, state_id, why):
                claim = {"incarnation": incarnation, "state_id": state_id}
                link.send({"type": "void", "attempt": name, "why": why, **claim})
            case actions.CancelAttempt(_, name, grace, by):
                link.send({"type": "cancel", "attempt": name, "grace": grace, "by": by})
            case actions.AckAttempt(_, name):
                self._specs.pop(name, None)
                link.send({"type": "ack", "attempt": name})

    # -- whose attempts --------------------------------------------------------------------------------------------

    def _mine(self) -> list[Attempt]:
        attempts = self._journal.state.open.values()
        return [attempt for attempt in attempts if attempt.by == self.me or attempt.id in self._plan.attend]

    def _is_there(self, attempt: Attempt) -> bool:
        """True if the host at the other end of the link is the one the attempt was started on, whatever its name."""
        link = self._links.get(attempt.host)
        return link is not None and link.welcome is not None and link.welcome.state_id == attempt.state_id

    def _adopt(self) -> None:
        """Look after the attempts, on hosts that answer here, of coordinators that are gone."""
        claimers = {attempt.by for attempt in self._journal.state.open.values()} - {self.me}
        self._gone = {claimer for claimer in claimers if not self._presence.alive(claimer)}
        if self._gone:
            self._journal.commit(self._adoptions)

    def _adoptions(self, state: State) -> list[Fact]:
        orphans = (a for a in state.open.values() if a.by in self._gone and self._is_there(a))
        return [events.AttemptAdopted(attempt.id, self.me) for attempt in orphans]

    def _take_up(self, job_ids: Iterable[JobId]) -> None:
        state = self._journal.state
        self.outcome.taken.update(
            job_id for job_id in job_ids if self._plan.selection.admits(state.jobs[job_id], state)
        )


def prepared(source: CommandSource, calls: Sequence[Call]) -> Iterator[Report]:
    """Ask the runner for the jobs' commands; a refusal is an answer too."""
    for call, made in zip(calls, source.prepare_many(calls), strict=True):
        job = JobId(int(call.job["JOB_ID"]))
        if isinstance(made, RunnerRefused):
            yield reports.CommandRefused(job, str(made), made.details)
        else:
            yield reports.CommandPrepared(job, made)
