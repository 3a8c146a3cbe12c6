"""The command line beside its mistakes (those are tests/data/bad/cli): options, words, counts, and what ends a command."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import pytest
from click.core import ParameterSource

from burnish.cli import options
from burnish.cli.commands import NAMES
from burnish.cli.main import cli, outcome
from burnish.cli.run import run
from burnish.core import events, verbs
from burnish.errors import counted


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
        ("run --dry_run --command true", "1 job would run, 1 at a time."),
        ("create --dry_run --csv one.csv", "1 job. Nothing was written"),
        ("create --csv one.csv --db_file one.db", "1 job in one.db."),
        ("clean --yes", "Removed 0 log files."),
        ("status", "2 jobs: 1 NOT_RUNNING, 1 HOLD"),
        ("hold --job_id 0", "Job 0 is on HOLD. To let it go on: burnish release --job_id 0"),
    ],
)
def test_one_is_no_plural(table: Path, capsys: pytest.CaptureFixture[str], typed: str, said: str) -> None:
    (table.parent / "one.csv").write_text("--lr\n1e-4\n")
    assert outcome(typed.split()) == 0
    shown = capsys.readouterr()
    assert said in shown.out + shown.err


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0 rows are"), (1, "1 row is"), (2, "2 rows are"), (1_000_000, "1,000,000 rows are")]
)
def test_counts_are_read_as_words(number: int, shown: str) -> None:
    assert counted(number, "row is", "rows are") == shown
    assert counted(number, "row") == shown.rpartition(" ")[0]


@pytest.mark.parametrize(
    "typed", ["explain 2", "view 2", "reset --job_id 2", "hold --job_id 2", "run --command true --job_id 2"]
)
def test_a_job_whose_row_cannot_be_read_is_not_called_unknown(
    table: Path, capsys: pytest.CaptureFixture[str], typed: str
) -> None:
    table.write_text(table.read_text() + "2,DONE,1\n")
    assert outcome(typed.split()) == 2
    said = capsys.readouterr().err
    assert said.count('burnish.db:4: "DONE" is not a STATE.') == 1
    assert (
        'error: Job 2 is not known yet: its row, burnish.db:4, cannot be read: "DONE" is not a STATE. Expected' in said
    )
    assert said.count("This row is skipped") == 1


@pytest.mark.parametrize("word", ["HOLD", "hold", "Hold"])
def test_a_state_may_be_typed_in_any_case(table: Path, capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert outcome(["status", "--state", word]) == 0
    shown = capsys.readouterr().out
    assert "1e-3" in shown
    assert "1e-4" not in shown


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("hold --job_id 1", "No job was held.\nJob 1 is on HOLD already.\n"),
        ("release --job_id 0", "No job was released: none is on HOLD.\nJob 0 is NOT_RUNNING, not HOLD.\n"),
        ("reset --job_id 0", "No job was reset: NOT_RUNNING already.\n"),
        ("reset --errors", "No job was reset: none is in ERROR.\n"),
        ("cancel --job_id 1", "Job 1 is HOLD; there is nothing to cancel.\n"),
    ],
)
def test_what_comes_to_nothing_says_why(table: Path, capsys: pytest.CaptureFixture[str], typed: str, said: str) -> None:
    assert outcome(typed.split()) == 0
    assert capsys.readouterr().err == said


def test_options_accept_dashes(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["status", "--job-id", "1", "--no-color"]) == 0
    assert "1e-4" not in capsys.readouterr().out


VALUES = {"canary": "hosts,30m", "job_id": "0", "where": "--lr=1e-4", "num_workers": "3", "num_jobs": "2"}


@pytest.mark.parametrize("option", [option for option in run.params if "--help" not in option.opts], ids=options.spelt)
def test_every_option_of_run_is_read_from_the_environment(
    option: click.Option, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = options.spelt(option).lstrip("-")
    monkeypatch.setenv(f"BURNISH_RUN_{name.upper()}", VALUES.get(name, "1"))
    context = run.make_context("run", [])
    assert context.get_parameter_source(str(option.name)) is ParameterSource.ENVIRONMENT
    typed = [f"--{name}"] if option.is_flag else [f"--{name}", VALUES.get(name, "1")]
    monkeypatch.delenv(f"BURNISH_RUN_{name.upper()}")
    assert context.params == run.make_context("run", typed).params != run.make_context("run", []).params


def test_no_other_command_reads_options_from_the_environment() -> None:
    others = [cli.named(name) for name in NAMES if name != "run"]
    assert [option.envvar for command in others for option in command.params if option.envvar] == []
    assert not any(command.context_settings.get("auto_envvar_prefix") for command in others)


@pytest.mark.parametrize(
    ("variable", "value", "typed", "said"),
    [
        (
            "BURNISH_RUN_NUM_WORKERS",
            "x",
            "run --command true",
            '$BURNISH_RUN_NUM_WORKERS "x": expected a whole number, 1',
        ),
        (
            "BURNISH_RUN_COMMAND",
            "true",
            "run --func a.b",
            "given: --func and --command ($BURNISH_RUN_COMMAND). Nothing",
        ),
    ],
)
def test_what_is_wrong_in_the_environment_is_named_there(
    table: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    typed: str,
    said: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert outcome(typed.split()) == 2
    assert said in capsys.readouterr().err


def test_what_comes_later_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["--help"]) == outcome(["results", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "wait" in shown and "--csv" in shown
    assert not [word for word in ("report", "top", "--metric", "--over", "--sort", "--md") if f" {word} " in shown]


IMPORT_WHILE_INTERRUPTED = """
import os, signal, sys
from burnish.__main__ import main
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "burnish.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
main()
"""


def test_ctrl_c_while_the_command_is_still_loading_shows_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_WHILE_INTERRUPTED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


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


def test_dry_run_shows_what_the_inventory_adds_to_the_environment(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = "env: {WANDB_MODE: offline, NOTE: a b, WANDB_API_KEY: hf_abc}"
    one = f"one: {{connection: local, slots: 1, gpus: [1], {env}}}"
    table.with_name("hosts.yaml").write_text(f"hosts:\n  {one}\n")
    assert outcome(["run", "--dry_run", "--command", "true", "--hosts", "hosts.yaml"]) == 0
    shown = capsys.readouterr().out
    assert "WANDB_MODE=offline NOTE='a b' WANDB_API_KEY=*** CUDA_VISIBLE_DEVICES=1 true" in shown, shown


def test_dry_run_counts_nothing_that_could_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobs.csv").write_text("HOSTS,AFTER,n\nelsewhere,,1\n,2,2\n,1,3\n,3,4\n,,5\n")
    assert outcome(["create", "--csv", "jobs.csv"]) == 0
    capsys.readouterr()
    assert outcome(["run", "--dry_run", "--command", "true"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "4 on localhost, slot 0: true",
        "0 would not run: it needs a host named elsewhere, and this run has none.",
        "1 would not run: by AFTER, job 1 waits for itself: 1, 2, 1.",
        "2 would not run: by AFTER, job 1 waits for itself: 1, 2, 1.",
        "3 would not run: by AFTER, job 3 waits for itself: 3, 3.",
        "1 job would run, 1 at a time. Nothing was started (--dry_run).",
    ]


def test_dry_run_counts_nothing_that_comes_after_what_would_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("burnish.db").write_text(
        "JOB_ID,STATE,HOSTS,AFTER,n\n0,HOLD,,,1\n1,,,0,2\n2,,,1,3\n3,,elsewhere,,4\n4,,,3,5\n5,,,,6\n6,,,5,7\n"
    )
    assert outcome(["run", "--dry_run", "--command", "true"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "5 on localhost, slot 0: true",
        "1 would not run: it comes after job 0, which is HOLD and would not run.",
        "2 would not run: it comes after job 1, which would not run.",
        "3 would not run: it needs a host named elsewhere, and this run has none.",
        "4 would not run: it comes after job 3, which would not run.",
        "2 jobs would run, 1 at a time. Nothing was started (--dry_run).",
    ]
    assert outcome(["run", "--dry_run", "--job_id", "6", "--command", "true"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "6 would not run: it comes after job 5, which is NOT_RUNNING and would not run.",
        "0 jobs would run, 1 at a time. Nothing was started (--dry_run).",
    ]


@pytest.mark.parametrize(
    ("asked", "last"),
    [
        ("--num_jobs 2 --num_workers 4", "2 of 6 jobs would run (--num_jobs 2), 2 at a time."),
        ("--num_jobs 3 --num_workers 2", "3 of 6 jobs would run (--num_jobs 3), 2 at a time."),
        ("--num_jobs 0", "0 of 6 jobs would run (--num_jobs 0), 1 at a time."),
        ("--num_jobs 9 --num_workers 4", "6 jobs would run, 4 at a time."),
        ("--num_workers 9", "6 jobs would run, 6 at a time."),
    ],
)
def test_dry_run_counts_no_more_than_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asked: str, last: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("burnish.db").write_text("JOB_ID,STATE,n\n" + "".join(f"{number},,{number}\n" for number in range(6)))
    assert outcome(["run", "--dry_run", "--command", "true", *asked.split()]) == 0
    *shown, said = capsys.readouterr().out.splitlines()
    assert said == f"{last} Nothing was started (--dry_run)."
    would, at_a_time = (int(words.split()[0]) for words in (last, last.rpartition(", ")[2]))
    assert [line.partition(":")[0] for line in shown] == [
        f"{number} on localhost, slot {number}" for number in range(min(5, would, at_a_time))
    ]


def test_dry_run_shows_no_more_at_a_time_than_a_run_on_hosts_is_allowed(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_text("JOB_ID,STATE,n\n0,,0\n1,,1\n2,,2\n", encoding="utf-8")
    table.with_name("hosts.yaml").write_text("hosts:\n  one: {connection: local, slots: 4, gpus: none}\n")
    assert outcome(["run", "--dry_run", "--command", "true", "--hosts", "hosts.yaml", "--num_workers", "2"]) == 0
    *shown, said = capsys.readouterr().out.splitlines()
    assert (len(shown), said) == (2, "3 jobs would run, 2 at a time. Nothing was started (--dry_run).")


def test_create_and_check_name_what_after_can_never_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jobs.csv").write_text('AFTER,n\n,1\n77,2\n"3,0",3\n4,4\n3,5\n77,6\n0,7\n')
    assert outcome(["create", "--csv", "jobs.csv"]) == 0
    missing, ring = (
        "their AFTER names job 77, which the table does not have",
        "by AFTER, job 3 waits for itself: 3, 4, 3",
    )
    assert capsys.readouterr().err.splitlines() == [
        f"burnish.db: Jobs 1, 5 are not started: {missing}.",
        f"burnish.db: Jobs 2-4 are not started: {ring}.",
    ]
    assert outcome(["check"]) == 0
    shown = capsys.readouterr().out
    assert f"ok, but   jobs 1, 5 can never start: {missing}; jobs 2-4 can never start: {ring}; 7 jobs" in shown
    assert "remedy:   correct AFTER in burnish.db" in shown
