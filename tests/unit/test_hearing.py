"""What a host's report proves, and which order answers it: on a state, without a host."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import facts, tables

from burnish.core import actions, events, reports
from burnish.core.events import Fact
from burnish.core.jobs import Attempt, AttemptId, HostName, JobId
from burnish.core.state import State
from burnish.errors import StoreError
from burnish.hearing import Hearing
from burnish.remote.logs import LogPull
from burnish.store.paths import Paths

HOST, NAME = HostName("gpu01"), "0.1-9f86d081"


class Ears:
    """A hearing for a run; `known`: the attempts that it may start. Its host has not rebooted, unless `boot` is another."""

    def __init__(self, state: State, known: frozenset[str] = frozenset(), boot: str = "inc") -> None:
        self.proposed: list[Fact] = []
        self.said: list[str] = []
        plain = SimpleNamespace(offer=SimpleNamespace(plain=True))
        welcome = reports.Welcome("sid", boot, "gpu01")
        fleet: Any = SimpleNamespace(welcome=lambda host: welcome, holds=lambda attempt: True, members={HOST: plain})
        paths = Paths(Path("burnish.db"), "burnish.db", Path(".burnish"), Path("log"))
        self._hearing = Hearing(state, fleet, paths, self.proposed.append, known, self.said.append, lambda: 1.0)

    def hear(self, status: str, start: dict[str, Any] | None = None) -> list[actions.Action]:
        return list(self._hearing.hear(reports.AttemptReported(HOST, NAME, status, start, None, None)))

    def refuse(self, request: str, why: str) -> None:
        list(self._hearing.hear(reports.RequestRefused(HOST, NAME, request, why)))

    def disown(self, how: str) -> None:
        list(self._hearing.hear(reports.AttemptDisowned(HOST, NAME, how)))
        self._hearing.watch()

    def wait(self, why: str) -> None:
        list(self._hearing.hear(reports.AttemptWaits(HOST, NAME, why)))


@pytest.mark.parametrize("status", ["absent", "unstarted"])
def test_what_a_full_disk_did_not_let_start_is_voided_once_it_is_cancelled(status: str) -> None:
    [order] = Ears(facts.claimed(cancel=True), known=frozenset({NAME})).hear(status)
    assert isinstance(order, actions.VoidAttempt) and order.name == NAME


@pytest.mark.parametrize("started", [False, True])
def test_what_lost_its_start_with_the_power_of_its_host_is_void_or_lost(started: bool) -> None:
    """Also where nobody has heard of its start, and this run could give it again: its record may be what the disk lost."""
    ears = Ears(facts.running() if started else facts.claimed(), known=frozenset({NAME}), boot="the next one")
    [order] = ears.hear("unstarted")
    assert isinstance(order, actions.VoidAttempt) and order.why == "its host rebooted"
    assert ears.hear("absent") == []
    assert ears.proposed == [events.AttemptLost(AttemptId(JobId(0), 1), "its host rebooted", 1.0)]


def test_of_what_has_ended_its_host_need_not_look_at_a_folder_without_records() -> None:
    """A power loss took them, and left the folder."""
    state = facts.running()
    tables.finish(state, AttemptId(JobId(0), 1))
    [order] = Ears(state).hear("unstarted")
    assert isinstance(order, actions.VoidAttempt) and order.name == NAME
    assert Ears(state).hear("void") == [actions.AckAttempt(HOST, NAME)]


@pytest.mark.parametrize("status", ["absent", "unstarted"])
def test_what_this_run_may_still_start_is_not_voided(status: str) -> None:
    assert Ears(facts.claimed(), known=frozenset({NAME})).hear(status) == []
    [order] = Ears(facts.claimed()).hear(status)
    assert isinstance(order, actions.VoidAttempt)


def test_what_a_batch_system_has_is_left_to_it() -> None:
    assert Ears(facts.claimed()).hear("queued") == []


def test_why_it_waits_is_a_fact_once() -> None:
    state = facts.claimed()
    ears = Ears(state)
    for _ in range(2):
        ears.wait("waiting for Priority")
        for fact in ears.proposed:
            state.apply(fact)
    assert ears.proposed == [events.AttemptQueued(AttemptId(JobId(0), 1), "waiting for Priority")]
    assert state.jobs[JobId(0)].reason == "waiting for Priority"


def test_what_slurm_has_forgotten_and_runs_is_said_once() -> None:
    state = facts.running()
    ears = Ears(state)
    for _ in range(2):
        ears.disown("forgotten by Slurm")
    assert ears.said == [
        "gpu01: job 0 is forgotten by Slurm, and runs: its supervisor lives. burnish cancel reaches it."
    ]
    state.apply(ears.proposed[-1])
    assert state.jobs[JobId(0)].reason == "forgotten by Slurm; its supervisor lives"
    ears.disown("")
    state.apply(ears.proposed[-1])
    assert state.jobs[JobId(0)].reason == "" and len(ears.said) == 1


def test_what_this_machine_lacks_is_a_mistake_and_what_does_not_answer_is_waited_for() -> None:
    """Plain workers: there is no other host."""
    for trouble in (False, True):
        ears = Ears(facts.claimed())
        ears.hear("void", {"void": {"why": "/data is not there", "lacks": {"cwd": "/data"}, "trouble": trouble}})
        expected = events.AttemptVoided(
            AttemptId(JobId(0), 1), "/data is not there", refused=not trouble, trouble=trouble
        )
        assert ears.proposed == [expected]


def test_end_that_cannot_be_recorded_is_told_once_and_is_no_verdict() -> None:
    ears = Ears(facts.running())
    for _ in range(2):
        ears.refuse("record", "/there: Read-only file system")
    [said] = ears.said
    assert said.startswith("gpu01: job 0 has ended, and how cannot be recorded there: /there: Read-only file system.")
    assert ears.proposed == []


class Refusing(Ears):
    """As `Ears`, of a host that is another machine. While it is `full`, the disk here opens no log."""

    def __init__(self, state: State, folder: Path) -> None:
        super().__init__(state)
        self.full = True
        self.logs = LogPull(lambda frame: None)
        fleet: Any = self._hearing._fleet
        fleet.members = {HOST: SimpleNamespace(offer=SimpleNamespace(plain=False), logs=self.logs)}
        fleet.expect_logs = self._expect
        self._paths = {stream: folder / stream for stream in ("out", "err")}

    def _expect(self, attempt: Attempt, path: object) -> None:
        if self.full:
            raise StoreError("the disk is full.")
        self.logs.watch(attempt.name, self._paths)

    def watch(self) -> None:
        self._hearing.watch()

    def pull(self, data: bytes) -> None:
        for stream, part in (("out", data), ("err", b"")):
            list(self._hearing.hear(reports.LogPulled(HOST, NAME, stream, 0, len(part), part)))


GO = {"go": {"started": 1.0, "pid": 4711}}


def test_end_of_a_job_whose_logs_cannot_be_opened_here_is_taken_once_they_can(tmp_path: Path) -> None:
    ears = Refusing(facts.running(), tmp_path)
    final = {"exit": {"code": 0, "started": 1.0, "ended": 2.0, "duration": 1.0, "max_rss": 9, "leftovers": 0}}
    list(ears._hearing.hear(reports.AttemptReported(HOST, NAME, "ended", GO, final, {"out": 3, "err": 0})))
    ears.watch()
    assert ears.said == ["the disk is full."] * 2 and ears.proposed == []
    ears.full = False
    ears.watch()
    assert ears.proposed == [], "they are not here yet"
    ears.pull(b"all")
    assert [type(fact) for fact in ears.proposed] == [events.AttemptExited]
    assert (tmp_path / "out").read_bytes() == b"all"


def test_job_runs_though_its_logs_cannot_be_opened_here_and_they_come_later(tmp_path: Path) -> None:
    ears = Refusing(facts.claimed(), tmp_path)
    ears.hear("running", GO)
    assert [type(fact) for fact in ears.proposed] == [events.AttemptStarted]
    assert ears.said == ["the disk is full."] and NAME not in ears.logs
    ears.full = False
    ears.watch()
    assert NAME in ears.logs


def test_end_that_another_run_took_meanwhile_is_let_go(tmp_path: Path) -> None:
    """Its host has put the logs away, and nobody is asked for them."""
    state = facts.running()
    ears = Refusing(state, tmp_path)
    final = {"exit": {"code": 0, "started": 1.0, "ended": 2.0, "duration": 1.0, "max_rss": 9, "leftovers": 0}}
    list(ears._hearing.hear(reports.AttemptReported(HOST, NAME, "ended", GO, final, {"out": 3, "err": 0})))
    state.apply(facts.exit_of(AttemptId(JobId(0), 1)))
    ears.full = False
    ears.watch()
    assert ears.proposed == [] and NAME not in ears.logs
