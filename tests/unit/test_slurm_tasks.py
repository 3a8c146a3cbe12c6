"""What follows from Slurm's word, and what does not."""

from __future__ import annotations

import pytest

from burnish.core.reports import Submitted
from burnish.slurm import tasks
from burnish.slurm.states import GONE, STATES, Stage, completed, end_of, leaves_open, waiting
from burnish.slurm.tasks import FRESH, SETTLE, TAKEN_OUT, UNSEEN, Task
from burnish.slurm.text import Listed

KEPT = 300.0  # s for which Slurm lists what has ended
KILLED = {"exit": {"signal": 9, "ended": 5.0}}


def task(*, running: bool = False, job: str = "") -> Task:
    return Task("0.1-9f86d081", Submitted("burnish-t-1", 0), since=100.0, running=running, job=job)


def compare(about: Task, state: str | None, asked: float, accounting: bool = False) -> list[Task]:
    listed = {} if state is None else {about.key: Listed("7_0", state, "Priority")}
    return list(tasks.compare([about], listed, asked, accounting, KEPT))


def test_a_task_that_runs_or_waits_has_not_ended() -> None:
    about = task()
    for state in ("PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "A_STATE_OF_TOMORROW"):
        compare(about, state, 200.0)
        assert about.end is None and about.job == "7_0"


def test_a_list_that_is_too_young_proves_nothing() -> None:
    about = task()
    compare(about, None, 100.0 + UNSEEN - 1)
    assert about.end is None
    compare(about, None, 100.0 + UNSEEN)
    assert about.end is GONE


def test_the_record_of_a_task_has_its_time_to_come() -> None:
    about = task(running=True)
    compare(about, "COMPLETED", 200.0)
    assert about.settled(200.0 + SETTLE - 1) is None
    compare(about, "COMPLETED", 203.0)
    assert about.settled(200.0 + SETTLE) is STATES["COMPLETED"]


def test_what_was_requeued_after_all_is_not_over() -> None:
    about = task(running=True)
    compare(about, "NODE_FAIL", 200.0)
    compare(about, "PENDING", 202.0)
    assert about.settled(300.0) is None


Listing = dict[tuple[str, int], Listed]


def beside(state: str, job: str = "7_1") -> Listing:
    """A list that lacks the task, and has another of its array."""
    return {("burnish-t-1", 1): Listed(job, state)}


def emptied(array: int = 7) -> Listing:
    """A list that lacks the task, and says that the last of its array that waited was cancelled."""
    return {("burnish-t-1", -array): Listed(str(array), "CANCELLED")}


def test_what_was_taken_out_of_slurms_queue_is_not_submitted_again() -> None:
    """Slurm drops it from its list, in which it waited; or nothing of the array waits any more, which is listed without index."""
    about = task()
    compare(about, "PENDING", 200.0)
    list(tasks.compare([about], beside("PENDING"), 202.0, False, KEPT))
    assert about.end is TAKEN_OUT and about.end == STATES["CANCELLED"]
    last = task(job="7_0")
    list(tasks.compare([last], emptied(), 102.0, False, KEPT))
    assert last.end is TAKEN_OUT


@pytest.mark.parametrize(
    ("before", "asked", "kept", "listed"),
    [
        ("RUNNING", 202.0, KEPT, beside("PENDING")),  # it came to run, and was forgotten after its end
        ("PENDING", 201.0 + FRESH, KEPT, beside("PENDING")),  # so it may have been since
        ("PENDING", 211.0, 10.0, beside("PENDING")),  # likewise, where Slurm forgets sooner
        ("CONFIGURING", 202.0, KEPT, beside("PENDING")),  # it is by itself already, and would be listed
        (None, 202.0, KEPT, beside("PENDING")),  # it was never seen
        ("PENDING", 202.0, KEPT, beside("PENDING", "8_1")),  # that is another array of its name
        ("RUNNING", 202.0, KEPT, emptied(8)),
    ],
)
def test_what_may_have_run_was_not_taken_out_of_the_queue(
    before: str | None, asked: float, kept: float, listed: Listing
) -> None:
    about = task()
    if before is not None:
        compare(about, before, 200.0)
    list(tasks.compare([about], listed, asked, False, kept))
    assert about.end is GONE


def test_a_list_that_is_older_than_the_submission_does_not_say_that_it_was_taken_out() -> None:
    about = task(job="7_0")
    list(tasks.compare([about], emptied(), 99.0, False, KEPT))
    assert about.end is None


@pytest.mark.parametrize("listed", [beside("PENDING"), emptied()])
def test_of_what_runs_it_is_not_concluded_that_it_was_taken_out_of_the_queue(listed: Listing) -> None:
    about = task(job="7_0")
    compare(about, "PENDING", 200.0)
    about.began()
    list(tasks.compare([about], listed, 202.0, False, KEPT))
    assert about.end is GONE


def test_that_a_task_was_taken_out_is_taken_back_when_its_folder_says_that_it_began() -> None:
    about = task(job="7_0")
    list(tasks.compare([about], emptied(), 200.0, False, KEPT))
    assert about.end is TAKEN_OUT
    about.began()
    assert about.end is None
    compare(about, "CANCELLED", 202.0)
    about.began()
    assert about.end is STATES["CANCELLED"], "Slurm's own word stays"


def test_a_list_without_the_array_does_not_say_that_its_tasks_were_cancelled() -> None:
    """A slurmctld that has lost its state."""
    about = task()
    compare(about, "PENDING", 200.0)
    compare(about, None, 202.0)
    assert about.end is GONE


def test_accounting_is_asked_for_what_ran_and_is_gone() -> None:
    ran, never = task(running=True, job="7_0"), task()
    assert compare(ran, None, 200.0, accounting=True) == [ran]
    assert compare(never, None, 200.0, accounting=True) == []
    tasks.accounted(ran, {"7_0": "TIMEOUT"}, 200.0)
    assert ran.end is STATES["TIMEOUT"] and never.end is GONE


def test_a_reason_is_told_once() -> None:
    about = task()
    listed = {about.key: Listed("7_0", "PENDING", "Priority")}
    assert tasks.news(about, listed) == "waiting for Priority"
    assert tasks.news(about, listed) == ""


def test_what_a_node_could_not_launch_is_tried_again() -> None:
    """Slurm cancels it, since it may not requeue it: on a node, and not out of the queue as a person does."""
    by_person, by_node = end_of("CANCELLED"), end_of("CANCELLED", "n0")
    assert by_person is not None and by_person.refused
    assert by_node is not None and by_node.trouble and not by_node.refused
    assert by_node.why == "Slurm could not launch it on n0"
    assert completed(KILLED, by_node) == completed(KILLED, by_person), "what began was ended by somebody"


@pytest.mark.parametrize("state", sorted(state for state, meaning in STATES.items() if meaning is Stage.WAITS))
def test_what_waits_is_not_over(state: str) -> None:
    assert end_of(state) is None and waiting(state, "None") == "in Slurm's queue"


@pytest.mark.parametrize(
    ("state", "final"),
    [
        ("TIMEOUT", {"exit": {"signal": 9, "ended": 5.0, "time_limit": True}}),
        ("OUT_OF_MEMORY", {"exit": {"signal": 9, "ended": 5.0, "oom": True}}),
        ("CANCELLED", {"exit": {"signal": 9, "ended": 5.0, "cancelled": "scancel"}}),
        ("PREEMPTED", {"lost": {"why": "preempted in Slurm", "excused": True, "ended": 5.0}}),
        ("NODE_FAIL", {"lost": {"why": "its node failed", "ended": 5.0}}),
        ("COMPLETED", KILLED),
    ],
)
def test_slurm_says_why_a_job_was_killed(state: str, final: dict[str, object]) -> None:
    assert leaves_open(KILLED)
    end = end_of(state)
    assert end is not None and completed(KILLED, end) == final


@pytest.mark.parametrize(
    "exit",
    [{"code": 0}, {"signal": 9, "oom": True}, {"signal": 15, "cancelled": "ann"}, {"code": 1, "time_limit": True}],
)
def test_what_a_supervisor_knows_stands(exit: dict[str, object]) -> None:
    assert not leaves_open({"exit": exit})


@pytest.mark.parametrize(
    ("state", "final"),
    [
        ("PREEMPTED", {"lost": {"why": "preempted in Slurm", "excused": True, "ended": 5.0}}),
        ("OUT_OF_MEMORY", {"exit": {"code": 1, "ended": 5.0, "oom": True}}),
        ("FAILED", {"exit": {"code": 1, "ended": 5.0}}),
    ],
)
def test_a_job_may_say_with_an_exit_code_that_it_was_ended(state: str, final: dict[str, object]) -> None:
    caught = {"exit": {"code": 1, "ended": 5.0}}
    end = end_of(state)
    assert leaves_open(caught) and end is not None and completed(caught, end) == final
