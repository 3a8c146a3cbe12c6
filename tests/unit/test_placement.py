"""Which job goes where next: the order of the queue, what a run takes up, which slots are free."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from support import tables

from burnish.core import events
from burnish.core.hosts import Host
from burnish.core.jobs import AttemptId, HostName, Job, JobId, Slot
from burnish.core.phases import Phase, phase
from burnish.core.placement import (
    Kind,
    Site,
    WaitingQueue,
    assign,
    fits_nowhere,
    free_slots,
    wants,
    why_nowhere,
)
from burnish.core.requirements import priority, requirements, unmet
from burnish.core.selection import Selection
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
        assert Selection.from_json(selection.to_json()) == selection
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


# -- what jobs ask of their place ------------------------------------------------------------------------------------------


def asking(*rows: tuple[str, str, str]) -> State:
    return tables.opened(("GPUS", "HOSTS", "AFTER"), list(rows))


def site(name: str, gpus: int = 0, each: int = 1, cpus: int = 0, free: list[int] | None = None, **host: object) -> Site:
    """A host whose slots are shares of its GPUs, then CPU slots; `free`: indices, by default all."""
    parts = [(str(gpu), share) for gpu in range(gpus) for share in range(each)] + [(None, 0)] * cpus
    slots = [Slot(HostName(name), index, gpu, share, each) for index, (gpu, share) in enumerate(parts)]
    slots.sort(key=lambda slot: (slot.gpu is None, slot.share, slot.index))
    there = slots if free is None else [slot for slot in slots if slot.index in free]
    return Site(Host(HostName(name), **host), slots, there)  # type: ignore[arg-type]


def assigned(state: State, *sites: Site, most: int = 100) -> list[tuple[int, str, list[str | None]]]:
    given = assign(queue_of(state), sites, most)
    return [(int(job), slots[0].host, [slot.gpu for slot in slots]) for job, slots in given]


def test_first_job_that_fits_goes_first() -> None:
    state = asking(("", "b", ""), ("", "", ""), ("0", "", ""), ("1", "c", ""))
    found = assigned(state, site("a", gpus=1), site("c", gpus=1, cpus=1))
    assert found == [(1, "a", ["0"]), (2, "c", [None]), (3, "c", ["0"])]


def test_hosts_are_names_globs_and_groups() -> None:
    state = asking(("", "gpu0*", ""), ("", "big, desk", ""), ("", "all", ""), ("", "gpu[12]", ""))
    sites = site("gpu1", cpus=1), site("gpu03", cpus=1), site("tower", cpus=2, groups=("desk",))
    assert assigned(state, *sites) == [(0, "gpu03", [None]), (1, "tower", [None]), (2, "gpu1", [None])]


def test_several_gpus_are_several_devices_of_one_host() -> None:
    state = asking(("2", "", ""), ("3", "", ""))
    assert assigned(state, site("a", gpus=1, each=2), site("b", gpus=2, each=2, free=[0, 1, 3])) == [
        (0, "b", ["0", "1"])
    ]


def test_job_that_needs_several_gpus_is_not_passed_by_for_ever() -> None:
    state = asking(("2", "", ""), ("", "", ""), ("", "", ""))
    assert assigned(state, site("a", gpus=2, free=[1]), site("b", gpus=1)) == [(1, "b", ["0"])]
    assert assigned(state, site("a", gpus=1), site("b", gpus=1)) == [(1, "a", ["0"]), (2, "b", ["0"])]  # none ever fits


def test_job_that_needs_several_gpus_is_not_passed_by_by_those_that_are_claimed_ahead() -> None:
    """It waits for the host that has a GPU free, though on the other one more jobs may be followed."""
    state = asking(("2", "", ""), *[("1", "", "")] * 4)
    queue, idle = queue_of(state), [site("a", gpus=2, free=[0]), site("b", gpus=2, free=[])]
    assert list(assign(queue, idle, most=100)) == []
    behind = [replace(site("a", gpus=2, free=[1]), ahead=True), replace(site("b", gpus=2), ahead=True)]
    given = [(int(job), slots[0].host) for job, slots in assign(queue, behind, most=100, idle=idle)]
    assert given == [(1, "b"), (2, "b")]


def test_slots_are_wanted_by_what_would_get_them_if_they_were_free() -> None:
    gpus, cpus = site("a", gpus=2, free=[]), site("b", cpus=1, free=[])
    sites = [gpus, cpus]
    assert wants(Kind(1), sites, gpus.slots[1:]) and not wants(Kind(1), sites, cpus.slots)
    assert wants(Kind(0), sites, cpus.slots) and not wants(Kind(0), sites, gpus.slots[:1])
    assert not wants(Kind(None, ("b",)), sites, gpus.slots[:1])
    retried = Kind(failed_on=frozenset([HostName("a")]))
    assert wants(retried, sites, cpus.slots) and not wants(retried, sites, gpus.slots[:1])
    other = site("c", gpus=2, free=[0])
    assert wants(Kind(2), [gpus, other], other.slots[1:]) and not wants(Kind(2), [gpus, other], gpus.slots[:1])


def test_no_more_are_assigned_than_asked_for() -> None:
    assert assigned(asking(("", "", ""), ("", "", "")), site("a", cpus=2), most=1) == [(0, "a", [None])]


def test_plain_worker_takes_a_job_whatever_gpus_it_asks_for() -> None:
    worker = site("here", cpus=1)
    plain = Site(worker.host, worker.slots, worker.free, plain=True)
    assert assigned(asking(("4", "", "")), plain) == [(0, "here", [None])]


def test_cluster_takes_a_job_whatever_gpus_it_asks_for() -> None:
    state = asking(("4", "", ""), ("0", "", ""))
    assert assigned(state, site("hpc", cpus=2, engine="slurm")) == [(0, "hpc", [None]), (1, "hpc", [None])]


def test_job_that_names_nodes_goes_to_a_cluster() -> None:
    """Unless it names a host as well: there is nothing to choose there."""
    state = asking(("", "--nodelist=n1", ""), ("", "desk --nodelist=n1", ""), ("", "--constraint=a100", ""))
    sites = site("desk", cpus=3), site("hpc", cpus=1, engine="slurm")
    assert assigned(state, *sites) == [(0, "hpc", [None]), (1, "desk", [None])]
    assert fits_nowhere(Kind(only_slurm=True), [site("desk", cpus=1)])


def test_retried_job_goes_to_another_host_first() -> None:
    state = asking(("", "", ""))
    tables.finish(state, tables.start(state, 0, host="a", retries=2), code=1)
    assert assigned(state, site("a", cpus=1), site("b", cpus=1)) == [(0, "b", [None])]
    assert assigned(state, site("a", cpus=1), site("b", cpus=1, free=[])) == []  # it waits for the other
    assert assigned(state, site("a", cpus=1)) == [(0, "a", [None])]


def test_what_fits_nowhere_is_known_and_said() -> None:
    sites = [site("a", gpus=2, free=[]), site("b", cpus=1, groups=("desk",))]
    assert not any(
        fits_nowhere(kind, sites) for kind in (Kind(), Kind(2), Kind(0), Kind(None, ("desk",)), Kind(1, ("a",)))
    )
    for kind, why in (
        (Kind(3), "it needs 3 GPUs of one host, and no host of this run has that"),
        (Kind(1, ("desk",)), "it needs a host named desk with a GPU, and this run has none"),
        (Kind(None, ("c", "e*")), "it needs a host named c or e*, and this run has none"),
        (Kind(only_slurm=True), "it names nodes or features of a cluster, and this run has none"),
        (Kind(0, ("a",)), "it needs a host named a with a slot without a GPU, and this run has none"),
        (
            Kind(outgrew=frozenset("ab")),
            "it ran out of memory on a and b, and no other host of this run has a place for it",
        ),
    ):
        assert fits_nowhere(kind, sites) and why_nowhere(kind) == why


# -- jobs after others -----------------------------------------------------------------------------------------------------


def test_job_waits_until_all_before_it_are_complete() -> None:
    state = asking(("", "", ""), ("", "", "0, 2-2"), ("", "", ""))
    queue = queue_of(state)
    assert drained(queue) == [0, 2] and queue.blocked == {1: 0}
    for job, watched in ((0, {1: 2}), (2, {})):
        tables.finish(state, tables.start(state, job))
        queue.update([JobId(job)], state)
        assert queue.blocked == watched
    assert drained(queue) == [1]


def test_job_after_one_that_failed_goes_on_waiting_and_starts_when_that_is_mended() -> None:
    state = asking(("", "", ""), ("", "", "0"))
    queue = queue_of(state)
    tables.finish(state, tables.start(state, 0), code=1)
    queue.update([JobId(0)], state)
    assert queue.blocked == {1: 0} and not queue
    state.apply(events.JobMarked(0, "COMPLETE", "by hand"))
    queue.update([JobId(0)], state)
    assert drained(queue) == [1]


def test_blocked_job_that_is_held_or_freed_of_its_after_is_taken_out_and_in() -> None:
    state = asking(("", "", ""), ("", "", "0"), ("", "", "0"))
    queue = queue_of(state)
    state.apply(events.HoldRequested(1))
    state.apply(events.JobChanged(2, {"AFTER": ""}))
    queue.update([JobId(1), JobId(2)], state)
    assert queue.blocked == {} and drained(queue) == [0, 2]


def ids(numbers: set[int]) -> str:
    return ",".join(map(str, sorted(numbers)))


@given(st.data())
def test_whatever_waits_for_whatever_the_queue_is_what_a_look_at_the_table_says(data: st.DataObject) -> None:
    """Circles of any length too, also such as come and go while a run looks on."""
    jobs = 5
    some = st.sets(st.integers(0, jobs))  # job 5 does not exist
    state = asking(*(("", "", ids(data.draw(some, "AFTER"))) for _ in range(jobs)))
    queue = queue_of(state)
    for _ in range(data.draw(st.integers(0, 6), "changes")):
        changed = JobId(data.draw(st.integers(0, jobs - 1), "job"))
        if data.draw(st.booleans(), "ends"):
            state.apply(events.JobMarked(changed, "COMPLETE", "by hand"))
        else:
            state.apply(events.JobChanged(changed, {"AFTER": ids(data.draw(some, "AFTER"))}))
        queue.update([changed], state)
        waiting = [job for job in state.jobs if phase(state.jobs[job]) is Phase.WAITING]
        unmet_of = {job: unmet(requirements(state.jobs[job], state).after, state) for job in waiting}
        assert {job for job, _ in queue.waiting()} == {job for job, other in unmet_of.items() if other is None}
        assert queue.blocked == {job: other for job, other in unmet_of.items() if other is not None}


def test_end_of_a_job_costs_what_watches_it_and_not_the_chain_behind() -> None:
    length = 1000
    state = asking(("", "", ""), *(("", "", str(before)) for before in range(length)))
    taken: list[JobId] = []
    queue = WaitingQueue(lambda job, state: not taken.append(job.id))  # type: ignore[func-returns-value]
    queue.update(state.jobs, state)
    taken.clear()
    tables.finish(state, tables.start(state, 0))
    queue.update([JobId(0)], state)
    assert taken == [1]
