"""The last words of a run: what became of its jobs, who looks after those that run on, and what was skipped."""

from __future__ import annotations

import signal
from types import SimpleNamespace

from support.tables import claim, finish, opened, start

from burnish.core import events
from burnish.core.ids import name_run, new_run
from burnish.core.jobs import CoordinatorId, JobId
from burnish.core.state import State
from burnish.plan import Outcome
from burnish.session import exit_code
from burnish.views.live import BEAT, Voice

ME = CoordinatorId("me")
OTHER = new_run("ann-desk", 4711, "9f86d0")


def last_words(
    state: State, *, stopped_by: int | None = None, others: tuple[CoordinatorId, ...] = (), skipped: int = 0
) -> list[str]:
    said: list[str] = []
    Voice(said.append, state, clock=lambda: 0.0).summary(state.jobs.keys(), stopped_by, ME, others, skipped)
    return said


def three_jobs() -> State:
    """Job 0 is done, 1 and 2 run."""
    state = opened(("--lr",), [("1",), ("2",), ("3",)])
    finish(state, start(state, 0))
    start(state, 1)
    start(state, 2, "gpu02")
    return state


def adopt(state: State, run: CoordinatorId, *jobs: int) -> None:
    for attempt in list(state.open):
        if attempt.job in jobs:
            state.apply(events.AttemptAdopted(attempt, run))


def test_a_run_is_known_by_its_pid_and_machine() -> None:
    assert name_run(OTHER) == "pid 4711 on ann-desk"
    assert name_run(ME) == "me"


def test_jobs_that_another_run_looks_after_are_named_with_it() -> None:
    state = three_jobs()
    adopt(state, OTHER, 1, 2)
    assert last_words(state, others=(OTHER,)) == [
        "1 of 3 done, 2 RUNNING, in 0s",
        "Jobs 1-2 run on, and another burnish run looks after them (pid 4711 on ann-desk). "
        "To wait for them: burnish wait",
    ]


def test_jobs_that_a_living_run_is_just_starting_are_its_own_affair() -> None:
    state = opened(("--lr",), [("1",), ("2",)])
    adopt(state, OTHER, claim(state, 0).job)
    assert last_words(state, others=(OTHER,)) == ["0 of 2 done, in 0s"]


def test_jobs_whose_run_is_gone_and_whose_host_is_silent_are_not_called_running() -> None:
    state = three_jobs()
    adopt(state, OTHER, 2)
    assert last_words(state)[-1] == (
        "Job 2 was left running by a run that is gone (pid 4711 on ann-desk), and gpu02 has not said what became of it. "
        "burnish run takes it back."
    )


def test_a_run_that_is_stopped_says_whose_each_job_is() -> None:
    state = three_jobs()
    adopt(state, OTHER, 2)
    [said] = last_words(state, stopped_by=signal.SIGINT, others=(OTHER,))
    assert said == (
        "Stopped by SIGINT. Job 1 runs on. burnish run takes it back; burnish cancel --all stops it. "
        "Job 2 runs on, and another burnish run looks after it (pid 4711 on ann-desk). To wait for it: burnish wait"
    )
    finish(state, next(iter(state.open)))
    finish(state, next(iter(state.open)))
    assert last_words(state, stopped_by=signal.SIGINT) == ["Stopped by SIGINT. No job is running."]


def test_a_job_that_was_only_given_to_a_host_is_not_said_to_run() -> None:
    state = opened(("--lr",), [("1",), ("2",)])
    start(state, 0)
    claim(state, 1)
    (words,) = last_words(state, stopped_by=signal.SIGINT)
    assert "Job 0 runs on." in words
    assert "Job 1 may have started meanwhile: no host has said." in words


def test_a_job_in_slurms_queue_is_said_to_be_there() -> None:
    state = opened(("--lr",), [("1",), ("2",)])
    for job in range(2):
        state.open[claim(state, job)].entry["engine"] = "slurm"
    state.apply(events.AttemptQueued(next(iter(state.open)), "waiting for Priority"))
    (words,) = last_words(state, stopped_by=signal.SIGINT)
    assert "Job 0 waits in Slurm's queue. burnish run takes it back; burnish cancel --all takes it out." in words
    assert "Job 1 may have started meanwhile: no host has said." in words


def test_rows_that_were_skipped_are_counted_at_the_end() -> None:
    state = opened(("--lr",), [("1",)])
    finish(state, start(state, 0))
    assert last_words(state, skipped=1) == [
        "1 of 1 done, in 0s",
        "1 row was skipped; burnish status says which, and why",
    ]


def test_a_run_that_chose_none_of_the_waiting_jobs_does_not_say_that_none_waits() -> None:
    said: list[str] = []
    state = opened(("--lr",), [("1",)])
    Voice(said.append, state).summary([], None, ME, [])
    state.apply(events.HoldRequested(0))
    Voice(said.append, state).summary([], None, ME, [])
    assert said == ["Nothing to run: no job that was chosen is NOT_RUNNING", "Nothing to run: no job is NOT_RUNNING"]


def test_progress_is_that_of_the_jobs_of_the_run() -> None:
    said: list[str] = []
    state = opened(("--lr",), [("1",), ("2",), ("3",), ("4",)])
    finish(state, start(state, 0))
    now = [0.0]
    voice = Voice(said.append, state, clock=lambda: now[0])
    voice.taken = {JobId(1), JobId(2)}
    attempt = start(state, 1)
    now[0] = 2 * BEAT
    voice.hear([events.AttemptStarted(attempt, 1, 0.0)], state)
    assert said == ["0 of 2 done, 1 RUNNING"]


def test_progress_is_said_while_the_foot_that_shows_it_is_not_drawn() -> None:
    said: list[str] = []
    state = opened(("--lr",), [("1",)])
    now, drawn = [0.0], [True]
    voice = Voice(said.append, state, clock=lambda: now[0])
    voice.foot = lambda facts, state: drawn[0]
    started = [events.AttemptStarted(start(state, 0), 1, 0.0)]
    now[0] = 2 * BEAT
    voice.hear(started, state)
    assert said == []
    drawn[0] = False
    voice.hear(started, state)
    voice.hear(started, state)
    assert said == ["0 of 1 done, 1 RUNNING"]


def test_rows_that_were_deleted_are_no_part_of_what_is_to_be_done_and_are_named() -> None:
    state = opened(("--lr",), [("1",), ("2",), ("3",), ("4",), ("5",)])
    finish(state, start(state, 0))
    finish(state, start(state, 1), code=1)
    attempt = start(state, 2)
    for job in (1, 2, 3):
        state.apply(events.JobRemoved(job))
    assert (
        last_words(state)[0] == "2 of 4 done, 1 ERROR, 1 RUNNING, 1 deleted, 2 of these are in the table no more, in 0s"
    )
    state.apply(events.JobRemoved(4))
    finish(state, attempt)
    assert last_words(state)[0] == "3 of 3 done, 1 ERROR, 2 deleted, 2 of these are in the table no more, in 0s"


def test_a_row_that_was_deleted_while_it_waited_does_not_spoil_the_end_of_a_run() -> None:
    state = opened(("--lr",), [("1",), ("2",)])
    finish(state, start(state, 0))
    session = SimpleNamespace(state=state, projection=SimpleNamespace(skipped_rows=0, readable=True))
    ended = Outcome(taken={JobId(0), JobId(1)}, claimed=1, no_host=True)
    assert exit_code(session, ended) == 3  # type: ignore[arg-type]
    state.apply(events.JobRemoved(1))
    assert exit_code(session, ended) == 0  # type: ignore[arg-type]
