"""A checkpoint is the state or it is refused: never another state."""

from __future__ import annotations

import json
import math

import pytest
from support import facts, tables

from burnish.core import checkpoint, events
from burnish.core.jobs import JobId
from burnish.core.state import State
from burnish.errors import InternalError


def busy(jobs: int = 2500) -> State:
    """More jobs than one line holds, some of each kind."""
    state = tables.opened(facts.COLUMNS, [(f"0.{number}", "\u20ac\udcff") for number in range(jobs)])
    for job in range(0, 40, 4):
        tables.finish(state, tables.start(state, job, gpus=("0", "1")), result={"acc": 0.5, "curve": [1, -math.inf]})
        tables.start(state, job + 1, host="gpu02")
        state.apply(events.HoldRequested(job + 2))
        state.apply(events.JobChanged(job, {"--lr": "9"}))
    state.apply(events.JobRemoved(7))
    state.apply(events.HostDrained("gpu01", "a fan", "ann"))
    state.apply(events.TableRendered("ab" * 32, {"3": 7}, 5.0))
    return state


def test_a_state_of_several_lines_comes_back() -> None:
    state = busy()
    before = facts.contents(state)
    lines = list(checkpoint.dump(state, 77))
    assert len(lines) == 1 + 3 + 20 + 1  # the head, the jobs, attempts, the end
    assert all(line.isascii() and "\n" not in line for line in lines)
    loaded, number = checkpoint.load(iter(lines))
    loaded.check()
    assert number == 77
    assert facts.contents(loaded) == facts.contents(state) == before


def test_attempts_that_nobody_asks_for_are_not_read() -> None:
    state = busy()
    ends = {job.id: job.end for job in state.jobs.values()}
    loaded, _ = checkpoint.load(checkpoint.dump(state, 77))
    assert {job.id: job.end for job in loaded.jobs.values()} == ends
    assert {job.id: job.end for job in state.jobs.values()} == ends
    for one in (loaded, state):
        read = [job.id for job in one.jobs.values() if isinstance(job.history, list) and job.history]
        assert read == [attempt.job for attempt in one.open]
    assert loaded.jobs[JobId(4)].attempts == facts.contents(busy())["jobs"][4][1].attempts


def test_a_state_goes_on_alike_whether_its_attempts_are_read_or_not() -> None:
    """From host to host, with checkpoints between, which keep what they had as text."""
    plain, stored = busy(60), busy(60)
    for turn, host in enumerate(("gpu03", "gpu04", "gpu01")):
        for state in (plain, stored):
            for attempt in list(state.open):
                tables.finish(state, attempt, code=turn)
            for job in (0, 1, 50 + turn):
                if state.jobs[JobId(job)].word.final:
                    state.apply(events.ResetRequested(job))
                tables.start(state, job, host=host)
            attempt = tables.claim(state, 40 + turn, host=host)
            state.apply(events.AttemptVoided(attempt, "no such folder", refused=True))
        lines = list(checkpoint.dump(stored, turn))
        if turn:
            stored, _ = checkpoint.load(lines)
        assert facts.contents(stored) == facts.contents(plain)
        assert {job.id: job.end for job in stored.jobs.values()} == {job.id: job.end for job in plain.jobs.values()}


def test_what_was_read_from_elsewhere_keeps_its_places() -> None:
    one, other = busy(60), busy(60)
    tables.finish(one, tables.start(one, 50, host="gpu03"))
    tables.finish(other, tables.start(other, 51, host="gpu04"))
    state, _ = checkpoint.load(checkpoint.dump(one, 1))
    state.jobs[JobId(51)] = checkpoint.load(checkpoint.dump(other, 1))[0].jobs[JobId(51)]
    loaded, _ = checkpoint.load(checkpoint.dump(state, 2))
    assert [loaded.jobs[JobId(job)].attempts[0].host for job in (50, 51)] == ["gpu03", "gpu04"]


def test_attempts_that_cannot_be_read_are_told_with_their_job() -> None:
    loaded, _ = checkpoint.load(line.replace('"log_0.1"', "7x") for line in checkpoint.dump(busy(60), 1))
    with pytest.raises(InternalError, match="job 0"):
        loaded.jobs[JobId(0)].attempts  # noqa: B018


def test_open_attempts_are_the_jobs_own() -> None:
    loaded, _ = checkpoint.load(checkpoint.dump(busy(), 1))
    for attempt in loaded.open.values():
        assert loaded.jobs[attempt.id.job].attempts[-1] is attempt


def test_an_empty_table_has_a_checkpoint() -> None:
    state = tables.opened((), [])
    loaded, number = checkpoint.load(checkpoint.dump(state, 1))
    assert (loaded.table, loaded.jobs, number) == ("t", {}, 1)


def test_a_torn_checkpoint_is_refused_wherever_it_is_torn() -> None:
    text = "".join(f"{line}\n" for line in checkpoint.dump(busy(1100), 77))
    head = text.index("\n")
    cuts = {*range(0, head, 7), head, head + 1, *range(head + 1, len(text) - 2, 997), text[:-1].rindex("\n") + 1}
    for cut in sorted(cuts):
        with pytest.raises(ValueError):
            checkpoint.load(text[:cut].splitlines())


@pytest.mark.parametrize("version", [0, checkpoint.VERSION + 1, None, "1", [1]])
def test_another_version_is_refused(version: object) -> None:
    lines = list(checkpoint.dump(busy(3 + 40), 77))
    head = json.loads(lines[0])
    lines[0] = json.dumps({**head, "version": version})
    with pytest.raises(ValueError):
        checkpoint.load(lines)


@pytest.mark.parametrize("key", ["checkpoint", "version", "jobs", "table", "columns", "next_id", "drained", "rendered"])
def test_a_head_without_a_key_is_refused(key: str) -> None:
    lines = list(checkpoint.dump(busy(43), 77))
    head = json.loads(lines[0])
    del head[key]
    lines[0] = json.dumps(head)
    with pytest.raises(ValueError):
        checkpoint.load(lines)


@pytest.mark.parametrize(
    "line", ["", "null", "7", "[]", "[[], [[1]]]", '[[], "jobs"]', "{}", "[[], [null]]", "\0" * 40]
)
def test_a_damaged_line_is_refused(line: str) -> None:
    lines = list(checkpoint.dump(busy(43), 77))
    with pytest.raises(ValueError):
        checkpoint.load([lines[0], line])


def test_what_comes_after_a_checkpoint_goes_on_from_it() -> None:
    loaded, _ = checkpoint.load(checkpoint.dump(facts.running(), 3))
    (attempt,) = loaded.open
    loaded.apply(facts.exit_of(attempt))
    loaded.check()
    assert loaded.jobs[JobId(0)].word == "COMPLETE"
