"""Which job goes where next: the order of the queue, what a run takes up, which slots are free."""

from __future__ import annotations

from support import tables

from burnish.core import events
from burnish.core.jobs import AttemptId, HostName, Job, JobId, Slot
from burnish.core.placement import Selection, WaitingQueue, free_slots, priority
from burnish.core.state import State

HOST = HostName("gpu01")


def everything(job: Job, state: State) -> bool:
    return True


def table(*priorities: str) -> State:
    return tables.opened(("PRIORITY", "--seed"), [(text, str(number)) for number, text in enumerate(priorities)])


def queue_of(state: State) -> WaitingQueue:
    queue = WaitingQueue(Selection().admits)
    queue.update(state.jobs, state)
    return queue


def drained(queue: WaitingQueue) -> list[int]:
    found = []
    while (job := queue.pop()) is not None:
        found.append(int(job))
    return found


def test_larger_priority_first_then_in_table_order() -> None:
    queue = queue_of(table("", "2", "-1", "2.5", "", "inf", "nan", "soon"))
    assert len(queue) == 8
    assert drained(queue) == [5, 3, 1, 0, 4, 6, 7, 2]
    assert not queue


def test_priority_is_zero_where_the_table_has_no_such_column() -> None:
    state = tables.opened(("--seed",), [("1",)])
    assert priority(state.jobs[JobId(0)], state) == 0


def test_the_order_can_be_another_than_that_of_ids() -> None:
    state = table("", "", "5")
    queue = WaitingQueue(everything, rank=lambda job: -job)
    queue.update(state.jobs, state)
    assert drained(queue) == [2, 1, 0]


def test_only_waiting_jobs_queue() -> None:
    state = table("", "", "", "", "")
    tables.claim(state, 0)
    tables.start(state, 1)
    tables.finish(state, tables.start(state, 2), code=1)
    state.apply(events.HoldRequested(3))
    assert drained(queue_of(state)) == [4]


def test_what_changed_is_taken_in_and_out_and_moved() -> None:
    state = table("", "", "", "")
    queue = queue_of(state)
    state.apply(events.HoldRequested(0))
    state.apply(events.JobChanged(2, {"PRIORITY": "7"}))
    state.apply(events.JobRemoved(3))
    attempt = tables.claim(state, 1)
    queue.update([JobId(number) for number in range(4)], state)
    assert len(queue) == 1
    state.apply(events.AttemptVoided(attempt, ""))
    state.apply(events.ReleaseRequested(0))
    queue.update([JobId(0), JobId(1)], state)
    queue.update([JobId(0), JobId(1)], state)  # said twice is once
    assert drained(queue) == [2, 0, 1]


def test_a_job_whose_priority_fell_is_not_taken_at_its_old_place() -> None:
    state = table("9", "5")
    queue = queue_of(state)
    state.apply(events.JobChanged(0, {"PRIORITY": "1"}))
    queue.update([JobId(0)], state)
    assert drained(queue) == [1, 0]


def test_a_selection_is_by_id_by_cells_and_never_of_removed_rows() -> None:
    state = table("", "", "1", "")
    state.apply(events.JobRemoved(3))
    jobs = [state.jobs[JobId(number)] for number in range(4)]

    def admitted(selection: Selection) -> list[int]:
        return [job.id for job in jobs if selection.admits(job, state)]

    assert admitted(Selection()) == [0, 1, 2]
    assert admitted(Selection(frozenset({JobId(1), JobId(3)}))) == [1]
    assert admitted(Selection(where={"--seed": "1"})) == [1]
    assert admitted(Selection(frozenset({JobId(0), JobId(2)}), {"PRIORITY": ""})) == [0]
    assert admitted(Selection(where={"--seed": "1", "PRIORITY": "1"})) == []
    assert admitted(Selection(where={"--none": ""})) == [0, 1, 2]


SLOTS = [Slot(HOST, index) for index in range(3)]


def test_slots_without_an_attempt_are_free() -> None:
    state = table("", "", "")
    assert free_slots(SLOTS, [], []) == SLOTS
    tables.claim(state, 0)  # in slot 0
    mine = list(state.open.values())
    assert free_slots(SLOTS, mine, []) == SLOTS[1:]
    assert free_slots(SLOTS, mine, [SLOTS[2]]) == [SLOTS[1]]


def test_attempts_taken_over_count_even_where_their_slots_are_others() -> None:
    state = table("", "")
    for job in (0, 1):
        tables.claim(state, job)  # both in slot 0: an earlier run had another inventory
    assert len(free_slots(SLOTS, state.open.values(), [])) == 1
    assert free_slots(SLOTS[:1], state.open.values(), []) == []
    assert AttemptId(JobId(1), 1) in state.open
