"""The loop of one `burnish run`: hear, commit, act.

Each turn takes the reports that have come in, turns what is news into facts, adds the claims that free slots allow, and puts all
of it into one commit. Only then does it act: orders to hosts follow from committed facts alone (`core.actions.follow`), other
coordinators' facts included. So whatever is killed at whatever moment, the journal names every attempt that may exist, and the
next run asks the hosts what became of them.

A turn costs what has changed, not what there is: the queue, the open attempts and the table's dirty rows are kept by id.

State has one owner, this thread. Links and the runner have threads of their own, which only put reports on the inbox.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from burnish.adoption import Adoption
from burnish.brakes import Brakes
from burnish.changes import Changes
from burnish.claiming import Claiming
from burnish.core import actions, ahead, events, reports
from burnish.core.events import Fact
from burnish.core.hosts import without_name
from burnish.core.jobs import AttemptId, CoordinatorId, HostName, JobId, Slot, Word
from burnish.core.phases import Phase, phase
from burnish.core.reports import Report
from burnish.core.state import State
from burnish.fleet import Connect, Fleet
from burnish.hearing import Hearing
from burnish.inbox import Inbox
from burnish.inspection import Inspection
from burnish.orders import Orders
from burnish.placing import Placing
from burnish.plan import Outcome, Plan
from burnish.preparation import Preparation
from burnish.projection import Projection
from burnish.retried import Retried
from burnish.silence import Silence
from burnish.store import unplaced
from burnish.store.journal import Decide, Journal
from burnish.store.paths import Paths
from burnish.store.presence import Presence
from burnish.vacancies import Vacancies
from burnish.watchdog import Watchdog

TROUBLE = 10.0  # s without new starts on a host that could start nothing
_TOLD = (events.AttemptQueued, events.AttemptDisowned)
FAREWELL = 2.0  # s in which a run that is stopped waits for what it claimed ahead to come back


class Coordinator:
    """One run over one table. Build it, call `run`, look at the outcome."""

    def __init__(
        self,
        me: CoordinatorId,
        journal: Journal,
        paths: Paths,
        presence: Presence,
        projection: Projection,
        connect: Connect,
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
        self._inbox = Inbox(self._is_urgent)
        self._fleet = Fleet(connect, self._inbox.put)
        self._changes = Changes(lambda: self._inbox.put(reports.DiskChanged()))
        self._preparation = Preparation(plan.source, self._inbox.put)
        self._proposals: dict[AttemptId, Fact] = {}
        self._inspection = Inspection(me, journal.state, self._fleet, say)
        self._adoption = Adoption(me, journal.state, self._fleet, presence, plan.attend)
        self._vacancies = Vacancies(
            me,
            journal.state,
            self._fleet,
            self._inspection,
            plain=plan.workers is not None,
            most=plan.most,
            is_mine=self._adoption.is_mine,
            ahead=plan.max_fails is None,  # what waits on a host may start before its leader's failure is heard of
        )
        self._placing = Placing(
            journal.state,
            plan,
            self.outcome,
            self._fleet,
            vacancies=self._vacancies,
            projection=projection,
            preparation=self._preparation,
            paths=paths,
            lacking=self._inspection.lacking,
            say=say,
        )
        self._more = False  # there is something to place that no report will tell of
        self._claiming = Claiming(
            me,
            journal.state,
            plan,
            self.outcome,
            self._fleet,
            preparation=self._preparation,
            paths=paths,
            elsewhere=self._placing.elsewhere,
            say=say,
            clock=clock,
        )
        self._hearing = Hearing(journal.state, self._fleet, paths, self._propose, self._claiming.specs, say, clock)
        self._brakes = Brakes(me, journal.state, plan, self.outcome)
        self._orders = Orders(journal.state, self._fleet, self._claiming.specs, self._adoption.is_mine)
        self._silence = Silence(say)
        self._writes = Retried(say, "Nothing new is started; trying again. Running jobs go on.")
        self._reads = Retried(say, "Trying again. Running jobs go on.")
        self._last = Retried(say, "burnish status shows what the table lacks; the next run writes it.")
        self._looked = 0.0  # when it last looked around, monotonic
        self._deadline = time.monotonic() + plan.limit
        self._leave_by = 0.0
        self._watchdog = Watchdog(paths.shown, say)

    # -- the loop --------------------------------------------------------------------------------------------------

    def stop(self, signal: int) -> None:
        """Ask for the end of the run from a signal handler. Jobs live on."""
        self._inbox.put(reports.StopAsked(signal))

    def slots(self) -> dict[HostName, tuple[int, int | None]]:
        """Of each host on which this run may start jobs, how many slots are busy, and how many it has; None while not known."""
        members = [member for member in self._fleet.members.values() if member.starts]
        busy = self._vacancies.busy(members)
        return {m.host.name: (busy[m.host.name], len(m.slots) if m.offer.known else None) for m in members}

    def down(self) -> dict[HostName, str]:
        """Hosts that cannot be used now, and why: they have been silent for a while, or turned this run away."""
        return {**self._silence.down(), **self._fleet.refused()}

    def run(self) -> Outcome:
        """Take turns until nothing that this run may start waits and nothing that it looks after runs."""
        self._presence.enter()
        try:
            if self._plan.source is not None or self._plan.attend:
                self._paths.make_log_dir()
            self._watchdog.start()
            self._begin()
            while not self._finished():
                self.turn(0 if self._more else self._changes.pause)
            if self.outcome.stopped_by is None and (not self._starts_nothing() or self._fleet.gives_up):
                self.outcome.stuck = self._placing.stuck()
                self._tell_unplaced()
            mine = (attempt for attempt in self._adoption.mine() if self._fleet.holds(attempt))
            self.outcome.told = {attempt.id: attempt.id in self._hearing.lives for attempt in mine}
            self.outcome.unwritten = not self._last.done(self._conclude)
        finally:
            self._watchdog.stop()
            self._changes.close()
            self._preparation.close()
            self._fleet.close()
            self._presence.leave()
        return self.outcome

    def _conclude(self) -> None:
        """The last words of a run are about what is known now. Raises StoreError."""
        self._journal.catch_up()
        self._projection.mark(self._journal.state.take_touched())
        for notice in self._projection.finish():
            self._say(notice)
        self._journal.checkpoint()

    def turn(self, timeout: float) -> None:
        """One turn: wait up to `timeout` s for a report, then hear, commit, act."""
        self._watchdog.turned()
        self._more = False  # or a disk that refuses would be asked without a pause
        for report in self._inbox.take(timeout, self._journal.wait):
            self._changes.heard(report)
            self._hear(report)
        if time.monotonic() >= self._looked + self._changes.pause:
            self._look_around()
            self._looked = time.monotonic()
        if not self._stopping:
            self._placing.place(self._ending(), self._brakes.room, self._brakes.room_on)
            for answer in self._preparation.answered():  # for a claim in the commit that frees its slot
                self._hear(answer)
        if self._commit(self._decide):
            self._act()
        self._projection.render_if_due()

    def _commit(self, decide: Decide) -> bool:
        """Put what is new on disk. False while the disk refuses: nothing is acted on, and the next turn tries again."""
        return self._writes.done(lambda: self._journal.commit(decide))

    def _begin(self) -> None:
        state = self._journal.state
        self._journal.take_news()
        self._take_up(job.id for job in state.listed() if job.word in (Word.NOT_RUNNING, Word.RUNNING))
        self._placing.update(state.jobs)
        state.take_touched()
        for host in self._plan.hosts:
            own = None if self._plan.workers is None else tuple(Slot(host.name, n) for n in range(self._plan.workers))
            self._fleet.add(host, slots=own)
        self._preparation.start()
        if self._plan.source is not None and len(self._placing):  # else the last word of those before it still stands
            unplaced.clear(self._paths.unplaced, self._presence.others())
        self._commit(self._brakes.resumes)
        self._adopt()

    def _finished(self) -> bool:
        if time.monotonic() >= self._deadline:
            return True
        if self._stopping:
            return time.monotonic() >= self._leave_by or not self._vacancies.waits()
        if self._plan.until is not None:
            return not self._proposals and self._plan.until(self._journal.state)
        to_tell = self._proposals or self._inspection.pending
        if to_tell or any(self._fleet.asks(each.host) for each in self._adoption.mine()) or self._adoption.awaited:
            return False
        if not self._projection.readable and not self.outcome.claimed:
            return True  # nothing runs, and nothing can be started: the user is told to mend the table
        return self._starts_nothing() or not (self._placing.hopeful() or len(self._preparation))

    @property
    def _stopping(self) -> bool:
        return self.outcome.stopped_by is not None

    def _starts_nothing(self) -> bool:
        self.outcome.no_host = bool(self._plan.hosts) and self._fleet.hopeless
        if self._plan.source is None or self.outcome.no_host or self._journal.state.halted:
            return True
        return self._plan.num_jobs is not None and self.outcome.claimed >= self._plan.num_jobs

    def _is_urgent(self, report: Report) -> bool:
        """False if what follows from the report may wait for some milliseconds: no slot is idle meanwhile."""
        if not isinstance(report, reports.AttemptReported):
            return not isinstance(report, reports.HostConnected)  # many may come up together, and share a commit
        followed = report.status == "ended" and self._vacancies.is_followed(report.name)
        return report.status != "running" and not followed

    def _look_around(self) -> None:
        """What is not reported, or may not be: other coordinators' commits, the user's edits, deaths, the passing of time."""
        self._look_at_disk()
        self._call_back()
        self._placing.look()
        self._tell_unplaced()
        self._presence.beat()
        if self._plan.roster is not None:
            self._plan.roster.look(self._fleet, self._say)
        self._fleet.watch()
        self._hearing.watch()
        self._orders.watch()
        self._inspection.watch()
        self._inspection.name_idle(0 if self._adoption.mine() else self._placing.waiting, self._projection.readable)
        self._adopt()
        self._silence.name(self._adoption.mine(), self._fleet.estranged(self._journal.state.open.values(), self.me))
        self._journal.checkpoint()
        self._on_news((), self._journal.state)

    def _look_at_disk(self) -> None:
        self._changes.watch([*self._journal.folders, self._paths.db])
        if not self._reads.done(self._journal.catch_up):
            return
        for notice in self._projection.look():
            self._say(notice)

    def _tell_unplaced(self) -> None:
        """Leave word of what has no place in this run, for `explain`."""
        if self._plan.source is not None and (self._fleet.gives_up or not self._fleet.hopeless):
            self._placing.leave_word(self.me)

    # -- hearing ---------------------------------------------------------------------------------------------------

    def _hear(self, report: Report) -> None:
        match report:
            case (
                reports.AttemptReported()
                | reports.AttemptWaits()
                | reports.AttemptDisowned()
                | reports.LogPulled()
                | reports.LogGrown()
                | reports.RequestRefused()
            ):
                self._orders.give(self._hearing.hear(report))
                if isinstance(report, reports.RequestRefused):
                    self._orders.refused(report)
            case reports.CommandPrepared():
                self._preparation.take(report)
            case reports.CommandRefused(job, why, detail):
                self._preparation.drop(job)
                self._propose(self._claiming.refused(job, why, detail))
            case reports.HostConnected(host):
                self._silence.answers(host)
                alike = self._fleet.meet(host)
                if self._plan.roster is not None:
                    self._plan.roster.refuse_second_names(self._fleet, alike, self._say)
                self._resume(host)
            case reports.HostSeen(host):
                self._inspection.see(report)
            case reports.HostDropped(host, why):
                self._silence.dropped(host, why)
                self._inspection.miss(report)
            case reports.HostTurnedAway(host, why):
                self._fleet.members[host].refused = why
                self._say(f"{host} is not used: {without_name(host, why)}")
            case reports.DiskChanged():
                self._look_at_disk()
            case reports.StopAsked(signal):
                self.outcome.stopped_by = signal
                self._leave_by = time.monotonic() + FAREWELL
                self._call_back()

    def _propose(self, fact: Any) -> None:
        if not isinstance(fact, _TOLD) or fact.attempt not in self._proposals:  # a verdict may not wait
            self._proposals[fact.attempt] = fact

    def _resume(self, host: HostName) -> None:
        """A host answers: give again every order that the state calls for, and hear what else it has."""
        member = self._fleet.members[host]
        member.logs.restart()
        member.link.send({"type": "list"})
        self._inspection.ask(host)
        self._orders.give_anew(host)

    # -- placing ---------------------------------------------------------------------------------------------------

    def _ending(self) -> set[AttemptId]:
        """What this turn commits as ended for good. A job that goes back to the queue shall be there before its slot is given."""
        return {attempt for attempt, fact in self._proposals.items() if isinstance(fact, events.AttemptExited)}

    def _call_back(self) -> None:
        """See to it that what was claimed ahead never starts where somebody would rather have it otherwise.

        Facts tell who would, or a look. It comes back by its host's word, as everything does: it may have started after all.
        """
        skipped, stopping = self._projection.skipped, self._stopping or bool(self._journal.state.halted)
        for attempt, why in self._vacancies.unwanted(skipped, self._placing.first(), self._preparation, stopping):
            self._orders.call_back(attempt, why)

    # -- committing ------------------------------------------------------------------------------------------------

    def _decide(self, state: State) -> list[Fact]:
        """All that is news, on the newest state. May be asked again when somebody else committed first."""
        facts = [fact for fact in self._proposals.values() if state.admits(fact)] + self._inspection.drains(state)
        facts += self._brakes.halts()
        if self._brakes.may_halt(facts):
            return facts
        lines = self._vacancies.lines(self._ending())
        for ready in self._preparation.ready(lambda job_id: state.jobs[job_id].cells):
            job, host = state.jobs[ready.job], ready.slots[0].host
            member = self._fleet.members[host]
            usable = member.greeted and self._fleet.takes_jobs(host, state.drained)
            usable = usable and set(ready.slots) <= set(member.slots)
            if usable and phase(job) is Phase.WAITING and not job.removed and not self._stopping and not state.halted:
                facts.append(claim := self._claiming.claim(job, ready, lines.last(ready.slots)))
                lines.join(ready.slots, claim.name)
        return facts

    # -- acting ----------------------------------------------------------------------------------------------------

    def _act(self) -> None:
        """Do what the committed facts call for; forget what they settled."""
        state = self._journal.state
        news = self._journal.take_news()
        self._proposals.clear()
        self._inspection.settle()
        orders: list[actions.Action] = []
        for fact in news:
            self._inspection.learn(fact)
            self._vacancies.learn(fact)
            self._brakes.learn(fact)
            self._claiming.learn(fact)
            if isinstance(fact, events.AttemptVoided) and fact.trouble and not fact.lacks:
                self._pause(state.jobs[fact.attempt.job].attempts[-1].host, fact.why)
            elif isinstance(fact, events.AttemptStarted):
                self._silence.started(state.jobs[fact.attempt.job].attempts[-1].host)
            orders += actions.follow(fact, state, self.me, self._claiming.specs)
        self._orders.give(orders)
        changed = state.take_touched() | self._preparation.settle()
        if self._placing.update(changed) or ahead.unsettles(news):
            self._call_back()
        self._projection.mark(changed)
        self._take_up(job_id for job_id in changed if state.jobs[job_id].word in (Word.NOT_RUNNING, Word.RUNNING))
        # What has a slot may get a successor, and what was not claimed beside a failure may be claimed now.
        begun = ahead.begins(news) and self._vacancies.hurried
        self._more = len(self._placing) > 0 and (begun or self._brakes.may_halt(news))
        if news:
            self._on_news(news, state)

    def _pause(self, host: HostName, why: str) -> None:
        """A host could start nothing: leave it alone for a while, so that a full disk is not tried a thousand times."""
        if (member := self._fleet.members.get(host)) is None:
            return  # another run's
        self._silence.cannot_start(host, why, TROUBLE)
        member.paused_until = time.monotonic() + TROUBLE

    # -- whose attempts --------------------------------------------------------------------------------------------

    def _adopt(self) -> None:
        """Look after the attempts of coordinators that are gone."""
        # Their logs are brought home, also by who only waits.
        if self._adoption.look() and self._reads.done(self._paths.make_log_dir):
            self._commit(self._adoption.facts)

    def _take_up(self, job_ids: Iterable[JobId]) -> None:
        state = self._journal.state
        admits = self._plan.selection.admits
        self.outcome.taken.update(job_id for job_id in job_ids if admits(state.jobs[job_id], state))
