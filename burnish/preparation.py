"""From a job that may start to the command it will run: slots are kept meanwhile, and a user's function never stops the loop.

A source that only computes is asked at once. A user's function is asked in a thread of its own, and answers when it does. What
was asked for is remembered with the cells it was made of, so that an edit in between makes the answer void.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import NamedTuple

from burnish.core import reports
from burnish.core.command import Command
from burnish.core.jobs import HostName, Job, JobId, Slot
from burnish.core.reports import Report
from burnish.errors import InternalError
from burnish.runners.refusal import RunnerRefused
from burnish.runners.sources import Call, CommandSource


class Reservation(NamedTuple):
    """The slots kept for a job, and the cells its command is made of."""

    slots: tuple[Slot, ...]
    cells: tuple[str, ...]


class Ready(NamedTuple):
    """A job whose command is made, and the slots, all of one host, that wait for it."""

    job: JobId
    command: Command
    slots: tuple[Slot, ...]


class Preparation:
    """The jobs between the queue and their claim. `report` gets CommandPrepared and CommandRefused, later."""

    def __init__(self, source: CommandSource | None, report: Callable[[Report], None]) -> None:
        self._source = source
        self._report = report
        self._reserved: dict[JobId, Reservation] = {}
        self._commands: dict[JobId, Command] = {}
        self._calls: SimpleQueue[Sequence[Call] | None] = SimpleQueue()
        self._answered: list[Report] = []
        self._broken: Exception | None = None  # what ended the thread before its time

    def __len__(self) -> int:
        return len(self._reserved)

    def __contains__(self, job: JobId) -> bool:
        return job in self._reserved

    def start(self) -> None:
        """Begin to answer, if that takes a thread."""
        if self._source is not None and not self._source.instant:
            threading.Thread(target=self._answer, args=(self._source,), name="runner", daemon=True).start()

    def close(self) -> None:
        """Ask for nothing more."""
        self._calls.put(None)

    def slots(self, host: HostName) -> list[Slot]:
        """Slots of a host that are kept."""
        return [slot for kept in self._reserved.values() for slot in kept.slots if slot.host == host]

    def ask(self, jobs: Sequence[tuple[Job, tuple[Slot, ...], Call]]) -> None:
        """Keep these slots and ask for these commands."""
        if not jobs or self._source is None:
            return
        for job, slots, _ in jobs:
            self._reserved[job.id] = Reservation(slots, job.cells)
        calls = [call for _, _, call in jobs]
        if not self._source.instant:
            self._calls.put(calls)
            return
        self._answered.extend(answers(self._source, calls))

    def answered(self) -> list[Report]:
        """What an instant source has answered. Raises InternalError if the thread of one that is not came to an end."""
        if self._broken is not None:
            what = f"{type(self._broken).__name__}: {self._broken}"
            raise InternalError(f"no commands are made any more, {what}") from self._broken
        answered, self._answered = self._answered, []
        return answered

    def take(self, report: reports.CommandPrepared) -> None:
        """A command is made."""
        self._commands[report.job] = report.command

    def drop(self, job: JobId) -> None:
        """The job gets no command; its slots are free again."""
        self._reserved.pop(job, None)

    def ready(self, cells: Callable[[JobId], tuple[str, ...]]) -> Iterator[Ready]:
        """Jobs to claim now: those whose `cells` are still what the command was made of."""
        for job, command in self._commands.items():
            slots, made_of = self._reserved[job]
            if cells(job) == made_of:
                yield Ready(job, command, slots)

    def command(self, job: JobId) -> Command | None:
        """The command that was just claimed; None if the claim was not heard of while it was known."""
        return self._commands.get(job)

    def settle(self) -> set[JobId]:
        """The answers so far were claimed or have become void: forget them; the jobs they were for."""
        settled = set(self._commands)
        for job in settled:
            del self._reserved[job]
        self._commands.clear()
        return settled

    def _answer(self, source: CommandSource) -> None:
        try:
            while (calls := self._calls.get()) is not None:
                for report in answers(source, calls):
                    self._report(report)
        except Exception as error:  # or the run would wait for ever for what nobody makes
            self._broken = error


def answers(source: CommandSource, calls: Sequence[Call]) -> Iterator[Report]:
    """What the source says to each call; a refusal is an answer too."""
    for call, made in zip(calls, source.prepare_many(calls), strict=True):
        job = JobId(int(call.job["JOB_ID"]))
        if isinstance(made, RunnerRefused):
            yield reports.CommandRefused(job, str(made), made.details)
        else:
            yield reports.CommandPrepared(job, made)
