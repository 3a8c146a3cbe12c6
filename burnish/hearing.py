"""What a host's report proves, and which order answers it.

A report may be late, a repetition, or about something long settled, and a host may be hostile. A fact is proposed only where the
report is about the open attempt of that very name, and only a record that the attempt's own supervisor or agent made is believed:
a host that knows nothing proves nothing, unless it has rebooted since the claim.

A verdict is proposed when the logs before it are at home.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator

from msgspec import Struct
from msgspec.structs import replace

from burnish.core import actions, events, reports
from burnish.core.events import Fact
from burnish.core.ids import name_jobs
from burnish.core.jobs import Attempt, AttemptId, HostName
from burnish.core.spec import ended, started, voided
from burnish.core.state import State
from burnish.errors import StoreError
from burnish.fleet import Fleet
from burnish.store.paths import Paths

HostReport = (
    reports.AttemptReported
    | reports.AttemptWaits
    | reports.AttemptDisowned
    | reports.LogPulled
    | reports.LogGrown
    | reports.RequestRefused
)


class Ending(Struct):
    """A verdict that waits until the logs of its attempt are at home. `told`: they were told how large they are in the end."""

    attempt: Attempt
    verdict: Fact
    sizes: dict[str, int]
    told: bool = False


class Hearing:
    """Turns reports into proposals. `propose` takes a fact for the next commit; `known` holds the attempts that we may start."""

    def __init__(
        self,
        state: State,
        fleet: Fleet,
        paths: Paths,
        propose: Callable[[Fact], None],
        known: Container[str],
        say: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._state = state
        self._fleet = fleet
        self._paths = paths
        self._propose = propose
        self._known = known
        self._say = say
        self._clock = clock
        self._ending: dict[str, Ending] = {}  # verdicts that wait for their logs, by the attempt's name
        self._unfollowed: dict[str, Attempt] = {}  # those that run and whose logs could not be opened at home, by name
        self.lives: set[AttemptId] = set()  # cancelled, and by the last word of the host, which knows of that, alive
        self._said = ""
        self._orphans: set[str] = set()  # attempts without a supervisor, by name: said once
        self._disowned: set[str] = set()  # those that their batch system does not have, by name: said once
        self._to_name: dict[tuple[HostName, str], list[Attempt]] = {}  # what is to be said of which of these

    def hear(self, report: HostReport) -> Iterator[actions.Action]:
        """Propose what the report proves; the orders that answer it."""
        try:
            match report:
                case reports.AttemptReported():
                    yield from self._status(report)
                case reports.AttemptWaits():
                    self._wait(report)
                case reports.AttemptDisowned():
                    self._disown(report)
                case reports.LogGrown():
                    self._fleet.members[report.host].logs.grown(report)
                case reports.LogPulled():
                    self._log(report)
                case reports.RequestRefused():
                    yield from self._refusal(report)
        except (KeyError, TypeError, ValueError) as error:
            self._say(
                f"{report.host}: its record of {report.name} cannot be read ({error!r}). Nothing was concluded from it."
            )
        except StoreError as error:
            self._say(str(error))

    def watch(self) -> None:
        """Conclude what the disk refused to keep, if it does now, and say what is said of many at once. Call it now and then."""
        self._name_disowned()
        refused = [*map(self._refused, list(self._ending)), *map(self._unopened, list(self._unfollowed.values()))]
        for error in filter(None, refused):
            self._say_once(str(error))

    def _status(self, report: reports.AttemptReported) -> Iterator[actions.Action]:
        attempt = self._open_attempt(report)
        if attempt is None:
            if (settled := self._settled(report)) is None:
                return
            if report.status in ("void", "ended"):
                yield actions.AckAttempt(report.host, report.name)
            elif report.status == "unstarted":  # a power loss took its records; its host would look at it for ever
                yield actions.void(settled, "it has ended")
            return
        welcome, same = self._fleet.welcome(report.host), self._fleet.holds(attempt)
        rebooted = same and welcome is not None and attempt.incarnation != welcome.incarnation
        match report.status:
            case "running":
                if attempt.cancelled_by is not None:
                    self.lives.add(attempt.id)
                if not report.supervised and report.start:
                    self._name_orphan(attempt)
                if attempt.started_at is None and report.start:  # none: its folder was wiped under it
                    self._propose(started(attempt.id, report.start))
                if error := self._unopened(attempt):
                    raise error
            case "void":
                self._propose(self._voided(attempt, report))
            case "ended":
                self._end(attempt, report)
            case "absent" if rebooted:
                self._propose(events.AttemptLost(attempt.id, "its host rebooted", self._clock()))
            case "unstarted" if rebooted:
                # A power loss takes the newest files, a `go` too: the agent makes it lost, not void.
                yield actions.void(attempt, "its host rebooted")
            case "absent" | "unstarted" if same and attempt.started_at is not None:
                # Its records are gone; whether it is, too, its host can see. It answers `lost`, or refuses.
                yield actions.void(attempt, "its records were removed")
            case "absent" | "unstarted" if attempt.started_at is None and attempt.cancelled_by is not None:
                # Its start was refused, and so was the void that followed: a cancel alone leaves no word on the host.
                yield actions.void(attempt, f"cancelled by {attempt.cancelled_by} before it started")
            case "absent" | "unstarted" if attempt.started_at is None and report.name not in self._known:
                yield actions.void(attempt, "its coordinator is gone")

    def _voided(self, attempt: Attempt, report: reports.AttemptReported) -> Fact:
        fact = voided(attempt.id, report.start or {})
        if fact.lacks and self._fleet.members[report.host].offer.plain:
            # Plain workers are this machine: there is no other place, and what is missing there is a mistake in the command.
            return replace(fact, refused=not fact.trouble, lacks=None)
        return fact

    def _wait(self, report: reports.AttemptWaits) -> None:
        attempt = self._open_attempt(report)
        if attempt is not None and self._state.jobs[attempt.id.job].reason != report.why:
            self._propose(events.AttemptQueued(attempt.id, report.why))

    def _disown(self, report: reports.AttemptDisowned) -> None:
        attempt = self._open_attempt(report)
        if attempt is None or attempt.started_at is None:
            return
        if report.how and attempt.name not in self._disowned:
            self._disowned.add(attempt.name)
            self._to_name.setdefault((report.host, report.how), []).append(attempt)
        why = f"{report.how}; its supervisor lives" if report.how else ""
        self._propose(events.AttemptDisowned(attempt.id, why))

    def _end(self, attempt: Attempt, report: reports.AttemptReported) -> None:
        self.lives.discard(attempt.id)
        verdict = ended(attempt.id, report.final or {}, report.start if attempt.started_at is None else None)
        self._unfollowed.pop(report.name, None)
        self._ending[report.name] = Ending(attempt, verdict, report.sizes or {})
        self._conclude(report.name)

    def _log(self, report: reports.LogPulled) -> None:
        logs = self._fleet.members[report.host].logs
        if logs.take(report):
            logs.ask()
        self._conclude(report.name)

    def _refusal(self, report: reports.RequestRefused) -> Iterator[actions.Action]:
        """An order that the agent would not carry out. What it would not start, it is asked to make sure of."""
        attempt = self._open_attempt(report) if report.name else None
        if report.request == "start" and attempt is not None and attempt.started_at is None:
            yield actions.void(attempt, report.why)
        elif report.request == "pull":
            self._fleet.members[report.host].logs.give_up(report.name)
            self._conclude(report.name)
        elif report.request == "record" and attempt is not None:
            self.lives.discard(attempt.id)
            self._say_once(
                f"{report.host}: job {attempt.id.job} has ended, and how cannot be recorded there: {report.why}. It counts as "
                "running until it can be; that is tried again and again."
            )
        else:
            order = f"{report.request} {report.name}".strip()
            self._say_once(f"{report.host}: {order} was refused: {report.why}")

    def _conclude(self, name: str) -> None:
        """Propose the verdict of an attempt whose logs are whole at home. Raises StoreError."""
        if (ending := self._ending.get(name)) is None:
            return
        if ending.attempt.id not in self._state.open:  # another run was faster, and its host has forgotten the logs
            del self._ending[name]
            return
        self._fleet.expect_logs(ending.attempt, self._paths.log_name)
        logs = self._fleet.members[ending.attempt.host].logs
        if not ending.told:
            ending.told = True
            logs.ended(name, ending.sizes)
        if logs.whole(name):
            del self._ending[name]
            self._propose(ending.verdict)

    def _refused(self, name: str) -> StoreError | None:
        """Conclude; what the disk said if it refused."""
        try:
            self._conclude(name)
        except StoreError as error:
            return error
        return None

    def _unopened(self, attempt: Attempt) -> StoreError | None:
        """Have the logs of an attempt that runs brought home; what the disk said if it refused: then that is tried again."""
        self._unfollowed.pop(attempt.name, None)
        if attempt.id not in self._state.open:
            return None
        try:
            self._fleet.expect_logs(attempt, self._paths.log_name)
        except StoreError as error:
            self._unfollowed[attempt.name] = attempt
            return error
        return None

    def _name_orphan(self, attempt: Attempt) -> None:
        """Say of an attempt whose supervisor is dead what it waits for, perhaps for long: all that the job left behind."""
        if attempt.name not in self._orphans:
            self._orphans.add(attempt.name)
            job = attempt.id.job
            self._say(
                f"{attempt.host}: the supervisor of job {job} was killed, and nobody will know how the job ends. It counts as "
                f"running while a process of it lives; burnish cancel --job_id {job} ends them all."
            )

    def _name_disowned(self) -> None:
        """Say of attempts that no batch system has what they wait for, of all of a host at once."""
        for (host, how), attempts in self._to_name.items():
            jobs = name_jobs([attempt.id.job for attempt in attempts])
            if len(attempts) == 1:
                what = f"{jobs} is {how}, and runs: its supervisor lives. burnish cancel reaches it."
            else:
                what = f"{jobs} are {how}, and run: their supervisors live. burnish cancel reaches them."
            self._say(f"{host}: {what}")
        self._to_name.clear()

    def _say_once(self, sentence: str) -> None:
        """What is tried again and again is not said as often."""
        if sentence != self._said:
            self._said = sentence
            self._say(sentence)

    def _open_attempt(self, report: HostReport) -> Attempt | None:
        attempt = self._state.open.get(AttemptId.parse(report.name.partition("-")[0]))
        return attempt if attempt is not None and attempt.name == report.name and attempt.host == report.host else None

    def _settled(self, report: reports.AttemptReported) -> Attempt | None:
        """The attempt, if the journal already has its end, so that the host may forget it."""
        job = self._state.jobs.get(AttemptId.parse(report.name.partition("-")[0]).job)
        attempts = () if job is None else job.attempts
        return next((a for a in attempts if a.name == report.name and not a.open), None)
