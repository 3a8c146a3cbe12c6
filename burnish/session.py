"""One command's dealings with one table: opens it, puts the parts together, and does what commands ask.

A table without a journal (made by the first burnish, copied, restored from git) is taken over when it is first opened to change
something; who only looks at it reads the file and leaves it alone. Whoever opens a table takes in the user's edits first, and
writes the table before leaving if no coordinator will.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from burnish.core import events, file_alone, merge, verbs
from burnish.core.columns import did_you_mean
from burnish.core.events import Fact
from burnish.core.ids import name_ids, new_run, to_type
from burnish.core.jobs import CANCELLED, GRACE, AttemptId, CoordinatorId, HostName, Job, JobId, Word
from burnish.core.phases import Phase, phase
from burnish.core.selection import Selection
from burnish.core.state import State
from burnish.core.typed_over import state_of
from burnish.core.verbs import Wish
from burnish.errors import InputError, Interrupted, StoreError, TableClosed, UsageError, counted
from burnish.garbage import unsought
from burnish.projection import Projection
from burnish.store import refusals
from burnish.store.journal import Journal
from burnish.store.paths import Paths
from burnish.store.presence import Presence

if TYPE_CHECKING:
    from burnish.coordinator import Coordinator
    from burnish.core.hosts import Host
    from burnish.core.reports import Report
    from burnish.plan import Outcome, Plan
    from burnish.remote.link import Link
    from burnish.remote.transport import Transport
    from burnish.slurm.engine import SlurmLink

CANCEL_LIMIT = 20.0  # s beyond the grace in which a host has to say that a job is gone

Say = Callable[[str], None]


class Session:
    """An open table. `state` is what the journal says; `say` gets sentences for the user, without newline at the end.

    `alone`: the file is all that is read, and nothing may be committed.
    """

    alone = False

    def __init__(self, paths: Paths, journal: Journal, projection: Projection, me: CoordinatorId, say: Say) -> None:
        self.paths = paths
        self.journal = journal
        self.projection = projection
        self.me = me
        self.say = say
        self.presence = Presence(paths.coordinators, me)
        self._noted: set[str] = set()  # on the ways to hosts
        self._unwritten = False  # the disk refused the table what was done

    @property
    def state(self) -> State:
        return self.journal.state

    # -- opening ---------------------------------------------------------------------------------------------------

    @classmethod
    @unsought()
    def open(cls, paths: Paths, say: Say, *, closed_too: bool = False) -> Session:
        """Open the table with its journal, or take over a table without one. Takes in the user's edits.

        `closed_too`: open a table that an interrupted `clean` has closed, to finish that; nothing can be written to it.
        Raises UsageError if there is no table, InputError or StoreError if it cannot be used.
        """
        refusals.refuse_theirs(paths.shown, str(paths.root))
        session = cls.bare(paths, say)
        if not Journal.exists(paths.root) and session._take_over():
            return session
        session.journal.open()
        if session.state.closed_by is None:
            session.sync()
            if session.projection.promised and (refusal := session._settled()) is not None:
                session.say(str(refusal))
        elif not closed_too:
            raise TableClosed(
                f"{paths.shown}: burnish clean was interrupted here. Nothing was done.",
                hint="burnish clean finishes it",
            )
        return session

    @classmethod
    def bare(cls, paths: Paths, say: Say) -> Session:
        """The parts, with nothing read yet."""
        me = new_run(socket.gethostname(), os.getpid(), secrets.token_hex(3))
        journal = Journal(paths.root, paths.shown, me, time.time)
        return cls(paths, journal, Projection(paths, journal), me, say)

    def _take_over(self) -> bool:
        """Make the journal of a table that has none. False if another process was faster."""
        if not os.path.lexists(self.paths.db):
            raise UsageError(
                f"There is no table {self.paths.shown} here. Nothing was done.",
                hint="burnish create --yaml grid.yaml makes one",
            )
        found = self.projection.read_alone()
        self.projection.refuse_read_only()  # before anything is made for it
        self.paths.make()
        adopted = merge.adopt(found)
        opened = events.TableOpened(secrets.token_hex(8), found.columns, time.time())
        if not self.journal.create([opened, *adopted.facts, self.projection.begin(found, adopted.ids)]):
            self.projection.forestalled()
            return False
        self.projection.begun(found)
        for notice in (*adopted.notices, *map(str, found.problems)):
            self.say(notice)
        self.settle()
        return True

    def sync(self, *, wait: bool = True) -> None:
        """Read what others committed and what the user edited; `wait` until nobody is just writing."""
        if self.alone:
            self._look_again()
            return
        self.journal.catch_up()
        for notice in self.projection.look(wait=wait):
            self.say(notice)

    def _look_again(self) -> None:
        """Read the file anew, and its journal if there is one now."""
        try:
            newer = look(self.paths, lambda sentence: None)
        except InputError as error:
            self._note(str(error))  # somebody is just writing it, or will mend it
        else:
            self.journal, self.projection, self.alone = newer.journal, newer.projection, newer.alone

    def settle(self) -> None:
        """Write the table, unless a coordinator that lives will; shorten the next replay."""
        if self.presence.others():
            return
        self.projection.mark(self.state.take_touched())
        for notice in self.projection.finish():
            self.say(notice)
        self.journal.checkpoint()

    def _settled(self) -> StoreError | None:
        """As `settle`, but a refusal of the disk is given back: it keeps nobody from what they came for."""
        try:
            self.settle()
        except TableClosed:
            raise
        except StoreError as error:
            return error
        return None

    def refuse_unwritten(self) -> None:
        """Raise StoreError if what was done could not be written into the table, and still cannot: at the end of a command."""
        if self._unwritten and (refusal := self._settled()) is not None:
            done = "What is said above holds all the same; the table will say so when it can be written."
            raise StoreError(f"{refusal} {done}", hint=refusal.hint)

    # -- verbs -----------------------------------------------------------------------------------------------------

    def alive(self) -> list[JobId]:
        """Jobs with an open attempt."""
        return [attempt.job for attempt in self.state.open]

    def jobs(self, ids: frozenset[JobId] | None, nothing: str = "Nothing was changed.") -> list[Job]:
        """The jobs of these ids; all for None. Raises UsageError for ids that are no jobs, with `nothing` at its end."""
        return verbs.chosen(self.state, ids, self.paths.shown, self.projection.skipped, nothing)

    def plan_reset(self, ids: frozenset[JobId] | None, errors_only: bool) -> Wish:
        """What `reset` would do."""
        return verbs.reset(self.state, self.jobs(ids), errors_only=errors_only)

    def complete_among(self, ids: Sequence[JobId]) -> list[JobId]:
        """Those of these jobs that are COMPLETE."""
        return [job_id for job_id in ids if self.state.jobs[job_id].word is Word.COMPLETE]

    def reset(self, ids: frozenset[JobId] | None, errors_only: bool, cancelled: bool = False) -> None:
        """Put jobs back to NOT_RUNNING and say so; what lives is left and named. `cancelled`: its end was asked for already."""
        wish = self._wish(lambda state: verbs.reset(state, self.jobs(ids), errors_only=errors_only))
        already = "NOT_RUNNING already" if self.state.jobs else "the table has none"
        none = f"No job was reset: {'none is in ERROR' if errors_only else already}."
        if wish.done or not wish.alive:
            self.say(f"{jobs(wish.done)} NOT_RUNNING again." if wish.done else none)
        if wish.alive:
            they, have = ("it is", "it has") if len(wish.alive) == 1 else ("they are", "they have")
            then = f"Once {have} ended: burnish reset" if cancelled else "To stop and rerun: burnish reset --kill"
            self.say(f"{jobs(wish.alive)} still running and left as {they}. {then} --job_id {to_type(wish.alive)}")
        self.refuse_unwritten()

    def hold(self, ids: frozenset[JobId] | None) -> None:
        """Keep jobs out and say so."""
        wish = self._wish(lambda state: verbs.hold(state, self.jobs(ids)))
        self.say(f"{jobs(wish.done)} on HOLD. {_to_release(wish.done)}" if wish.done else "No job was held.")
        if wish.alive:
            self.say(f"{jobs(wish.alive)} running and cannot be held; burnish cancel stops a job.")
        if ids is not None:
            self._say_ignored(wish)
        self.refuse_unwritten()

    def release(self, ids: frozenset[JobId] | None) -> None:
        """Let jobs go on and say so."""
        wish = self._wish(lambda state: verbs.release(state, self.jobs(ids)))
        self.say(f"{jobs(wish.done)} released." if wish.done else "No job was released: none is on HOLD.")
        if ids is not None:
            self._say_ignored(wish)
        self.refuse_unwritten()

    def cancel(self, ids: frozenset[JobId] | None, grace: float | None = GRACE) -> list[AttemptId]:
        """Stop running jobs and hold waiting ones; returns the attempts whose end could not be seen in time.

        `grace`: s between TERM and KILL; with None, what is being cancelled already keeps its own, however long. A table that
        cannot be written is left to `refuse_unwritten`. Raises Interrupted on Ctrl-C once that is asked: what was asked stays
        asked.
        """
        try:
            return self._cancel(ids, grace)
        except KeyboardInterrupt:
            opened = [attempt for attempt in self.state.open.values() if attempt.cancelled_by is not None]
            asked = [attempt.id.job for attempt in opened if ids is None or attempt.id.job in ids]
            if not asked:
                raise
            raise Interrupted(
                f"Interrupted. {jobs(asked)} to be cancelled all the same: the next burnish run or burnish cancel sees to it."
            ) from None

    def _cancel(self, ids: frozenset[JobId] | None, grace: float | None) -> list[AttemptId]:
        from burnish.plan import Plan

        wish = self._wish(lambda state: verbs.cancel(state, self.jobs(ids), self.me, grace))
        if wish.done:
            self.say(f"{jobs(wish.done)} on HOLD now instead of waiting. {_to_release(wish.done)}")
        if ids is not None:
            self._say_ignored(wish)
        if not wish.attempts:
            if not wish.done and ids is None:
                self.say("Nothing is running or waiting.")
            return []
        began, took, last = time.monotonic(), 0.0, len(wish.attempts)

        def note(facts: Sequence[Fact], state: State) -> None:
            nonlocal took, last
            still = sum(attempt in state.open for attempt in wish.attempts)
            if still < last:
                took, last = time.monotonic() - began, still  # the others may be waited for in vain

        from burnish.core.explain import given_longer, unended

        asked = [self.state.open[attempt] for attempt in wish.attempts if attempt in self.state.open]
        for sentence in given_longer(asked) if grace is None else ():
            self.say(sentence)
        limit = max((attempt.grace for attempt in asked), default=0.0) + CANCEL_LIMIT
        plan = Plan((), attend=frozenset(wish.attempts), limit=limit)
        coordinator = self.coordinator(plan, note)
        told = coordinator.run().told
        self._unwritten |= coordinator.outcome.unwritten
        left = [attempt for attempt in wish.attempts if attempt in self.state.open]
        ended = [self.state.jobs[attempt.job] for attempt in wish.attempts if attempt not in self.state.open]
        if gone := [job.id for job in ended if job.reason == CANCELLED]:
            self.say(f"{jobs(gone)} stopped after {took:.1f} s; no process is left.")
        if others := [job for job in ended if job.reason != CANCELLED]:
            words = ", ".join(dict.fromkeys(state_of(job) for job in others))
            self.say(f"{jobs([job.id for job in others], 'had', 'had')} ended before that: {words}.")
        for attempts, why in unended([self.state.open[attempt] for attempt in left], told):
            self.say(f"{jobs([attempt.id.job for attempt in attempts])} not seen to end: {why}")
        return left

    def waiter(
        self, selection: Selection, on_news: Callable[[Sequence[Fact], State], None] = lambda facts, state: None
    ) -> Coordinator:
        """A coordinator that looks on until no selected job runs or waits, and says what it waits for."""
        from burnish.plan import Plan
        from burnish.views.live import awaited

        def at_rest(state: State) -> bool:
            return not any(_going(job) for job in state.listed() if selection.admits(job, state))

        chosen = [job for job in self.state.listed() if selection.admits(job, self.state) and _going(job)]
        self.say(awaited(chosen))
        waiting = sum(phase(job) is Phase.WAITING for job in chosen)
        if waiting and not self.presence.others():
            waits = counted(waiting, "job waits", "jobs wait")
            self.say(f"{waits} and no burnish run is going; this ends once a run has done what waits.")
        return self.coordinator(Plan((), selection=selection, until=at_rest), on_news)

    def _wish(self, verb: Callable[[State], Wish]) -> Wish:
        """Commit what a verb calls for, on the newest state, and show it in the table; else `refuse_unwritten` tells."""
        made = Wish()

        def decide(state: State) -> Sequence[Fact]:
            nonlocal made
            made = verb(state)
            return made.facts

        self.projection.refuse_read_only()
        self.journal.commit(decide)
        self._unwritten = self._settled() is not None  # told when all that was asked for is done, which needs no table
        return made

    def _say_ignored(self, wish: Wish) -> None:
        for sentence in wish.ignored[:20]:
            self.say(sentence)

    # -- running ---------------------------------------------------------------------------------------------------

    def coordinator(
        self,
        plan: Plan,
        on_news: Callable[[Sequence[Fact], State], None] = lambda facts, state: None,
        ways: Mapping[HostName, Transport] = MappingProxyType({}),
    ) -> Coordinator:
        """A coordinator over this table, ready to run. `ways`: to hosts to which one was made before."""
        from burnish.coordinator import Coordinator

        return Coordinator(
            self.me,
            self.journal,
            self.paths,
            self.presence,
            self.projection,
            partial(self._connect, ways),
            plan,
            say=self.say,
            on_news=on_news,
        )

    def _connect(
        self, ways: Mapping[HostName, Transport], host: Host, report: Callable[[Report], None]
    ) -> Link | SlurmLink:
        from burnish.remote.link import Link
        from burnish.remote.reach import transport

        table = self.state.table

        def connect(heard: Callable[[Report], None]) -> Link:
            way = ways.get(host.name) or transport(host, self._note)
            return Link(host.name, way, table, host.state_dir, heard, engine=host.engine)

        if host.engine != "slurm":
            return connect(report)
        from burnish.slurm.engine import SlurmLink

        return SlurmLink(host, table, connect, report)

    def _note(self, sentence: str) -> None:
        """Say what was noted on the way to a host; once, though it was so on the way to many."""
        if sentence not in self._noted:
            self._noted.add(sentence)
            self.say(sentence)


def selection(session: Session, ids: frozenset[JobId] | None, where: Sequence[str]) -> Selection:
    """The jobs a command is narrowed to. Raises UsageError for unknown ids and columns."""
    session.jobs(ids, nothing="")
    columns = session.state.columns
    wanted = {}
    for condition in where:
        column, equals, value = condition.partition("=")
        if not equals or column not in columns:
            raise UsageError(
                f"--where {condition}: expected --KEY=VALUE with one of the columns {', '.join(columns) or '(there are none)'}."
                f"{did_you_mean(column, columns) if column not in columns else ''}"
            )
        wanted[column] = value
    return Selection(ids, wanted)


def exit_code(session: Session, outcome: Outcome) -> int:
    """0 every job taken up is COMPLETE or was left alone, or deleted while it waited, 130 stopped by a signal.

    1 one failed or could not be started, a row was skipped, one still runs, looked after by another run, or the table was not
    written. 2 the table or its rows could not be read and so nothing was started, 3 no host could be used.
    """
    if outcome.stopped_by is not None:
        return 130
    taken = [job for job_id in outcome.taken if not (job := session.state.jobs[job_id]).dropped]
    words = {job.word for job in taken}
    if session.projection.skipped_rows or not session.projection.readable:
        return 1 if outcome.claimed else 2
    if Word.ERROR in words or any(job.failed for job in taken):
        return 1
    if outcome.no_host and Word.NOT_RUNNING in words:
        return 3
    if outcome.unwritten or outcome.stuck or (session.state.halted and Word.NOT_RUNNING in words):
        return 1
    return 1 if any(job.open_attempt is not None for job in taken) else 0


def _to_release(ids: Sequence[JobId]) -> str:
    return f"To let {'it' if len(ids) == 1 else 'them'} go on: burnish release --job_id {to_type(ids)}"


def named(ids: Sequence[JobId]) -> str:
    """`1 COMPLETE job (3)`, `5 COMPLETE jobs (3, 5-8)`."""
    return f"{counted(len(ids), 'COMPLETE job')} ({name_ids(ids)})"


def jobs(ids: Sequence[JobId], one: str = "is", many: str = "are") -> str:
    """`Job 3 is`, `Jobs 3, 5-8 are`; or another verb."""
    return f"Job {name_ids(ids)} {one}" if len(ids) == 1 else f"Jobs {name_ids(ids)} {many}"


def look(paths: Paths, say: Say, *, whole: bool = False) -> Session:
    """Open a table to look at it only. Without a journal that we may read, the CSV is all there is; that is said.

    `whole`: raise UsageError for a table of somebody else, as what is asked for stands in the journal.
    """
    if not paths.db.exists():
        return Session.open(paths, say)
    owner = paths.db.stat().st_uid
    if owner == os.geteuid():
        refusals.refuse_theirs(paths.shown, str(paths.root))
    if owner == os.geteuid() and Journal.exists(paths.root):
        return Session.open(paths, say)
    if whole and owner != os.geteuid():
        raise refusals.theirs(paths.shown, str(paths.root), owner)
    return _look_at_csv(paths, say)


@unsought()
def _look_at_csv(paths: Paths, say: Say) -> Session:
    session = Session.bare(paths, say)
    session.alone = True
    found = session.projection.read_alone()
    session.journal.state = file_alone.state_of(found, time.time())
    told = "this is what the file alone says, without reasons, hosts, times, results and logs."
    if paths.db.stat().st_uid != os.geteuid():
        say(f"{paths.shown} belongs to another user: {told}")
    elif file_alone.was_run(session.state):
        say(f"{paths.shown} is here without its journal, as a copy is: {told}")
    for problem in found.problems:
        say(str(problem))
    return session


def _going(job: Job) -> bool:
    return phase(job) in (Phase.WAITING, Phase.CLAIMED, Phase.RUNNING)
