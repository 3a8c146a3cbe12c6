"""What waits, and what is on its way already: a job is prepared once, whatever happens to its row meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support import tables

from burnish.core import events
from burnish.core.jobs import HostName, JobId, Slot
from burnish.core.lacking import Lacking
from burnish.core.reports import CommandPrepared
from burnish.core.state import State
from burnish.placing import Placing
from burnish.plan import Outcome, Plan
from burnish.preparation import Preparation
from burnish.runners.sources import Call, TemplateSource
from burnish.store.paths import Paths

SLOT = Slot(HostName("gpu01"), 0)


class Queue:
    """A state with one job, the queue of a run, and what its runner has answered."""

    def __init__(self) -> None:
        self.state: State = tables.opened(("--n",), [("1",)])
        self.preparation = Preparation(TemplateSource("true {--n}"), pytest.fail)
        stand_in: Callable[..., Any] = SimpleNamespace
        paths = Paths(Path("burnish.db"), "burnish.db", Path(".burnish"), Path("log"))
        self.placing = Placing(
            self.state,
            Plan(()),
            Outcome(),
            stand_in(),
            vacancies=stand_in(),
            projection=stand_in(skipped={}),
            preparation=self.preparation,
            paths=paths,
            lacking=Lacking(),
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
