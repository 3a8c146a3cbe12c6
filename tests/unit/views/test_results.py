"""Results: arguments × metrics, the same rows as a table, as CSV, and as JSON."""

from __future__ import annotations

import csv
import json

from support.tables import BEGAN, finish, opened, start

from burnish.core import events
from burnish.views.results import ResultsView, flat, shown
from burnish.views.snapshot import take


def view(*results: dict[str, object] | None, codes: dict[int, int] | None = None) -> ResultsView:
    state = opened(("--lr", "PRIORITY"), [(f"1e-{n}", "") for n in range(len(results) + 1)])
    for job, result in enumerate(results):
        finish(state, start(state, job), code=(codes or {}).get(job, 0), result=result)
    return ResultsView(take(state, BEGAN))


def test_table() -> None:
    assert list(view({"acc": 0.123456789, "n": 3}, {"loss": 1e-9}).text()) == [
        "JOB_ID  --lr       acc  n   loss",
        "     0  1e-0  0.123457  3",
        "     1  1e-1               1e-09",
    ]


def test_failed_job_with_a_result_is_shown_with_its_state() -> None:
    lines = list(view({"acc": 1}, {"acc": 2}, None, codes={1: 1, 2: 1}).text())
    assert [line.split() for line in lines] == [
        ["JOB_ID", "STATE", "--lr", "acc"],
        ["0", "COMPLETE", "1e-0", "1"],
        ["1", "ERROR", "1e-1", "2"],
    ]


def test_nothing_yet_is_said() -> None:
    assert next(view().text()).startswith("No results yet")
    assert list(view(None).text())[-1].startswith("No job has reported a metric")


def test_results_that_were_not_taken_are_not_told_as_none_reported() -> None:
    state = opened(("--lr",), [("1",), ("2",)])
    for job in range(2):
        attempt = start(state, job)
        state.apply(events.AttemptExited(attempt, 0, None, BEGAN, BEGAN, 1.0, 1, error="it is no JSON"))
    assert (
        list(ResultsView(take(state, BEGAN)).text())[-1]
        == "What 2 jobs (0-1) wrote to $BURNISH_RESULT was not taken; why: burnish explain 0"
    )


def test_csv_keeps_texts_as_typed_and_numbers_as_reported() -> None:
    records = list(csv.reader(line + "\n" for line in view({"acc": 0.123456789, "note": 'a "b", c'}).csv()))
    assert records == [["JOB_ID", "STATE", "--lr", "acc", "note"], ["0", "COMPLETE", "1e-0", "0.123456789", 'a "b", c']]


def test_csv_from_a_job_is_no_formula() -> None:
    records = list(csv.reader(view({"a": "=1+1", "b": "-3", "c": "@x", "d": "ok"}).csv()))
    assert records[1][3:] == ["'=1+1", "-3", "'@x", "ok"]


def test_csv_cell_with_newlines_stays_one_cell() -> None:
    text = "\n".join(view({"note": "two\nlines\rand more"}).csv())
    assert list(csv.reader(text.splitlines(keepends=True)))[1][3] == "two\nlines\rand more"


def test_json_holds_the_result_as_reported() -> None:
    document = json.loads(json.dumps(view({"val": {"acc": [1, 2]}}).json()))
    assert document == [
        {
            "id": 0,
            "state": "COMPLETE",
            "run_time": 60.0,
            "arguments": {"--lr": "1e-0"},
            "result": {"val": {"acc": [1, 2]}},
        }
    ]


def test_metric_named_like_an_argument_is_told_apart() -> None:
    assert next(view({"--lr": 3}).csv()) == "JOB_ID,STATE,--lr,result.--lr"


def test_nested_objects_are_joined_by_dots_but_not_for_ever() -> None:
    assert flat({"val": {"acc": 1, "by": {"a": 2}}, "none": {}}) == {"val.acc": 1, "val.by.a": 2, "none": {}}
    deep: dict[str, object] = {"x": 1}
    for _ in range(500):
        deep = {"x": deep}
    assert len(flat(deep)) == 1


def test_metrics_as_shown() -> None:
    assert [shown(value) for value in (None, 2, 1 / 3, float("nan"), "a", True, [1, 2])] == [
        "",
        "2",
        "0.333333",
        "nan",
        "a",
        "true",
        "[1, 2]",
    ]
