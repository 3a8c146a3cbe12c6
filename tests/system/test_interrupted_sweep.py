"""A sweep of 200 jobs with mixed fates, interrupted by kill -9 of everything that is burnish, ends with right states and logs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sweeps import Sweep, children, kill_if_alive, wait_until_gone
from tests.support.waiting import wait_for

JOBS = 200
INTERRUPTIONS = 5


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    sweep = Sweep.of(tmp_path, JOBS)
    yield sweep
    sweep.stop()


def started(sweep: Sweep) -> int:
    return len(list((sweep.folder / "ledger").iterdir()))


def interrupt(sweep: Sweep, after: int, *, supervisors: bool) -> int:
    """Start a run, let it start `after` more jobs, and SIGKILL it, its agent and, if asked, supervisors; how many of these."""
    goal = min(started(sweep) + after, JOBS)
    run = sweep.start("--num_workers", "6")
    wait_for(lambda: started(sweep) >= goal or run.poll() is not None, lambda: started(sweep), deadline=120)
    agents = children(run.pid)
    run.kill()
    run.wait()
    killed = 0
    if supervisors:
        killed = sum(kill_if_alive(record["go"]["supervisor"]) for record in sweep.starts())
    for agent in agents:
        wait_until_gone(agent)
    return killed


def test_killed_coordinators_and_agents_cost_no_second_start(sweep: Sweep) -> None:
    seed = random.Random(4)
    for _ in range(INTERRUPTIONS):
        interrupt(sweep, seed.randint(5, 40), supervisors=False)
    assert sweep.finish("--num_workers", "6") == 1
    assert sweep.check() == {"1": JOBS}


def test_killed_supervisors_cost_their_jobs_another_attempt_each(sweep: Sweep) -> None:
    seed = random.Random(5)
    killed = sum(interrupt(sweep, seed.randint(5, 40), supervisors=True) for _ in range(INTERRUPTIONS))
    assert killed, "no supervisor was alive when it was to be killed: this proved nothing"
    assert sweep.finish("--num_workers", "6") == 1
    needed = sweep.check(attempts=3)
    assert sum(needed.values()) == JOBS
    assert needed["1"] >= JOBS - killed


def test_a_run_with_nothing_to_start_takes_back_what_a_killed_one_left(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 4, "1.5")
    try:
        run = sweep.start("--num_workers", "4")
        wait_for(lambda: started(sweep) == 4, lambda: started(sweep))
        run.kill()
        run.wait()
        assert sweep.finish("--num_workers", "4") == 1
        assert sweep.check() == {"1": 4}
    finally:
        sweep.stop()
