"""Looks at the hosts of a run, and what follows: which slots are let be, which GPUs are drained, which hosts are left out.

Each host is looked at when it answers, and again every `LOOK` s. What is seen may make a slot wait, but never proves anything
about a job. The rules are in `core.offer`, `core.gpus`, `core.suspicion` and `core.lacking`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from burnish.core import events, reports
from burnish.core.events import Fact
from burnish.core.failures import MISSING
from burnish.core.gpus import found_by_auto
from burnish.core.hosts import without_name
from burnish.core.jobs import Attempt, AttemptId, CoordinatorId, HostName, JobId, Slot, Word
from burnish.core.lacking import Lacking, Need
from burnish.core.state import State
from burnish.core.suspicion import DOUBT, NOT_RUN, Ending, Endings
from burnish.core.verdict import verdict_of
from burnish.errors import counted, printable
from burnish.fleet import Fleet, Member

LOOK = 15.0  # s between two looks at a host
GOLDEN = 0.618034  # of a circle: so far apart, each next point falls into one of the largest gaps
SILENCE = 60.0  # s between two sentences on why jobs wait
NAMELESS = 60.0  # s in which a name has to be unknown at each try, before a host is not waited for
SETUP_ENDS = 60.0  # s after which a job that runs is taken to have `setup` lines behind it
UNREADABLE = "  the table cannot be read as a whole until that is mended (burnish status says where)"
_WISHES = (events.JobChanged, events.ResetRequested)
_OF_PLACES = (events.AttemptClaimed, events.AttemptStarted, events.AttemptVoided, events.AttemptExited)


class Inspection:
    """Keeps what the members of `fleet` offer true. `drains` are facts for the next commit."""

    def __init__(self, me: CoordinatorId, state: State, fleet: Fleet, say: Callable[[str], None]) -> None:
        self._me = me
        self._state = state
        self._fleet = fleet
        self._say = say
        self._drains: dict[str, str] = {}  # host, or GPU of one -> why
        self._excused: dict[str, tuple[JobId, ...]] = {}  # likewise -> the jobs it killed
        self._endings = Endings()
        self._doubted: set[HostName] = set()
        self._due: dict[HostName, float] = {}  # when each is looked at next (monotonic)
        self._phases: dict[HostName, float] = {}  # when in each `LOOK` s that is
        self._said: set[str] = set()
        self._nameless: dict[HostName, float] = {}  # hosts by whose name none was found, since when (monotonic)
        # Started behind `setup` lines: where, since when (monotonic).
        self._setting_up: dict[AttemptId, tuple[Member, float]] = {}
        self._named = time.monotonic()
        self.lacking = Lacking()

    # -- looking ---------------------------------------------------------------------------------------------------

    def ask(self, host: HostName) -> None:
        """Look at a host that answers."""
        member = self._fleet.members[host]
        if member.offer.plain or not member.starts:
            return
        self._due[host] = self._next(host, time.monotonic())
        member.offer.ask(index for attempt in self._state.open.on(host) for index in attempt.slots)
        needs = self.lacking.needs(host)
        member.link.send({"type": "look", "needs": needs} if needs else {"type": "look"})

    def watch(self) -> None:
        """Look at every host again that was not looked at for a while."""
        for attempt, (member, since) in list(self._setting_up.items()):
            if time.monotonic() - since >= SETUP_ENDS:
                del self._setting_up[attempt]
                self._come_to(member, since)
        for host, member in self._fleet.members.items():
            self.lacking.describe(member.host)
            self._judge(member)
            if member.link.up and time.monotonic() >= self._due.get(host, 0.0):
                self.ask(host)

    def _next(self, host: HostName, now: float) -> float:
        """In `LOOK` s or less, so that hosts which came up together are not looked at together.

        Their answers would wake as many threads, which wake each other once more over Python's one lock.
        """
        phase = self._phases.setdefault(host, len(self._phases) * GOLDEN % 1 * LOOK)
        return now + LOOK - (now - phase) % LOOK

    def see(self, report: reports.HostSeen) -> None:
        """What a look has shown."""
        member, seen = self._fleet.members[report.host], report.sighting
        member.offer.see(seen, time.monotonic())
        if self.lacking.see(report.host, seen.needs, time.monotonic()):
            self._say(f"{report.host} has what was missing, and takes jobs again.")
        self._judge(member)
        why = printable(seen.gpu_error, 300)
        if why:
            known = "What was known of its GPUs stays" if member.offer.saw_gpus else "Its GPUs are not known"
            self._say_once(
                f"{report.host}: {why}. {'Nothing is started on its GPUs' if member.offer.unusable else known}."
            )
        if member.host.gpus == "auto" and seen.gpus and seen.mask is not None:
            used = ", ".join(found_by_auto(seen.gpus, seen.mask)) or "none"
            mask = printable(seen.mask, 100)
            self._say_once(f"{report.host}: logins there have CUDA_VISIBLE_DEVICES={mask}. Of its GPUs, used: {used}.")
        self._drains.update((name, why) for name in member.offer.broken(seen) if name not in self._state.drained)
        for slot in member.slots:
            if (fault := member.offer.fault(slot)) and not member.offer.unusable:
                self._say_once(f"{report.host}: {printable(fault, 1000)}. Nothing is started on GPU {slot.gpu}.")

    def miss(self, report: reports.HostDropped) -> None:
        """A host could not be reached. Not waited for is one whose name nobody has had all the while, nor any job of the table.

        A resolver that does not answer, as when there is no network, says something else, and that is waited out.
        """
        member, now = self._fleet.members[report.host], time.monotonic()
        if not report.unknown or member.met is not None:
            self._nameless.pop(report.host, None)
            member.nameless = False
            return
        since = self._nameless.setdefault(report.host, now)
        if member.nameless or now - since < NAMELESS or self._has_been_on(report.host):
            return
        member.nameless = True
        self._say(
            f"{report.host} was never reached, and for {now - since:.0f} s now no host is found by the name {report.unknown}. "
            "A run that has no other host ends.\n"
            f"hint: is {report.unknown} spelled right? `hostname:` in the inventory, or HostName for ssh, can name its address"
        )

    def _has_been_on(self, host: HostName) -> bool:
        """True if a job of the table has been on it, in whatever run."""
        return any(attempt.host == host for job in self._state.jobs.values() for attempt in job.attempts)

    # -- choosing --------------------------------------------------------------------------------------------------

    def usable(self, slots: list[Slot], *, tried: bool = False) -> list[Slot]:
        """Those of a host's `slots` on which something may be tried now. One that is in doubt gets one job at a time.

        `tried`: something is about to be given to the host already; one on trial gets no second one.
        """
        found = [slot for slot in slots if not self._why_not(slot)]
        if found and self._fleet.members[found[0].host].trial:
            return [] if tried else found[:1]
        if found and found[0].host in self._doubted:
            return [] if self._state.open.on(found[0].host) else found[:1]
        return found

    def _why_not(self, slot: Slot) -> str:
        offer = self._fleet.members[slot.host].offer
        if (name := self._drained(offer.drain_names(slot))) is not None:
            return self._how_drained(name)
        return offer.why_not(slot, time.monotonic())

    def _drained(self, names: Iterable[str]) -> HostName | None:
        """The first of these names of a host or a GPU that is drained."""
        return next((HostName(name) for name in names if name in self._state.drained), None)

    def _how_drained(self, name: HostName) -> str:
        reason = self._state.drained[name]
        return f"drained: {reason}" if reason else "drained"

    def name_idle(self, waiting: int, readable: bool = True) -> None:
        """Say each minute why nothing is started although `waiting` jobs wait and none of this run is going.

        `readable`: whether the table can be read as a whole.
        """
        if not waiting:
            self._named = time.monotonic()
        elif time.monotonic() - self._named >= SILENCE:
            self._named = time.monotonic()
            reasons = list(dict.fromkeys(self._obstacles())) if readable else [UNREADABLE]
            more = [f"… and {len(reasons) - 5} more."] if len(reasons) > 5 else []
            hint = self._hint_undrain() if readable else []
            what = f"{counted(waiting, 'job waits', 'jobs wait')}, and nothing can start:"
            self._say("\n".join([what, *reasons[:5], *more, *hint]))

    def _hint_undrain(self) -> list[str]:
        """What gives back what is drained of this run's hosts: one line, or none."""
        starting = [member for member in self._fleet.members.values() if member.starts]
        slots = [member.offer.drain_names(slot) for member in starting for slot in member.slots]
        found = dict.fromkeys(self._drained(names) for names in [*((member.host.name,) for member in starting), *slots])
        drained = [name for name in found if name is not None]
        if not drained:
            return []
        also = f"; so it does for {', '.join(drained[1:5])}{', …' if len(drained) > 5 else ''}" if drained[1:] else ""
        return [f"hint: burnish undrain {drained[0]} lets jobs start there again{also}"]

    def _obstacles(self) -> Iterator[str]:
        for host, member in self._fleet.members.items():
            if not member.starts:
                continue
            if whole := self._why_not_host(member):
                yield f"  {host}: {printable(whole, 300)}"
                continue
            used = {index for attempt in self._state.open.on(host) for index in attempt.slots}
            for slot in member.slots:
                idle = (
                    "it is in use"
                    if slot.index in used
                    else "no job that waits may start on it (burnish explain says why)"
                )
                what = f"slot {slot.index}" if slot.gpu is None else f"GPU {slot.gpu}"
                if member.offer.unusable and slot.gpu is not None:
                    what = "its GPUs"
                yield f"  {host}, {what}: {printable(self._why_not(slot) or idle, 300)}"

    def _why_not_host(self, member: Member) -> str:
        if (why := member.refused or member.stopped) is not None:
            return without_name(member.host.name, why).partition("\n")[0]
        if member.host.name in self._state.drained:
            return self._how_drained(member.host.name)
        if not member.link.up:
            return "its name is not found" if member.host.name in self._nameless else "it does not answer"
        if member.host.name in self._doubted:
            return "the last jobs on it failed at once; it gets one a minute"
        if member.lacks:
            return member.lacks
        return "" if member.slots else "it offers no slot" if member.offer.known else "its GPUs are not known yet"

    # -- learning from what happened -------------------------------------------------------------------------------

    def learn(self, fact: Fact) -> None:
        """A fact was committed, by this coordinator or another."""
        if isinstance(fact, _WISHES):
            self.lacking.acquit(JobId(fact.job))
        if not isinstance(fact, _OF_PLACES):
            return
        attempt = self._state.jobs[fact.attempt.job].of(fact.attempt)
        member = None if attempt is None else self._fleet.members.get(attempt.host)
        if attempt is None or member is None or member.offer.plain:
            return
        self._learn_of_command(fact, attempt, member)
        if isinstance(fact, events.AttemptClaimed):
            member.offer.use(attempt.slots)
        elif isinstance(fact, events.AttemptVoided) and fact.busy:
            member.offer.find_taken(attempt.slots, time.monotonic())
            if member.link.up:
                self.ask(attempt.host)
        elif (ending := _ending(fact, attempt)) is not None:
            self._endings.add(ending)
            self._suspect(ending, member)

    def _learn_of_command(self, fact: Fact, attempt: Attempt, member: Member) -> None:
        """Whether an attempt of this run came to its command; behind `setup` lines that is known late."""
        now = time.monotonic()
        set_up = self._setting_up.pop(attempt.id, None)
        if attempt.by != self._me:
            return
        match fact:
            case events.AttemptClaimed():
                self.lacking.claim(member.host.name)
                self._judge(member)
            case events.AttemptVoided(lacks=dict() as need):
                self._miss(attempt.id.job, member, need, fact.why)
            case events.AttemptExited(lacks=dict() as need):
                self._miss(attempt.id.job, member, need, fact.not_started)
            case events.AttemptStarted() if member.host.setup:
                self._setting_up[attempt.id] = member, now
            case events.AttemptStarted():
                self._come_to(member, now)
            case events.AttemptExited() if set_up is not None and not fact.not_started:
                self._come_to(member, set_up[1])

    def _come_to(self, member: Member, began: float) -> None:
        """A job that `began` then came to its command."""
        if self.lacking.start(member.host, began):
            self._say(f"{member.host.name} has what was missing, and takes jobs again.")
        self._judge(member)

    def _miss(self, job: JobId, member: Member, need: Need, why: str) -> None:
        """A job could not be started for want of something."""
        name = member.host.name
        self.lacking.find(member.host, job, need, why, time.monotonic())
        self._judge(member)
        why = printable(why, 500)
        if member.lacks:
            self._say_once(f"{name} gets no more jobs until this is mended: {why}.")
        else:
            self._say_once(
                f"{name} could not start job {job}: {why}. It is started elsewhere, if another host has that."
            )

    def _judge(self, member: Member) -> None:
        """Whether a host gets jobs, by what it lacks."""
        member.lacks, member.trial = self.lacking.why(member.host.name), self.lacking.on_trial(member.host.name)
        member.given_up = bool(member.lacks) and self.lacking.given_up(member.host.name, time.monotonic())

    def _suspect(self, ending: Ending, member: Member) -> None:
        if member.stopped is None and ending.not_run and self._endings.unfit(ending.host):
            member.stopped = "the first jobs on it could not be run"
            self._say(
                f"{ending.host} gets no more jobs of this run: the first ones on it could not be run. "
                f"The last was job {ending.job}; burnish status says why."
            )
        for host in {ending.host, *self._doubted}:
            self._doubt(self._fleet.members[host])
        if ending.host in self._drains:
            return
        if ending.gpu and (killed := self._endings.killed_by(ending.host, ending.slot)):
            slot = next((slot for slot in member.slots if slot.index == ending.slot), None)
            for name in member.offer.drain_names(slot)[:1] if slot else ():
                self._drains[name] = f"three jobs in a row died on it within a minute, the last was {ending.job}"
                self._excused[name] = killed

    def _doubt(self, member: Member) -> None:
        """Drain a host on which everything fails; let one that may be such get a job now and then, while others may tell."""
        name = member.host.name
        found = self._endings.suspicion(name)
        others = found is not None and any(
            other.link.up and self._fleet.takes_jobs(other.host.name, self._state.drained)
            for other in self._fleet.members.values()
            if other is not member
        )
        if found is None or not others:
            if name in self._doubted:
                self._doubted.remove(name)
                member.paused_until = 0.0
        elif found.proven:
            self._doubted.discard(name)
            self._excused[name] = found.jobs
            self._drains[name] = (
                f"{counted(len(found.jobs), 'job')} in a row failed on it within a minute, while those elsewhere ended well"
            )
        elif name not in self._doubted or time.monotonic() >= member.paused_until:
            self._doubted.add(name)
            member.paused_until = time.monotonic() + DOUBT
            self._say_once(
                f"{name}: its last {counted(len(found.jobs), 'job')} failed within a minute each. It gets one a minute "
                "until jobs elsewhere show whose fault that is."
            )

    @property
    def pending(self) -> bool:
        """True while something is to be drained that is not yet."""
        return bool(self._drains)

    def drains(self, state: State) -> list[Fact]:
        """What is to be drained and is not yet."""
        return [
            events.HostDrained(name, why, self._me, self._excused.get(name, ()))
            for name, why in self._drains.items()
            if name not in state.drained
        ]

    def settle(self) -> None:
        """The drains were committed: say so, once each."""
        for name, why in self._drains.items():
            self._say(f"{name} is drained: {why}. burnish undrain {name} gives it back.")
        self._drains.clear()
        self._excused.clear()

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            self._say(sentence)


def _ending(fact: Fact, attempt: Attempt) -> Ending | None:
    """What an end says of the place where it happened; None where somebody asked for it, or the command was not come to."""
    if not isinstance(fact, events.AttemptVoided | events.AttemptExited) or fact.lacks:
        return None
    slot, gpu = (attempt.slots or (0,))[0], ",".join(attempt.gpus)
    if isinstance(fact, events.AttemptVoided):
        return Ending(attempt.id.job, attempt.host, slot, gpu, 0.0, False, not_run=True) if fact.refused else None
    if fact.cancelled or fact.time_limit or attempt.cancelled_by is not None:
        return None
    complete = verdict_of(fact)[0] is Word.COMPLETE
    not_run = bool(fact.not_started) or fact.code in NOT_RUN or fact.note.startswith(MISSING)
    return Ending(attempt.id.job, attempt.host, slot, gpu, fact.duration, complete, not_run)
