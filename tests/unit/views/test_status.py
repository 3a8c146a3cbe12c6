"""`status`: counts always of all, and of a long table what matters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.tables import BEGAN, claim, finish, opened, start

from burnish.core import events
from burnish.core.jobs import AttemptId, CoordinatorId, JobId, Word
from burnish.core.state import State
from burnish.views.snapshot import take
from burnish.views.status import LONG, StatusView, picked
from burnish.views.tables import width_of


def page(state: State, now: float = BEGAN, **how: Any) -> StatusView:
    """What `burnish status` shows, with its options as `picked` takes them."""
    jobs, partly = picked(state, **how)
    return StatusView(take(state, now, jobs=jobs), partly)


def small() -> State:
    state = opened(("--lr", "PRIORITY"), [("0.1", "5"), ("0.2", ""), ("0.3", ""), ("0.4", "")])
    finish(state, start(state, 0, "gpu01", ("0",)), result={"acc": 0.9})
    finish(state, start(state, 1, "gpu02", ("1",)), code=1, ended=BEGAN + 3700)
    start(state, 2, "gpu02", ("1",))
    state.apply(events.HostDrained("gpu09", "fan", "me"))
    return state


def large() -> State:
    state = opened(("--lr",), [(str(n),) for n in range(1000)])
    for job in range(500):
        finish(state, start(state, job), code=int(job % 10 == 0), ended=BEGAN + job)
    for job in range(500, 530):
        start(state, job)
    return state


def test_small_table_is_shown_whole() -> None:
    assert list(page(small(), BEGAN + 75).text()) == [
        "4 jobs: 1 RUNNING, 1 ERROR, 1 NOT_RUNNING, 1 COMPLETE",
        "Drained: gpu09 (fan)",
        "",
        "JOB_ID  STATE        REASON  HOST   GPU  ATTEMPT   TIME  --lr  PRIORITY",
        "     0  COMPLETE             gpu01  0        0.1  1m00s  0.1   5",
        "     1  ERROR        exit 1  gpu02  1        1.1  1h01m  0.2",
        "     2  RUNNING              gpu02  1        2.1  1m15s  0.3",
        "     3  NOT_RUNNING                                      0.4",
    ]


def test_jobs_whose_run_is_gone_are_named_above_the_table_and_in_json() -> None:
    state = opened(("--lr",), [("0.1",), ("0.2",), ("0.3",), ("0.4",)])
    finish(state, start(state, 0))
    start(state, 1)
    claim(state, 2)
    attended, gone = (StatusView(take(state, BEGAN, runs=runs)) for runs in ([CoordinatorId("me")], []))
    assert list(attended.text())[1] == ""
    assert list(gone.text())[1:3] == [
        "No burnish run looks after jobs 1-2: they run on, or have ended since.",
        "burnish run takes them back either way; so does burnish wait, which starts nothing.",
    ]
    assert list(gone.text())[6].split()[:5] == ["1", "RUNNING", "gpu01", "1.1", "<0s"]
    (later,) = (line for line in StatusView(take(state, BEGAN + 75, runs=[])).text() if line.startswith("     1"))
    assert " <1m15s " in later, "it may have ended long ago"
    assert gone.json()["jobs"][1]["run_time"] is None and attended.json()["jobs"][1]["run_time"] == 0  # type: ignore[index]
    assert max(map(width_of, gone.text(width=60))) <= 60
    assert [view.json()["unattended"] for view in (attended, gone)] == [[], [1, 2]]  # type: ignore[index]
    state.apply(events.AttemptVoided(AttemptId(JobId(2), 1), "its coordinator is gone"))
    one = list(StatusView(take(state, BEGAN, runs=[])).text())
    assert one[1].startswith("No burnish run looks after job 1: it runs on")
    assert StatusView(take(state, BEGAN)).json()["unattended"] == []  # type: ignore[index]


def test_a_narrow_terminal_shows_what_failed_where_and_for_how_long() -> None:
    state = opened(("--lr",), [("0.1",), ("0.2",)])
    finish(state, start(state, 0, "desk"), code=1, ended=BEGAN + 5)
    start(state, 1, "attic")
    assert list(page(state, BEGAN + 75).text(width=40)) == [
        "2 jobs: 1 RUNNING, 1 ERROR",
        "",
        "JOB_ID  STATE    REASON  HOST    TIME",
        "     0  ERROR    exit 1  desk    5.0s",
        "     1  RUNNING          attic  1m15s",
        "Not shown for want of room: ATTEMPT,",
        "  --lr",
    ]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_hosts_of_long_names_are_told_apart_at_every_width(width: int) -> None:
    state = opened(("--lr", "--dataset"), [("1e-4", "imagenet-1k-full-resolution")] * 2)
    for job in range(2):
        start(state, job, f"gpu-node-a100-0{job}")
    rows = [line.split() for line in page(state, BEGAN + 75).text(width) if "RUNNING " in line]
    hosts = [cells[cells.index("RUNNING") + 1] for cells in rows if cells[0] in "01"]
    assert [host.endswith(f"0{job}") for job, host in enumerate(hosts)] == [True, True], hosts


def test_a_narrow_terminal_cuts_a_reason_before_it_wraps() -> None:
    state = opened(("--lr",), [("0.1",), ("0.2",)])
    attempt = start(state, 0, "attic")
    timed_out = events.AttemptExited(attempt, None, 15, BEGAN, BEGAN + 12, 12.0, 1, time_limit=True)
    state.apply(timed_out)
    finish(state, start(state, 1, "attic"))
    assert max(map(width_of, page(state, BEGAN + 75).text(width=40))) <= 40


def test_no_row_wraps_at_forty_columns_whatever_it_says_and_the_run_time_is_whole() -> None:
    state = opened(("--learning_rate", "--optimizer", "--seed", "--epochs"), [("0.1", "adamw", "1", "90")] * 4)
    finish(state, start(state, 0, "localhost", ("GPU-8c7d",)), code=1, ended=BEGAN + 45_000)
    state.apply(events.CancelRequested(start(state, 1, "localhost"), "me", 10.0))
    finish(state, start(state, 2, "gpu01.example.org"))
    shown = list(page(state, BEGAN + 8).text(width=40))
    assert shown == [
        "4 jobs: 1 RUNNING, 1 ERROR, 1",
        "  NOT_RUNNING, 1 COMPLETE",
        "",
        "JOB_ID  STATE     REASON  HOST      TIME",
        "     0  ERROR     exit 1  local…  12h30m",
        "     1  RUNNING   cance…  local…    8.0s",
        "     2  COMPLETE          gpu01…   1m00s",
        "     3  NOT_RUN…",
        "Not shown for want of room: GPU,",
        "  ATTEMPT, --learning_rate and 3 more",
    ]
    assert max(map(width_of, shown)) <= 40


def test_state_stands_in_words_where_it_is_coloured() -> None:
    coloured = "\n".join(page(small(), BEGAN + 75).text(colour=True))
    assert "\x1b[31mERROR\x1b[0m" in coloured
    assert "\x1b" not in "\n".join(page(small(), BEGAN + 75).text(colour=False))


def test_long_table_shows_what_matters_and_counts_the_rest() -> None:
    shown = list(page(large()).text())
    assert shown[0] == "1,000 jobs: 30 RUNNING, 50 ERROR, 470 NOT_RUNNING, 450 COMPLETE"
    body = shown[3:-1]
    assert len(body) == LONG
    ids = [line.split()[0] for line in body]
    assert ids[:20] == [str(n) for n in range(500, 520)]  # running
    assert ids[20:32] == [str(n) for n in range(490, 370, -10)]  # failed last
    assert ids[32:37] == ["530", "531", "532", "533", "534"]  # next
    assert ids[37:] == ["499", "498", "497"]  # completed last
    assert shown[-1] == "Not shown: 10 RUNNING, 38 ERROR, 465 NOT_RUNNING, 447 COMPLETE (--all shows every job)"


def test_next_is_what_starts_next() -> None:
    rows = [("1", "3"), ("2", ""), ("3", "9"), *[(str(n), "-1") for n in range(LONG)]]
    state = opened(("--lr", "PRIORITY"), rows)
    claim(state, 20)
    shown = list(page(state).text())
    assert [line.split()[0] for line in shown[3:-1]] == ["20", "2", "0", "1", "3"]


def test_all_shows_all() -> None:
    assert len(list(page(large(), every=True).text())) == 3 + 1000


def test_narrowing_shows_all_that_remain_and_counts_the_whole_table() -> None:
    shown = list(page(large(), words={Word.ERROR}).text())
    assert shown[0].startswith("1,000 jobs")
    assert len(shown) == 3 + 50
    one = list(page(large(), ids={JobId(7)}).text())
    assert [line.split()[0] for line in one[3:]] == ["7"]


def test_every_line_fits_the_terminal() -> None:
    for width in (60, 80, 120):
        assert all(width_of(line) <= width for line in page(small(), BEGAN + 75).text(width))


def test_table_without_jobs() -> None:
    assert list(page(opened(("--lr",), [])).text()) == ["No jobs"]


def test_json_holds_what_the_page_says() -> None:
    document = json.loads(json.dumps(page(small(), BEGAN + 75).json()))
    assert document["schema"] == 1
    assert document["counts"] == {"NOT_RUNNING": 1, "HOLD": 0, "RUNNING": 1, "COMPLETE": 1, "ERROR": 1}
    assert document["drained"] == {"gpu09": "fan"}
    assert document["jobs"][0] == {
        "id": 0,
        "state": "COMPLETE",
        "reason": "exit 0",
        "attempt": "0.1",
        "attempts": 1,
        "host": "gpu01",
        "gpus": ["0"],
        "pid": 4711,
        "started": BEGAN,
        "ended": BEGAN + 60,
        "run_time": 60,
        "max_rss": 2048,
        "control": {"PRIORITY": "5"},
        "arguments": {"--lr": "0.1"},
        "result": {"acc": 0.9},
    }


def test_table_that_does_not_fit_is_shown_in_part() -> None:
    state = small()
    assert picked(state, room=4) == (list(state.listed()), False)
    jobs, partly = picked(state, room=3)
    assert partly and jobs[0].word is Word.RUNNING


def test_pid_that_is_not_known_is_none() -> None:
    state = small()
    state.jobs[JobId(2)].attempts[-1].pid = 0
    (row,) = (row for row in take(state, BEGAN).rows if row.id == 2)
    assert row.pid is None
