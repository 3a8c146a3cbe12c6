"""Control cells read: what a job asks for, what it waits for, and what can never be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import tables

from burnish.core.jobs import JobId
from burnish.core.requirements import (
    Requirements,
    circle,
    misnamed,
    never_met,
    requirements,
    unmeetable,
    unmet,
    why_blocked,
    why_never_met,
)
from burnish.core.state import State

COLUMNS = ("PRIORITY", "GPUS", "HOSTS", "TIME_LIMIT", "RETRIES", "AFTER", "--lr")


def after(*cells: str) -> State:
    return tables.opened(("AFTER",), [(cell,) for cell in cells])


def test_cells_are_read_and_empty_ones_ask_for_nothing() -> None:
    state = tables.opened(
        COLUMNS, [("9", " 2 ", "gpu1, b*  c", "1h30m", "3", "1,3-5;7", "x"), ("", "", "", "", "", "", "")]
    )
    assert requirements(state.jobs[JobId(0)], state) == Requirements(
        2, ("gpu1", "b*", "c"), 5400.0, 3, (range(1, 2), range(3, 6), range(7, 8))
    )
    assert requirements(state.jobs[JobId(1)], state) == Requirements()


def test_hosts_may_say_where_on_a_cluster() -> None:
    cells = [("hpc,desk --nodelist=n1,n[3-4]",), ("--constraint=a100&ib",), ("gpu--1",)]
    state = tables.opened(("HOSTS",), cells)
    named, anywhere, plain = (requirements(state.jobs[JobId(job)], state) for job in range(3))
    assert named.hosts == ("hpc", "desk") and named.sbatch == (("nodelist", "n1,n[3-4]"),) and not named.only_slurm
    assert anywhere.hosts == () and anywhere.sbatch == (("constraint", "a100&ib"),) and anywhere.only_slurm
    assert plain.hosts == ("gpu--1",) and not plain.sbatch


def test_cells_that_cannot_be_read_ask_for_nothing() -> None:
    state = tables.opened(COLUMNS, [("x", "two", "???!", "soon", "-1", "3-", "x")])
    asked = requirements(state.jobs[JobId(0)], state)
    assert asked.gpus is None and asked.time_limit is None and asked.retries is None and asked.after == ()


def test_huge_range_costs_no_more_than_the_table() -> None:
    state = after("0-999999999", "")
    assert unmet(requirements(state.jobs[JobId(0)], state).after, state) == 0
    assert why_blocked(state, JobId(0)) == "by AFTER it waits for itself: 0, 0"


@pytest.mark.parametrize(
    ("cells", "ring"),
    [(["0"], (0,)), (["1", "0"], (0, 1)), (["2", "0", "1"], (0, 2, 1)), (["1", "2", "1"], ()), (["1,2", "", "1"], ())],
)
def test_jobs_that_wait_for_each_other_are_found(cells: list[str], ring: tuple[int, ...]) -> None:
    assert circle(JobId(0), after(*cells)) == ring


def test_long_chain_is_no_recursion() -> None:
    state = after(*(str(number + 1) for number in range(5000)), "")
    assert circle(JobId(0), state) == ()


def test_what_can_never_be_is_named() -> None:
    state = after("", "0", "9", "1")
    assert misnamed(state, JobId(2)) == "its AFTER names job 9, which the table does not have"
    assert [misnamed(state, JobId(job)) for job in (0, 1, 3)] == ["", "", ""]
    assert why_blocked(state, JobId(1)) == "it comes after job 0, which is NOT_RUNNING"
    tables.finish(state, tables.start(state, 0), code=1)
    assert why_blocked(state, JobId(1)) == "it comes after job 0, which is ERROR"


@given(st.lists(st.lists(st.integers(0, 6), max_size=2), min_size=6, max_size=6))
def test_all_at_once_are_told_as_one_by_one(cells: list[list[int]]) -> None:
    state = after(*(",".join(map(str, ids)) for ids in cells))  # of job 6 there is none
    wrong = {job_id for job_id in state.jobs if misnamed(state, job_id)}
    behind = {
        job_id for job_id in state.jobs if _reaches(job_id, {one for one in state.jobs if circle(one, state)}, state)
    }
    assert unmeetable(state) == wrong | behind == {job_id for ids, _ in never_met(state) for job_id in ids}


def _reaches(job_id: JobId, wanted: set[JobId], state: State) -> bool:
    seen, path = set(), [job_id]
    while path:
        if (current := path.pop()) not in seen and current in state.jobs:
            seen.add(current)
            path += [JobId(n) for ids in requirements(state.jobs[current], state).after for n in ids]
    return bool(seen & wanted)


def test_each_circle_is_named_with_what_waits_behind_it() -> None:
    state = after("0", "2", "1", "1,0", "9", "")
    assert list(never_met(state)) == [
        ([4], "its AFTER names job 9, which the table does not have"),
        ([0], "by AFTER, job 0 waits for itself: 0, 0"),
        ([1, 2, 3], "by AFTER, job 1 waits for itself: 1, 2, 1"),
    ]


def test_a_circle_of_many_jobs_is_named_by_its_first_ones_at_the_cost_of_its_length() -> None:
    many = 20_000
    state = after(*(str((job + 1) % many) for job in range(many)))
    assert set(why_never_met(state).values()) == {  # the square of it would take hours
        f"by AFTER, job 0 waits for itself: {', '.join(map(str, range(20)))}, …, 0"
    }
