"""What waits, and what is on its way already: a job is prepared once, whatever happens to its row meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import tables

from burnish.core import events
from burnish.core.hosts import Host
from burnish.core.jobs import HostName, JobId, Slot
from burnish.core.lacking import Lacking
from burnish.core.reports import CommandPrepared
from burnish.core.state import State
from burnish.core.unplaced import Unplaced
from burnish.placing import Placing
from burnish.plan import Outcome, Plan
from burnish.preparation import Preparation
from burnish.runners.sources import Call, TemplateSource
from burnish.store.paths import Paths

SLOT = Slot(HostName("gpu01"), 0)


class Queue:
    """A state with one job, the queue of a run, and what its runner has answered."""

    def __init__(self, *members: object) -> None:
        self.state: State = tables.opened(("--n", "GPUS"), [("1", "2")])
        self.preparation = Preparation(TemplateSource("true {--n}"), pytest.fail)
        self.lacking = Lacking()
        stand_in: Callable[..., Any] = SimpleNamespace
        paths = Paths(Path("burnish.db"), "burnish.db", Path(".burnish"), Path("log"))
        self.placing = Placing(
            self.state,
            Plan(()),
            Outcome(),
            stand_in(members=dict(enumerate(members))),
            vacancies=stand_in(),
            projection=stand_in(skipped={}),
            preparation=self.preparation,
            paths=paths,
            lacking=self.lacking,
            say=pytest.fail,
        )
        self.placing.update(self.state.jobs)

    def reserve(self) -> None:
        job = self.state.jobs[JobId(0)]
        self.preparation.ask([(job, (SLOT,), Call({"JOB_ID": "0", "--n": "1"}, {}))])


def test_edit_of_a_job_that_is_being_prepared_does_not_prepare_it_a_second_time() -> None:
    queue = Queue()
    assert len(queue.placing) == 1
    queue.reserve()
    queue.state.apply(events.JobChanged(0, {"--n": "2"}))
    queue.placing.update(queue.state.take_touched())
    assert len(queue.placing) == 0

    (answer,) = queue.preparation.answered()
    assert isinstance(answer, CommandPrepared)
    queue.preparation.take(answer)
    assert not list(queue.preparation.ready(lambda job: queue.state.jobs[job].cells)), "it was made of the old cells"
    queue.placing.update(queue.preparation.settle())
    assert len(queue.placing) == 1, "and waits again"


def member(name: str, gpus: int, lacks: str = "", refused: str | None = None) -> SimpleNamespace:
    host = HostName(name)
    slots = [Slot(host, index, str(index)) for index in range(gpus)]
    offer = SimpleNamespace(known=refused is None, plain=False)
    state = {"starts": True, "refused": refused, "stopped": None, "given_up": bool(lacks), "lacks": lacks}
    state["unused"] = refused or ""
    return SimpleNamespace(host=Host(host), slots=slots, offer=offer, **state)


def test_host_that_could_not_take_a_job_anyway_is_not_why_it_is_not_started() -> None:
    small = member("small", 1, lacks="its setup ended with 7")
    assert Queue(member("desk", 1), small).placing.stuck() == {
        0: "it needs 2 GPUs of one host, and no host of this run has that"
    }
    large = member("large", 2, lacks="its setup ended with 7")
    assert Queue(member("desk", 1), large).placing.stuck() == {0: "its setup ended with 7 on large"}


def test_host_that_turned_the_run_away_is_why_what_needs_it_is_not_started() -> None:
    away = member("away", 2, refused="its host key has changed")
    queue = Queue(member("desk", 1), away)
    rows = ((1, "1", "1", "away"), (2, "1", "", "nosuch"), (3, "1", "", "away another"))
    queue.state.apply(events.JobsAdded(("--n", "GPUS", "HOSTS"), rows))
    queue.placing.update(queue.state.take_touched())
    why = "this run does not use away: its host key has changed"
    assert queue.placing.stuck() == {
        0: f"it needs 2 GPUs of one host, and no host of this run has that; {why}",
        1: f"it needs a host named away with a GPU, and {why}",
        2: "it needs a host named nosuch, and this run has none",
        3: f"it needs a host named away or another, and {why}",
    }
    assert f"it needs a host named away with a GPU, and {why}" in [told.why for told in queue.placing.unplaced()]
    both = Queue(member("large", 2, lacks="its setup ended with 7"), away, member("far", 9, refused="no python"))
    assert both.placing.stuck() == {0: f"its setup ended with 7 on large, and {why}; nor far: no python"}


def test_a_long_chain_is_not_followed_once_for_each_of_its_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, followed = Queue(member("desk", 1)), []
    rows = tuple((number, "1", "", str(number - 1)) for number in range(1, 100))
    queue.state.apply(events.JobsAdded(("--n", "GPUS", "AFTER"), rows))
    monkeypatch.setattr("burnish.core.requirements.circle", lambda job_id, state: followed.append(job_id) or ())
    queue.placing.update(queue.state.take_touched())
    assert len(queue.placing.stuck()) == 100 and not followed


def test_what_has_no_place_is_told_once_for_all_that_ask_for_it() -> None:
    queue = Queue(member("desk", 1))
    queue.state.apply(events.JobsAdded(("--n", "GPUS"), ((1, "2", "2"), (2, "3", "1"))))
    queue.placing.update(queue.state.take_touched())
    [told] = queue.placing.unplaced()
    assert told.why == "it needs 2 GPUs of one host, and no host of this run has that"
    assert [told.concerns(job, queue.state) for job in queue.state.jobs.values()] == [True, True, False]
    assert Unplaced.from_json(json.loads(json.dumps(told.to_json()))) == told


def test_what_hosts_lack_for_some_jobs_is_told_of_these_alone() -> None:
    desk = member("desk", 2)
    queue = Queue(desk)
    queue.state.apply(events.JobsAdded(("--n", "GPUS"), ((1, "2", "2"),)))
    queue.lacking.find(desk.host, JobId(1), {"cwd": "/data/2"}, "there is no /data/2", 0.0)
    queue.placing.update(queue.state.take_touched())
    [told] = queue.placing.unplaced()
    assert (told.why, told.jobs) == ("there is no /data/2 on desk", {1})
    assert [told.concerns(job, queue.state) for job in queue.state.jobs.values()] == [False, True]
