"""Facts to try on a state: jobs in every phase, a fact of every kind, histories that hypothesis draws."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from burnish.core import events
from burnish.core.events import Fact
from burnish.core.jobs import AttemptId, JobId, Word
from burnish.core.phases import TRANSITIONS, Phase
from burnish.core.state import IllegalFact, State

from . import tables

COLUMNS = ("--lr", "--seed")
HOSTS = ("gpu01", "gpu02")

Exit = dict[str, Any]


def contents(state: State) -> dict[str, Any]:
    """All that a state holds, to compare. What was touched since the last look is not part of it."""
    held = copy.deepcopy(vars(state))
    del held["_touched"]
    for job in held["jobs"].values():
        job.attempts  # noqa: B018 - from here on they are read
    held["jobs"] = list(held["jobs"].items())  # the order of jobs is the order of rows
    return held


def unchanged(state: State, fact: Fact) -> None:
    """`fact` is refused and leaves no trace."""
    before, touched = contents(state), set(state._touched)
    try:
        state.apply(fact)
    except IllegalFact:
        assert contents(state) == before
        assert state._touched == touched
        return
    raise AssertionError(f"{fact} was let in")


def waiting() -> State:
    return tables.opened(COLUMNS, [("0.1", "1")])


def held() -> State:
    state = waiting()
    state.apply(events.HoldRequested(0))
    return state


def claimed(hold: bool = False, cancel: bool = False, retries: int = 0) -> State:
    state = waiting()
    attempt = tables.claim(state, 0, retries=retries)
    if hold:
        state.apply(events.HoldRequested(0))
    if cancel:
        state.apply(events.CancelRequested(attempt, "ann", 1.0))
    return state


def running(hold: bool = False, cancel: bool = False, retries: int = 0) -> State:
    state = claimed(hold, cancel, retries)
    state.apply(events.AttemptStarted(AttemptId(JobId(0), 1), 4711, 1.0))
    return state


def complete() -> State:
    state = running()
    tables.finish(state, AttemptId(JobId(0), 1))
    return state


def failed() -> State:
    state = running()
    tables.finish(state, AttemptId(JobId(0), 1), code=1)
    return state


def lost_often(state: State) -> State:
    state.jobs[JobId(0)].lost = 2
    return state


# Several ways to be in a phase, where the way decides what follows.
IN_PHASE: dict[Phase, list[Callable[[], State]]] = {
    Phase.WAITING: [waiting],
    Phase.HELD: [held],
    Phase.CLAIMED: [
        claimed,
        lambda: claimed(hold=True),
        lambda: claimed(cancel=True),
        lambda: claimed(retries=1),
        lambda: claimed(hold=True, retries=1),
        lambda: lost_often(claimed()),
    ],
    Phase.RUNNING: [
        running,
        lambda: running(hold=True),
        lambda: running(cancel=True),
        lambda: running(retries=1),
        lambda: running(hold=True, retries=1),
        lambda: lost_often(running()),
    ],
    Phase.COMPLETE: [complete],
    Phase.ERROR: [failed],
}


def claim_of(attempt: AttemptId, by: str = "me", host: str = "gpu01", slot: int = 0, at: float = 1.0) -> Fact:
    entry = {"workdir": "/home/ann", "port": 22}
    argv = ("python", "train.py", "--lr", "1e-4")
    return events.AttemptClaimed(
        attempt, "9f86d081", by, host, f"id of {host}", "boot 1", entry, (slot,), ("0",), argv, f"log_{attempt}", at
    )


def exit_of(attempt: AttemptId, **record: Any) -> Fact:
    measured: Exit = {"code": 0, "signal": None, "started": 1.0, "ended": 3.5, "duration": 2.5, "max_rss": 20_000}
    return events.AttemptExited(attempt, **{**measured, **record})


def variants(kind: type[Any], job: int, number: int) -> Iterator[Fact]:
    """Facts of one kind of TRANSITIONS about job `job`, whose newest attempt is `number`: one per content that decides."""
    newest, following = AttemptId(JobId(job), number), AttemptId(JobId(job), number + 1)
    made: dict[type[Any], list[Fact]] = {
        events.AttemptClaimed: [claim_of(following)],
        events.AttemptRefused: [events.AttemptRefused(following, "me", "the runner raised", "log", 1.0)],
        events.AttemptQueued: [events.AttemptQueued(newest, "waiting for Priority")],
        events.AttemptDisowned: [events.AttemptDisowned(newest, "forgotten by Slurm")],
        events.AttemptStarted: [events.AttemptStarted(newest, 4711, 1.0)],
        events.AttemptVoided: [
            events.AttemptVoided(newest, "its coordinator is gone"),
            events.AttemptVoided(newest, "no such program", refused=True),
            events.AttemptVoided(newest, "the disk is full", trouble=True),
        ],
        events.AttemptExited: [exit_of(newest), exit_of(newest, code=1), exit_of(newest, code=None, signal=9)],
        events.AttemptLost: [events.AttemptLost(newest, "its host rebooted", 1.0)],
        events.AttemptAdopted: [events.AttemptAdopted(newest, "another")],
        events.CancelRequested: [events.CancelRequested(newest, "ann", 10.0)],
        events.HoldRequested: [events.HoldRequested(job), events.HoldRequested(job, "CANCELLED")],
        events.ReleaseRequested: [events.ReleaseRequested(job)],
        events.ResetRequested: [events.ResetRequested(job)],
        events.JobMarked: [events.JobMarked(job, str(word), "by hand") for word in Word],
    }
    yield from made[kind]


def proposals(state: State) -> list[Fact]:
    """Facts that somebody might think of in this state; some of them are illegal."""
    found: list[Fact] = [
        events.JobsAdded(state.columns, ((int(state.next_id), *("x" for _ in state.columns)),)),
        events.JobsAdded(("--new", "--lr"), ((int(state.next_id) + 2, "n", "0.5"),)),
        events.JobsAdded(state.columns, ((0, *("again" for _ in state.columns)),)),
        events.ColumnsChanged(tuple(reversed(state.columns))),
        events.ColumnsChanged((*state.columns[1:], "--wd"))
        if "--wd" not in state.columns
        else events.TableOpened("t", (), 1.0),
        events.HostForgotten(HOSTS[0], f"id of {HOSTS[0]}", "ann"),
        events.HostDrained(HOSTS[1], "being repaired", "ann"),
        events.HostUndrained(HOSTS[1], "ann"),
        events.StartsHalted("5 jobs failed", "me"),
        events.StartsResumed("ann"),
        events.TableRendered("ab" * 32, {"3": 7}, 5.0),
        events.TableRendered("cd" * 32, {}, 6.0),
    ]
    for job in state.jobs.values():
        for kind in TRANSITIONS:
            found += variants(kind, job.id, len(job.attempts))
        found.append(events.JobRemoved(job.id))
        found += [events.JobChanged(job.id, {column: "edited"}) for column in (*state.columns, "--none")]
    return found


@st.composite
def histories(draw: st.DrawFn, steps: int = 25) -> list[Fact]:
    """The facts of a table as they may stand in its journal, in order. Illegal ones are tried in between and leave no trace."""
    state = State()
    history: list[Fact] = [
        events.TableOpened("0123456789abcdef", COLUMNS, 1.0),
        events.JobsAdded(COLUMNS, ((0, "1e-4", "1"), (1, 'a "b",\u20ac\udcff', ""))),
    ]
    for fact in history:
        state.apply(fact)
    for _ in range(draw(st.integers(0, steps))):
        fact = draw(st.sampled_from(proposals(state)))
        before = contents(state)
        try:
            state.apply(fact)
        except IllegalFact:
            assert contents(state) == before, fact
            continue
        state.check()
        history.append(fact)
    return history
