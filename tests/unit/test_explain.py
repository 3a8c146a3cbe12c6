"""What `explain` says of a job in every phase, and what it leaves to be seen."""

from __future__ import annotations

import pytest
from support import facts, tables
from support.deadline import within

from burnish.core import events
from burnish.core.explain import Surroundings, explain, unended
from burnish.core.jobs import CoordinatorId, JobId
from burnish.core.phases import Phase
from burnish.core.selection import Selection
from burnish.core.state import State
from burnish.core.table import consequence
from burnish.errors import Problem

GOING = Surroundings(runs=[CoordinatorId("me")])


def told(state: State, job: int = 0, around: Surroundings = GOING) -> str:
    return "\n".join(explain(state, state.jobs[JobId(job)], around))


@pytest.mark.parametrize("before", Phase, ids=lambda value: value.value)
def test_every_phase_begins_with_its_word_and_says_what_moves_it(before: Phase) -> None:
    for make in facts.IN_PHASE[before]:
        state = make()
        first, *rest = told(state).splitlines()
        assert first.startswith(f"Job 0 is {state.jobs[JobId(0)].word}")
        assert rest


def test_place_in_the_queue_counts_priority_and_skipped_rows() -> None:
    state = tables.opened(("PRIORITY",), [("",), ("",), ("5",), ("",)])
    assert "3 waiting jobs start before it (its PRIORITY is 0)" in told(state, 3)
    assert "It is the next to start." in told(state, 2)
    skipping = Surroundings(
        {JobId(0): Problem("burnish.db:2", f"3 fields. {consequence(4)}")}, runs=[CoordinatorId("me")]
    )
    assert "2 waiting jobs start before it" in told(state, 3, skipping)
    said = told(state, 0, skipping)
    why = "Its row, burnish.db:2, cannot be read, so it is passed over until that is mended: 3 fields."
    assert why in said.splitlines(), "what was said when the table was read may be out of sight"


def hopeless() -> list[tuple[str, State, Surroundings]]:
    """What keeps job 1 from starting, with the sentence that says so."""
    me = [CoordinatorId("me")]
    plain = tables.opened(("--lr",), [("1",)] * 3)
    fault = Problem("burnish.db:3", '"DONE" is not a STATE.')
    itself = tables.opened(("AFTER",), [("",), ("1",), ("",)])
    behind = tables.opened(("AFTER",), [("",), ("0",), ("",)])
    tables.finish(behind, tables.start(behind, 0), code=1)
    halted = tables.opened(("--lr",), [("1",)] * 3)
    halted.apply(events.StartsHalted("1 job failed", "me"))
    return [
        ("passed over until that is mended", plain, Surroundings({JobId(1): fault}, runs=me, limited=me)),
        ("The table cannot be read as a whole", plain, Surroundings(readable=False, runs=me)),
        ("by AFTER it waits for itself: 1, 1", itself, GOING),
        ("it comes after job 0, which is ERROR", behind, GOING),
        ("Nothing is started since 1 job failed", halted, GOING),
    ]


@pytest.mark.parametrize(
    ("why", "state", "around"), hopeless(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_job_that_something_keeps_out_is_not_said_to_come_in_its_turn(
    why: str, state: State, around: Surroundings
) -> None:
    said = told(state, 1, around)
    assert why in said and "A burnish run (me) is going." in said.splitlines()
    assert "in its turn" not in said
    if why.startswith(("passed", "The table", "by AFTER", "it comes")):
        assert "before it" not in said and "next to start" not in said, "it has no place in the queue"


def test_job_of_one_run_does_not_wait_for_those_of_another() -> None:
    state = tables.opened(("--lr",), [("1",), ("1",), ("2",), ("2",)])
    one, two = CoordinatorId("one"), CoordinatorId("two")
    chosen = {one: Selection(frozenset({JobId(0), JobId(1)})), two: Selection(where={"--lr": "2"})}
    around = Surroundings(runs=[one, two], narrowed=chosen)
    said = told(state, 2, around)
    assert "A burnish run (one) is going and cannot start it: it was narrowed to --job_id 0-1." in said
    assert "A burnish run (two) is going; the job comes in its turn" in said and "It is the next to start." in said
    assert "1 waiting job starts before it." in told(state, 3, around)


def test_num_jobs_is_named_where_no_run_goes_on_without_it() -> None:
    state = tables.opened(("--lr",), [("1",)])
    one, two = CoordinatorId("one"), CoordinatorId("two")
    unless = "the job comes in its turn, unless --num_jobs ends the run before."
    assert unless not in told(state, 0, Surroundings(runs=[one]))
    assert unless in told(state, 0, Surroundings(runs=[one], limited=[one]))
    assert unless not in told(state, 0, Surroundings(runs=[one, two], limited=[one])), "two takes what one leaves"


def test_what_a_run_was_narrowed_to_can_be_typed_again() -> None:
    state = tables.opened(("--lr",), [("1",)])
    run = CoordinatorId("run")
    around = Surroundings(runs=[run], narrowed={run: Selection(where={"--lr": "b c", "PRIORITY": ""})})
    assert "it was narrowed to --where '--lr=b c' --where PRIORITY=." in told(state, 0, around)


def test_run_of_thousands_of_ids_is_asked_of_each_job_and_named_once() -> None:
    state = tables.opened(("--lr",), [("1",)] * 20_000)
    run = CoordinatorId("run")
    around = Surroundings(runs=[run], narrowed={run: Selection(frozenset(map(JobId, range(0, 20_000, 2))))})
    with within(10):
        assert "9999 waiting jobs start before it." in told(state, 19_998, around).replace(",", "")
        assert "it was narrowed to --job_id IDS." in told(state, 1, around)


def test_what_slurm_has_not_started_is_its_to_start() -> None:
    state = tables.opened(("--lr",), [("1",)])
    attempt = tables.claim(state, 0, "hpc")
    state.open[attempt].entry["engine"] = "slurm"
    state.apply(events.AttemptQueued(attempt, "waiting for Priority"))
    said = told(state)
    assert "Job 0 is NOT_RUNNING (waiting for Priority)." in said
    assert "Attempt 0.1 was given to Slurm on hpc, which has not started it yet." in said
    state.apply(events.AttemptStarted(attempt, 7, 1.0))
    state.apply(events.AttemptDisowned(attempt, "forgotten by Slurm; its supervisor lives"))
    assert "Job 0 is RUNNING (forgotten by Slurm; its supervisor lives)." in told(state)


def test_no_run_and_unreadable_table_are_named() -> None:
    state = tables.opened(("--lr",), [("1",)])
    assert "No burnish run is going" in told(state, around=Surroundings())
    assert "The table cannot be read" in told(state, around=Surroundings(readable=False))
    assert "A burnish run (me) is going" in told(state)


def test_drained_hosts_and_taken_slots_are_named() -> None:
    state = tables.opened(("--lr",), [("1",), ("2",)])
    tables.start(state, 0, "gpu01")
    state.apply(events.HostDrained("gpu02", "fan", "me"))
    assert "gpu02 takes no new jobs: it is drained (fan)." in told(state, 1)
    assert "1 on gpu01" in told(state, 1)


def test_running_job_whose_run_is_gone_says_who_takes_it_back() -> None:
    state = tables.opened(("--lr",), [("1",)])
    tables.start(state, 0, gpus=("0", "1"))
    assert "runs on gpu01, GPU 0, 1; it was started as pid 4711." in told(state)
    assert "is gone" not in told(state)
    assert "The burnish run that looks after it is me." in told(state)
    gone = told(state, around=Surroundings())
    assert "Attempt 0.1 was started on gpu01, GPU 0, 1 as pid 4711." in gone and "runs on" not in gone
    assert "The run that looked after it (me) is gone, so it may have ended since." in gone


def test_earlier_attempts_are_told_with_their_ends() -> None:
    state = tables.opened(("--lr",), [("1",)])
    state.apply(events.AttemptLost(tables.start(state, 0), "its host rebooted", 2.0))
    assert "Earlier, attempt 0.1 on gpu01 ended as ERROR (LOST: its host rebooted)." in told(state)
    tables.finish(state, tables.start(state, 0), code=1)
    text = told(state)
    assert text.count("Earlier") == 1 and "burnish view 0 --stderr" in text


def test_job_that_comes_after_another_is_told_the_way_out() -> None:
    state = tables.opened(("AFTER",), [("",), ("0",), ("77",)])
    assert "It cannot start now: it comes after job 0, which is NOT_RUNNING." in told(state, 1).splitlines()
    tables.finish(state, tables.start(state, 0), code=1)
    assert "which is ERROR. To run that one again: burnish reset --job_id 0" in told(state, 1)
    state.apply(events.HoldRequested(0))
    assert "which is HOLD. To let that one go: burnish release --job_id 0" in told(state, 1)
    assert "which the table does not have. It waits until AFTER is corrected in the table." in told(state, 2)


def test_removed_row_is_named() -> None:
    state = tables.opened(("--lr",), [("1",)])
    tables.start(state, 0)
    state.apply(events.JobRemoved(0))
    assert "Its row was deleted" in told(state)


def test_silent_hosts_are_told_from_those_whose_jobs_live() -> None:
    state = tables.opened(("--lr",), [("1",)] * 4)
    hosts = ("gpu01", "gpu02", "gpu02", "gpu03")
    silent, deaf, deaf_too, late = [tables.start(state, job, host) for job, host in enumerate(hosts)]
    told = {deaf: True, deaf_too: True, late: False}
    said = {tuple(a.id.job for a in found): why for found, why in unended(list(state.open.values()), told)}
    assert list(said) == [(silent.job,), (1, 2), (late.job,)]
    assert said[0,] == "no word from gpu01. It is done when the host answers."
    assert said[1, 2].startswith("gpu02 was told, and their processes have not ended (started as pid 4711, 4711).")
    assert "burnish cancel --job_id 1-2\nhint: on gpu02: ps -s 4711,4711 " in said[1, 2]
    assert said[3,].startswith("gpu03 was told, and a word of its end, or the rest of its log, has not come home yet.")
