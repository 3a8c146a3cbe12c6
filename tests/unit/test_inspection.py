"""What a run concludes from looks and from how attempts end, over links that only note what is sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import pytest
from msgspec.structs import replace
from support import facts, gpus
from support.gpus import seen_card as card

from burnish import inspection
from burnish.core import events, reports, sighting
from burnish.core.hosts import Host
from burnish.core.jobs import AttemptId, CoordinatorId, HostName, JobId, Word
from burnish.core.state import State
from burnish.fleet import Fleet
from burnish.inspection import Inspection
from burnish.remote.link import Link

GPU01 = HostName("gpu01")
ME = CoordinatorId("me")


class NotedLink:
    """A link that is up and keeps what is sent."""

    up = True

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.welcome: reports.Welcome | None = None

    def start(self) -> None:
        pass

    def send(self, *headers: dict[str, Any]) -> None:
        self.sent.extend(headers)


class Desk:
    """An inspection of gpu01 (two GPUs) and gpu02, a state with a job per attempt, and what was said."""

    def __init__(self) -> None:
        self.links: dict[HostName, NotedLink] = {}
        self.fleet = Fleet(self._connect, lambda report: None)
        self.state: State = facts.waiting()
        self.said: list[str] = []
        self.inspection = Inspection(ME, self.state, self.fleet, self.said.append)
        for name in facts.HOSTS:
            self.fleet.add(Host(HostName(name)))
            self.see(name, card(1), card(2))
        self._next = 1

    def _connect(self, host: Host, report: Callable[[Any], None]) -> Link:
        self.links[host.name] = NotedLink()
        return cast(Link, self.links[host.name])

    def see(self, host: str, *cards: dict[str, Any], **fields: Any) -> None:
        seen = {"gpus": list(cards) or None, "user": "alice", **fields}
        self.inspection.see(reports.HostSeen(HostName(host), sighting.read({}, seen)))

    def attempt(
        self,
        end: Callable[[AttemptId], events.Fact],
        slot: int = 0,
        host: str = "gpu01",
        job: int | None = None,
        retries: int = 0,
    ) -> int:
        """A new job (or `job` once more) is claimed on a slot, and ends so. Its id."""
        number = self._next if job is None else job
        if job is None:
            self._next += 1
            self.state.apply(events.JobsAdded(facts.COLUMNS, ((number, "1", "2"),)))
        attempt = AttemptId(JobId(number), len(self.state.jobs[JobId(number)].attempts) + 1)
        claim = replace(facts.claim_of(attempt, slot=slot), host=host, gpus=(str(slot),), retries=retries)
        for fact in (claim, end(attempt)):
            self.state.apply(fact)
            self.inspection.learn(fact)
        return number

    def drains(self) -> dict[str, str]:
        """What is drained now, after committing it."""
        for fact in self.inspection.drains(self.state):
            self.state.apply(fact)
        self.inspection.settle()
        return {str(host): why for host, why in self.state.drained.items()}

    def usable(self, host: str = "gpu01") -> list[str | None]:
        return [slot.gpu for slot in self.inspection.usable(list(self.fleet.members[HostName(host)].slots))]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def failed(attempt: AttemptId) -> events.Fact:
    return facts.exit_of(attempt, code=1, duration=2.0)


def succeeded(attempt: AttemptId) -> events.Fact:
    return facts.exit_of(attempt, code=0, duration=500.0)


def test_inventory_that_is_edited_keeps_gpus_usable_and_other_peoples_alone() -> None:
    desk = Desk()
    desk.see("gpu01", card(1), card(2, processes=[{"pid": 7, "user": "bob", "memory": 900}]))
    desk.see("gpu01", card(1), card(2))
    assert desk.usable() == ["0"]
    desk.fleet.admit(Host(GPU01, env=(("A", "b"),)))
    assert desk.usable() == ["0"]


def test_card_that_fell_off_the_bus_is_drained_and_said_once(desk: Desk) -> None:
    for _ in range(2):
        desk.see("gpu01", gpu_exit=15, gpu_error="nvidia-smi: GPU 0000:02:00.0 is lost")
        assert desk.drains() == {f"gpu01:{gpus.uuid(2)}": "nvidia-smi: GPU 0000:02:00.0 is lost"}
    assert desk.usable() == ["0"]
    assert sum("burnish undrain" in sentence for sentence in desk.said) == 1
    desk.state.apply(events.HostUndrained(f"gpu01:{gpus.uuid(2)}", "alice"))
    assert desk.usable() == ["0", "1"]


def test_driver_that_fails_is_told_once_for_all_gpus_of_a_host(desk: Desk) -> None:
    failed = {"gpus": None, "gpu_exit": 18, "gpu_error": "nvidia-smi: the driver that is loaded is not the one"}
    desk.see("gpu01", **failed)
    assert desk.usable() == []
    assert desk.said == ["gpu01: nvidia-smi: the driver that is loaded is not the one. Nothing is started on its GPUs."]
    desk.see("gpu01", card(1), card(2))
    assert desk.usable() == ["0", "1"]
    desk.see("gpu01", **{**failed, "gpu_exit": 255, "gpu_error": "nvidia-smi: it failed"})
    assert desk.said[1:] == ["gpu01: nvidia-smi: it failed. What was known of its GPUs stays."]
    assert desk.usable() == ["0", "1"]


def test_gpu_is_drained_by_its_index_too(desk: Desk) -> None:
    desk.state.apply(events.HostDrained("gpu01:1", "", "alice"))
    assert desk.usable() == ["0"]


def test_gpu_that_kills_three_jobs_alone_is_drained(desk: Desk) -> None:
    desk.attempt(failed, slot=1)
    desk.attempt(succeeded, slot=0)
    desk.attempt(failed, slot=1)
    assert desk.drains() == {}
    desk.attempt(failed, slot=1)
    assert desk.drains() == {f"gpu01:{gpus.uuid(2)}": "three jobs in a row died on it within a minute, the last was 4"}
    assert desk.usable() == ["0"]


def test_host_on_which_everything_fails_gets_a_job_a_minute_and_is_drained_once_others_show_that_it_is_alone(
    desk: Desk,
) -> None:
    member = desk.fleet.members[GPU01]
    once = desk.attempt(failed, slot=0, retries=1)
    desk.attempt(failed, slot=1)
    assert member.paused_until == 0.0 and desk.usable() == ["0", "1"]
    desk.attempt(failed, slot=0)
    assert member.paused_until > time.monotonic() + 50 and desk.usable() == ["0"]
    assert desk.said == [
        "gpu01: its last 3 jobs failed within a minute each. It gets one a minute until jobs elsewhere show whose fault that is."
    ]
    for _ in range(3):
        assert desk.drains() == {}
        desk.attempt(succeeded, host="gpu02")
    why = "3 jobs in a row failed on it within a minute, while those elsewhere ended well"
    assert desk.drains() == {"gpu01": why}
    job = desk.state.jobs[JobId(once)]
    assert (job.word.value, job.failed_on) == ("NOT_RUNNING", ()), "the host's fault burns no retry"


def test_host_is_no_longer_in_doubt_when_jobs_fail_elsewhere_too(desk: Desk) -> None:
    for slot in (0, 1, 0):
        desk.attempt(failed, slot=slot)
    assert desk.usable() == ["0"]
    desk.attempt(failed, host="gpu02")
    assert desk.fleet.members[GPU01].paused_until == 0.0 and desk.usable() == ["0", "1"]
    assert desk.drains() == {}


def test_host_on_trial_gets_one_job(desk: Desk) -> None:
    desk.fleet.members[GPU01].trial = True
    slots = list(desk.fleet.members[GPU01].slots)
    assert len(desk.inspection.usable(slots)) == 1 < len(slots)
    assert desk.inspection.usable(slots, tried=True) == []


def test_host_without_a_script_that_nobody_looked_for_gets_no_more_jobs(desk: Desk) -> None:
    for _ in range(3):
        desk.attempt(lambda attempt: facts.exit_of(attempt, code=2, duration=0.1, note="no file /data/train.py"))
    assert desk.fleet.members[GPU01].stopped == "the first jobs on it could not be run"


def test_only_host_of_a_run_is_not_doubted(desk: Desk) -> None:
    desk.fleet.members[HostName("gpu02")].stopped = "the first jobs on it could not be run"
    for slot in (0, 1, 0):
        desk.attempt(failed, slot=slot)
    assert desk.usable() == ["0", "1"] and desk.said == []


def test_failures_on_a_gpu_that_is_drained_for_them_burn_no_retries(desk: Desk) -> None:
    twice = desk.attempt(failed, host="gpu02", retries=1)  # its own fault
    desk.attempt(succeeded, slot=0)
    never = desk.attempt(failed, slot=1, retries=0)
    desk.attempt(failed, slot=1, job=twice, retries=1)
    desk.attempt(succeeded, slot=0)
    assert desk.state.jobs[JobId(twice)].word is Word.ERROR
    once = desk.attempt(failed, slot=1, retries=1)
    [(drained, _)] = desk.drains().items()
    assert drained == f"gpu01:{gpus.uuid(2)}"
    jobs = {job: desk.state.jobs[JobId(job)] for job in (never, once, twice)}
    assert {job: state.failed_on for job, state in jobs.items()} == {never: (), once: (), twice: ("gpu02",)}
    assert {job: (state.word.value, state.reason) for job, state in jobs.items()} == {
        never: ("ERROR", "exit 1"),
        once: ("NOT_RUNNING", "again: exit 1"),
        twice: ("NOT_RUNNING", "again: exit 1"),
    }
    desk.state.check()


def test_slot_lost_in_a_race_is_let_be_without_a_word_and_the_host_looked_at(desk: Desk) -> None:
    desk.links[GPU01].sent.clear()
    desk.attempt(lambda attempt: events.AttemptVoided(attempt, "taken", busy=True), slot=1)
    assert desk.usable() == ["0"] and desk.usable("gpu02") == ["0", "1"]
    assert desk.links[GPU01].sent == [{"type": "look"}] and desk.said == []
    assert desk.state.jobs[JobId(1)].reason == ""


def test_host_that_can_run_nothing_is_stopped_and_others_go_on(desk: Desk) -> None:
    ends = [
        lambda attempt: events.AttemptVoided(attempt, "no such program", refused=True),
        lambda attempt: facts.exit_of(attempt, code=127, duration=0.1),
        lambda attempt: facts.exit_of(attempt, code=127, duration=0.1, not_started="no interpreter"),
    ]
    for end in ends:
        assert desk.fleet.takes_jobs(GPU01, {})
        desk.attempt(end)
    assert not desk.fleet.takes_jobs(GPU01, {}) and desk.fleet.takes_jobs(HostName("gpu02"), {})
    assert not desk.fleet.hopeless
    assert "gpu01 gets no more jobs of this run" in desk.said[-1]


class Naming:
    """An inspection that hears of vain ways to gpu01 and gpu02, on a clock that the test turns."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk, self.now = desk, 1000.0
        monkeypatch.setattr(inspection.time, "monotonic", lambda: self.now)
        for member in desk.fleet.members.values():
            member.offer = type(member.offer)(member.host)  # nothing was seen of it

    def miss(self, *hosts: str, after: float = 0.0, unknown: bool = True) -> None:
        self.now += after
        for host in hosts:
            name = host if unknown else ""
            self.desk.inspection.miss(reports.HostDropped(HostName(host), "its name is not found", name))


@pytest.fixture
def naming(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Naming:
    return Naming(desk, monkeypatch)


def test_hosts_whose_names_nobody_has_are_not_waited_for_after_a_while(naming: Naming) -> None:
    naming.miss("gpu01", "gpu02")
    naming.miss("gpu01", "gpu02", after=inspection.NAMELESS - 1)
    assert naming.desk.said == [] and not naming.desk.fleet.hopeless
    naming.miss("gpu01", after=1)
    assert not naming.desk.fleet.hopeless, "another one may have its name yet"
    naming.miss("gpu02")
    naming.miss("gpu01", "gpu02", after=1)
    assert naming.desk.fleet.hopeless
    assert [sentence.partition(",")[0] for sentence in naming.desk.said] == [
        "gpu01 was never reached",
        "gpu02 was never reached",
    ]


def test_name_that_could_not_be_asked_for_meanwhile_is_waited_for(naming: Naming) -> None:
    naming.miss("gpu01", "gpu02")
    naming.miss("gpu01", "gpu02", after=inspection.NAMELESS / 2, unknown=False)
    naming.miss("gpu01", "gpu02", after=inspection.NAMELESS / 2)
    assert not naming.desk.fleet.hopeless
    naming.miss("gpu01", "gpu02", after=inspection.NAMELESS)
    assert naming.desk.fleet.hopeless


def test_name_that_a_host_has_answered_to_is_waited_for_for_ever(naming: Naming) -> None:
    member = naming.desk.fleet.members[GPU01]
    member.met = reports.Welcome("s", "i", "gpu01")
    naming.miss("gpu01", "gpu02")
    naming.miss("gpu01", "gpu02", after=inspection.NAMELESS)
    assert not naming.desk.fleet.hopeless and not member.nameless


def test_name_of_a_host_that_a_job_of_the_table_has_been_on_is_waited_for(naming: Naming) -> None:
    naming.desk.attempt(succeeded)
    naming.miss("gpu01", "gpu02")
    naming.miss("gpu01", "gpu02", after=inspection.NAMELESS)
    assert not naming.desk.fleet.hopeless
    assert "gpu01" not in "".join(naming.desk.said)


def test_name_that_is_found_later_is_waited_for_again(naming: Naming) -> None:
    naming.miss("gpu01", "gpu02")
    naming.miss("gpu01", "gpu02", after=inspection.NAMELESS)
    naming.miss("gpu01", unknown=False)
    assert not naming.desk.fleet.hopeless


def test_host_that_is_found_after_all_is_used(naming: Naming) -> None:
    member = naming.desk.fleet.members[GPU01]
    naming.miss("gpu01")
    naming.miss("gpu01", after=inspection.NAMELESS)
    assert member.nameless
    naming.desk.links[GPU01].welcome = reports.Welcome("s", "i", "gpu01")
    naming.desk.fleet.meet(GPU01)
    assert not member.nameless


def test_cancelled_jobs_speak_against_nothing(desk: Desk) -> None:
    for _ in range(4):
        desk.attempt(lambda attempt: facts.exit_of(attempt, code=127, duration=0.1, cancelled=True))
    assert desk.fleet.takes_jobs(GPU01, {})


def test_hosts_are_looked_at_again_after_a_while(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.inspection.watch()
    assert [link.sent for link in desk.links.values()] == [[{"type": "look"}]] * 2
    desk.inspection.watch()
    assert len(desk.links[GPU01].sent) == 1
    later = time.monotonic() + inspection.LOOK
    monkeypatch.setattr(inspection.time, "monotonic", lambda: later)
    desk.inspection.watch()
    assert len(desk.links[GPU01].sent) == 2


def test_hosts_that_came_up_together_are_not_looked_at_together(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.25]
    monkeypatch.setattr(inspection.time, "monotonic", lambda: now[0])
    desk.inspection.watch()
    turn, turns = 3.0, 40
    looks: dict[HostName, list[int]] = {host: [] for host in desk.links}
    for number in range(turns):
        now[0] += turn
        before = {host: len(link.sent) for host, link in desk.links.items()}
        desk.inspection.watch()
        for host, link in desk.links.items():
            looks[host] += [number] * (len(link.sent) - before[host])
    assert not set.intersection(*map(set, looks.values()))
    for those in looks.values():
        assert {after - before for before, after in pairwise(those)} == {inspection.LOOK / turn}, looks


def test_why_jobs_wait_is_said_each_minute(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.see("gpu01", card(1, processes=[{"pid": 1, "user": "bob", "memory": 2}]), card(2, held=True, alone=True))
    desk.state.apply(events.HostDrained("gpu02", "new disk", "alice"))
    desk.inspection.name_idle(7)
    assert desk.said == []
    now = time.monotonic()
    monkeypatch.setattr(inspection.time, "monotonic", lambda: now + 61)
    desk.inspection.name_idle(7)
    desk.inspection.name_idle(7)
    assert desk.said == [
        "7 jobs wait, and nothing can start:\n  gpu01, GPU 0: bob uses it (0.0 GiB)\n"
        "  gpu01, GPU 1: another burnish job has it\n  gpu02: drained: new disk\n"
        "hint: burnish undrain gpu02 lets jobs start there again"
    ]


def test_slot_that_is_free_is_not_said_to_be_in_use(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.state.apply(events.HostDrained("gpu02", "new disk", "alice"))
    claimed = desk.state.jobs[JobId(0)]
    desk.state.apply(facts.claim_of(AttemptId(claimed.id, 1), slot=1))  # by another run
    now = time.monotonic()
    monkeypatch.setattr(inspection.time, "monotonic", lambda: now + 61)
    desk.see("gpu01", card(1), card(2))
    desk.inspection.name_idle(2)
    assert desk.said == [
        "2 jobs wait, and nothing can start:\n"
        "  gpu01, GPU 0: no job that waits may start on it (burnish explain says why)\n"
        "  gpu01, GPU 1: it is in use\n  gpu02: drained: new disk\n"
        "hint: burnish undrain gpu02 lets jobs start there again"
    ]


def test_what_was_drained_by_hand_is_named_with_its_way_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.see("gpu01", card(1), card(2))
    for name in ("gpu01:0", f"gpu01:{card(2)['uuid']}", "gpu02"):
        desk.state.apply(events.HostDrained(name, "", "alice"))
    now = time.monotonic()
    monkeypatch.setattr(inspection.time, "monotonic", lambda: now + 61)
    desk.inspection.name_idle(2)
    assert desk.said == [
        "2 jobs wait, and nothing can start:\n"
        "  gpu01, GPU 0: drained\n  gpu01, GPU 1: drained\n  gpu02: drained\n"
        f"hint: burnish undrain gpu02 lets jobs start there again; so it does for gpu01:0, gpu01:{card(2)['uuid']}"
    ]


def test_jobs_that_wait_for_the_table_are_not_told_of_hosts(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.state.apply(events.HostDrained("gpu02", "", "alice"))
    now = time.monotonic()
    monkeypatch.setattr(inspection.time, "monotonic", lambda: now + 61)
    desk.inspection.name_idle(2, readable=False)
    assert desk.said == [f"2 jobs wait, and nothing can start:\n{inspection.UNREADABLE}"]
