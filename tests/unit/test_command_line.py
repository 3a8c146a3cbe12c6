"""What was typed wrong is told in a sentence with exit code 2, and nothing is done instead."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from burnish.cli.main import outcome
from burnish.core import events, verbs


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of two jobs in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "burnish.db"
    path.write_text("JOB_ID,STATE,--lr\n0,NOT_RUNNING,1e-4\n1,HOLD,1e-3\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("stauts", 'There is no command "stauts". Did you mean "status"?'),
        ("status --nope", "No such option"),
        ("status --state done", '--state "done": expected one of NOT_RUNNING, HOLD, RUNNING, COMPLETE, ERROR. Nothing'),
        ("status --job_id 7", "burnish.db has no job 7."),
        ("status --job_id x", '--job_id x: "x" is not an id. Expected 3, or 3,5-8, or all.'),
        ("view x", 'the argument "x": expected a whole number, 0 or more. Nothing was done.'),
        ("view 0 --attempt 0", '--attempt "0": expected a whole number, 1 or more. Nothing was done.'),
        ("view 0 --tail -1", '"-1": expected a whole number, 0 or more. Nothing was done.'),
        (f"view {'9' * 5000}", "expected a whole number, 0 or more. Nothing was done."),
        (
            "run --num_workers 0 --command true",
            '--num_workers "0": expected a whole number, 1 to 100000. Nothing was done.',
        ),
        ("create", "create needs one of --yaml, --csv and --func; given: none. Nothing was written."),
        ("create --yaml a --csv b", "given: --yaml and --csv. Nothing was written."),
        ("create --max_jobs 0 --yaml a", '--max_jobs "0": expected a whole number, 1 or more. Nothing was done.'),
        ("cancel", "cancel needs one of --job_id IDS and --all; given: neither. Nothing was cancelled."),
        ("cancel --all --job_id 0", "given: both. Nothing was cancelled."),
        (
            "cancel --job_id 0 --grace soon",
            '--grace "soon": expected a duration such as 90, 90s, 10m, 2h or 3d. Nothing',
        ),
        ("clean --older_than long", '--older_than "long": expected a duration such as 90, 90s, 10m, 2h or 3d. Nothing'),
        ("results --json --csv", "results takes --json or --csv, not both."),
    ],
)
def test_what_is_typed_wrong_is_said_and_nothing_is_done(
    table: Path, capsys: pytest.CaptureFixture[str], typed: str, said: str
) -> None:
    before = table.read_bytes()
    assert outcome(typed.split()) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.err.startswith("error: ")
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert table.read_bytes() == before


@pytest.mark.parametrize("word", ["HOLD", "hold", "Hold"])
def test_a_state_may_be_typed_in_any_case(table: Path, capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert outcome(["status", "--state", word]) == 0
    shown = capsys.readouterr().out
    assert "1e-3" in shown
    assert "1e-4" not in shown


def test_options_accept_dashes(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["status", "--job-id", "1", "--no-color"]) == 0
    assert "1e-4" not in capsys.readouterr().out


def test_a_defect_ends_the_command_with_a_report_and_leaves_the_table_usable(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "hold", lambda state, jobs: verbs.Wish([events.HoldRequested(0), events.JobRemoved(9)]))
    monkeypatch.setattr(tempfile, "tempdir", str(table.parent))
    assert outcome(["hold", "--job_id", "0"]) == 4
    said = capsys.readouterr().err
    assert (
        "error: burnish broke (there is no job 9). This is a defect in burnish; running jobs are not affected." in said
    )
    [report] = table.parent.glob("burnish-*.txt")
    assert f"hint: please report it, with the details in {report}" in said
    assert "Traceback" in report.read_text()
    monkeypatch.undo()
    monkeypatch.chdir(table.parent)
    assert outcome(["status"]) == 0
    assert "2 jobs: 1 NOT_RUNNING, 1 HOLD" in capsys.readouterr().out
