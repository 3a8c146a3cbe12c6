"""The foot of a terminal: what it says of a run, at every width, and how long the rest may take."""

from __future__ import annotations

import io
import os
from collections import Counter

import pytest
from support import tables

from burnish.core import events
from burnish.core.jobs import HostName, Word
from burnish.views.dashboard import Busy, Dashboard, Progress, bar, foot, time_left

PROGRESS = Progress(
    Counter({Word.COMPLETE: 18, Word.ERROR: 2, Word.RUNNING: 4, Word.NOT_RUNNING: 12}),
    (Busy(HostName("gpu01"), 4, 4, 17), Busy(HostName("gpu02"), 0, 1, 3), Busy(HostName("gpu03"), 0, None, 0)),
    ("job 7 exit 1: RuntimeError: CUDA out of memory",),
    left=100.0,
    at=50.0,
)


def test_foot_says_how_far_it_is_who_is_busy_and_what_failed() -> None:
    assert list(foot(PROGRESS, elapsed=192.0, now=60.0, width=99)) == [
        "━━━━━━━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌ 3m12s, about 1m30s left",
        "20 of 36 done, 2 failed, 4 running, 12 waiting",
        "  gpu01: 4 of 4 slots busy, 17 done",
        "  gpu02: 0 of 1 slot busy, 3 done",
        "  gpu03: 0 busy, 0 done",
        "  job 7 exit 1: RuntimeError: CUDA out of memory",
    ]


@pytest.mark.parametrize("width", [1, 10, 39, 79, 199])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert all(len(line) <= width for line in foot(PROGRESS, 192.0, 60.0, width))


def test_nothing_is_drawn_before_anything_is_known() -> None:
    assert list(foot(Progress(), 0.0, 0.0, 80)) == []


def test_many_hosts_are_counted() -> None:
    hosts = tuple(Busy(HostName(f"gpu{n:02}"), 1, 1, 0) for n in range(20))
    lines = list(foot(Progress(Counter({Word.RUNNING: 20}), hosts), 1.0, 1.0, 80))
    assert lines[-1] == "  … and 12 more hosts" and len(lines) == 11


@pytest.mark.parametrize(("done", "drawn"), [(0, "╌╌╌╌"), (1, "╌╌╌╌"), (9, "━━━╌"), (12, "━━━━")])
def test_bar_is_full_only_at_the_end(done: int, drawn: str) -> None:
    assert bar(done, 12, 4) == drawn


def test_rest_lasts_as_long_as_what_is_complete_and_is_not_guessed_at_without_that() -> None:
    state = tables.opened(("--n",), [(str(n),) for n in range(6)])
    jobs = state.jobs.values()
    tables.start(state, 1, at=tables.BEGAN)
    assert time_left(jobs, tables.BEGAN + 10) is None
    tables.finish(state, tables.start(state, 0))  # 60 s
    tables.start(state, 2, at=tables.BEGAN)
    state.apply(events.HoldRequested(5))
    assert time_left(jobs, tables.BEGAN + 20) == (2 * 60 + 40 + 40) / 2


def test_job_that_outlasts_the_others_is_not_about_to_end_for_ever() -> None:
    state = tables.opened(("--n",), [(str(n),) for n in range(4)])
    jobs = state.jobs.values()
    for job, seconds in ((0, 10), (1, 20)):
        tables.finish(state, tables.start(state, job), ended=tables.BEGAN + seconds)
    tables.start(state, 2, at=tables.BEGAN)
    assert time_left(jobs, tables.BEGAN + 5) == 10 + 15  # as long as those on average, and what waits
    assert time_left(jobs, tables.BEGAN + 12) == 8 + 15  # the short one is none that it is like
    assert time_left(jobs, tables.BEGAN + 600) == 600 + (10 + 20 + 600) / 3


def test_last_job_decides_when_the_slots_beside_it_are_empty_soon() -> None:
    state = tables.opened(("--n",), [(str(n),) for n in range(4)])
    tables.finish(state, tables.start(state, 0), ended=tables.BEGAN + 100)
    for job, began in ((1, 0), (2, 1), (3, 90)):
        tables.start(state, job, at=tables.BEGAN + began)
    assert time_left(state.jobs.values(), tables.BEGAN + 99) == 91


def test_what_a_job_wrote_cannot_steer_the_terminal() -> None:
    state = tables.opened(("--n",), [("0",)])
    board = Dashboard(
        io.StringIO(), state, taken=set(state.jobs), slots=dict, last_line=lambda job: "\x1b[2J[red]x", colour=False
    )
    attempt = tables.start(state, 0)
    tables.finish(state, attempt, code=1)
    board.hear([events.AttemptExited(attempt, 1, None, 0.0, 1.0, 1.0, 1)], state)
    assert "job 0 exit 1: \\x1b[2J[red]x" in board._progress.failures


def test_only_so_many_jobs_as_are_asked_for_are_ahead() -> None:
    state = tables.opened(("--n",), [(str(n),) for n in range(9)])
    board = Dashboard(
        io.StringIO(), state, taken=set(state.jobs), slots=dict, last_line=lambda job: "", colour=False, most=3
    )
    attempt = tables.start(state, 5)
    tables.finish(state, attempt)
    tables.start(state, 6)
    board.hear([], state)
    assert board._progress.words == {Word.COMPLETE: 1, Word.RUNNING: 1, Word.NOT_RUNNING: 1}


def test_rows_that_were_deleted_while_they_waited_are_not_waited_for() -> None:
    state = tables.opened(("--n",), [(str(n),) for n in range(3)])
    board = Dashboard(io.StringIO(), state, taken=set(state.jobs), slots=dict, last_line=lambda job: "", colour=False)
    tables.start(state, 0)
    for job in (0, 1):
        state.apply(events.JobRemoved(job))
    board.hear([], state)
    assert board._progress.words == {Word.RUNNING: 1, Word.NOT_RUNNING: 1}


def test_who_hears_is_told_while_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def fileno(self) -> int:
            return 2

    state = tables.opened(("--n",), [("0",)])
    board = Dashboard(Screen(), state, taken=set(state.jobs), slots=dict, last_line=lambda job: "", colour=False)
    with board:
        for group in (os.getpgrp(), -1, os.getpgrp()):
            monkeypatch.setattr(os, "tcgetpgrp", lambda fd, group=group: group)
            assert board.hear([], state) is (group == os.getpgrp())
