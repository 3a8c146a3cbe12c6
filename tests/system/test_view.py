"""What is shown of failures: those that are alike together, headed by what went wrong, and no view that leads nowhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish import viewing
from burnish.core import checkpoint, events
from tests.support import facts, tables
from tests.support.sweeps import Sweep

RUNNER = """\
def runner(runner_args, job):
    print("the command of", job["JOB_ID"])
    if job["fate"] == "raise":
        raise ValueError("no such model.")
    if job["fate"] == "absent":
        return ["no-such-program", "--lr"]
    if job["fate"] == "unread":
        return ["./unread"]
    return ["sh", "-c", {
        "silent": "exit 4",
        "last": "echo of job $BURNISH_JOB_ID; echo 'ValueError: x.' >&2; exit 1",
        "stdout": "echo last words; kill -9 $$",
        "windows": "printf 'first\\\\r\\\\nerror: real cause\\\\r\\\\n' >&2; exit 1",
        "wide": "printf x%.0s $(seq 5000) >&2; printf $BURNISH_JOB_ID >&2; exit 1",
    }[job["fate"]]]
"""
FATES = ("raise", "raise", "absent", "silent", "last", "last", "last", "stdout", "wide", "unread", "wide", "windows")


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """A sweep whose jobs have failed, each in its way; `run0.txt` holds what the run said."""
    sweep = Sweep(tmp_path_factory.mktemp("failed"))
    (sweep.folder / "home").mkdir()
    (sweep.folder / "jobs.csv").write_text("\n".join(["fate", *FATES]) + "\n")
    (sweep.folder / "maker.py").write_text(RUNNER)
    (sweep.folder / "unread").write_text("#!/no/such/interpreter\n")
    (sweep.folder / "unread").chmod(0o755)
    sweep.burnish("create", "--csv", "jobs.csv")
    run = sweep.start_command("run", "--func", "maker.runner", "--num_workers", "4")
    assert run.wait(60) == 1
    yield sweep
    sweep.stop()


def test_alike_failures_stand_together_under_what_went_wrong(failed: Sweep) -> None:
    shown = failed.burnish("view", "--errors").stdout
    heads = [line for line in shown.splitlines() if not line.startswith(" ")]
    assert heads[0] == "3 jobs (4-6): ValueError: x."
    assert heads[1] == "2 jobs (0-1): not started: maker.runner raised ValueError: no such model"
    absent, silent, stdout, wide, unread, wide_too, windows = heads[2:]
    assert absent.startswith("1 job (2): not started: no program no-such-program in PATH (")
    assert silent == "1 job (3): exit 4, and nothing on stdout or stderr"
    assert stdout == "1 job (7): last words"
    assert (wide, wide_too) == (f"1 job (8): {'x' * 299}…", f"1 job (10): {'x' * 299}…")  # they end each in its id
    assert unread == "1 job (9): not started: ./unread cannot be run: No such file or directory"
    assert windows == "1 job (11): error: real cause"
    assert "    job 11, exit 1:\n    | first\n    | error: real cause\n" in shown
    assert "    job 4, exit 1:\n    | ValueError: x.\n" in shown
    assert "    job 0:\n    | maker.runner raised" in shown
    assert "    | It printed:\n    | the command of 0\n" in shown
    assert "    job 7, signal 9:\n    | last words\n" in shown
    assert ".:" not in shown and "::" not in shown


@pytest.mark.parametrize("typed", [("2,4-5",), ("--job_id", "2,4-5"), ("--job_id", "2,4-5", "2,4-5")])
def test_failures_of_some_jobs_are_shown_alone(failed: Sweep, typed: tuple[str, ...]) -> None:
    shown = failed.burnish("view", *typed, "--errors").stdout
    heads = [line.partition(":")[0] for line in shown.splitlines() if not line.startswith(" ")]
    assert heads == ["2 jobs (4-5)", "1 job (2)"]


def test_last_lines_of_a_failure_are_as_many_as_were_asked_for(failed: Sweep) -> None:
    lines = failed.burnish("view", "0", "--errors", "--tail", "1").stdout.splitlines()
    assert lines[-1] == "    | the command of 0" and len(lines) == 3
    assert len(failed.burnish("view", "0", "--errors").stdout.splitlines()) > 3


def test_all_of_a_table_is_what_no_id_means(failed: Sweep) -> None:
    assert failed.burnish("view", "all", "--errors").stdout == failed.burnish("view", "--errors").stdout


@pytest.mark.parametrize(
    ("job", "hint", "there"),
    [
        (0, "burnish view 0 --stderr", "ValueError: no such model."),
        (2, "burnish view 2 --meta", "command   no-such-program --lr\n"),
        (3, "burnish view 3 --meta", "verdict   ERROR (exit 4)"),
        (4, "burnish view 4 --stderr", "ValueError: x."),
        (7, "burnish view 7", "last words\n"),
    ],
)
def test_where_a_failure_points_there_is_something_to_read(failed: Sweep, job: int, hint: str, there: str) -> None:
    [said] = [line for line in failed.said(failed.running[0]).splitlines() if line.startswith(f"job {job} ERROR, ")]
    assert said.endswith(f"({hint})")
    assert hint in failed.burnish("explain", str(job)).stdout
    shown = failed.burnish(*hint.split()[1:])
    assert there in shown.stdout + shown.stderr


def test_an_empty_stderr_says_where_to_read_instead(failed: Sweep) -> None:
    assert "(Job 3 wrote nothing; it is ERROR (exit 4))" in failed.burnish("view", "3", "--stderr").stderr
    said = failed.burnish("view", "7", "--stderr").stderr
    assert "wrote nothing to stderr; it is ERROR (signal 9). What it wrote to stdout: burnish view 7" in said


def test_a_log_that_is_looked_for_in_another_folder_than_the_runs_says_how_to_name_it(failed: Sweep) -> None:
    looked = failed.burnish("view", "4", "--log_dir", "nowhere", check=False)
    assert looked.returncode == 2
    assert looked.stderr.endswith("\nhint: burnish view 4 --log_dir DIR, if the run was given one\n")


def test_an_empty_log_is_not_silence(failed: Sweep) -> None:
    for option in ([], ["--stderr"], ["--tail", "3"]):
        assert "(Job 2 never started: no program no-such-program in PATH" in failed.burnish("view", "2", *option).stderr
    only = failed.burnish("view", "4", "--stderr")
    assert (only.stdout, only.stderr) == ("ValueError: x.\n", "")
    assert failed.burnish("view", "4").stderr == "(Job 4 wrote to stderr, too: burnish view 4 --stderr)\n"


@pytest.fixture(scope="module")
def never_again(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """A job that ran, was reset, and could not be started then."""
    sweep = Sweep.of(tmp_path_factory.mktemp("never"), 1)
    sweep.burnish("run", "--command", "sh -c 'echo fine; echo but >&2'")
    sweep.burnish("reset")
    assert sweep.burnish("run", "--command", "no-such-program-{JOB_ID} --lr", check=False).returncode == 1
    yield sweep
    sweep.stop()


@pytest.mark.parametrize("how", [(), ("--stderr",), ("--follow",), ("--tail", "3"), ("--attempt", "2")])
def test_newest_attempt_that_never_started_is_not_told_as_the_one_before(
    never_again: Sweep, how: tuple[str, ...]
) -> None:
    shown = never_again.burnish("view", "0", *how)
    assert shown.stdout == ""
    assert shown.stderr.startswith("(Attempt 0.2 never started: no program no-such-program-0 in PATH (")
    assert shown.stderr.endswith(
        ". Its command: no-such-program-0 --lr. What attempt 0.1 wrote: burnish view 0 --attempt 1)\n"
    )


def test_meta_that_a_run_points_to_is_that_of_the_attempt_that_never_started(never_again: Sweep) -> None:
    shown = never_again.burnish("view", "0", "--meta").stdout
    assert "attempt   0.2\ncommand   no-such-program-0 --lr\n" in shown and "verdict   never started (" in shown


def test_hints_of_an_older_attempt_lead_to_that_one(never_again: Sweep) -> None:
    older = never_again.burnish("view", "0", "--attempt", "1")
    assert older.stdout == "fine\n"
    assert older.stderr == "(Attempt 0.1 wrote to stderr, too: burnish view 0 --attempt 1 --stderr)\n"


def test_log_of_an_older_attempt_is_named_as_such_once_the_job_waits_again(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 1)
    sweep.burnish("run", "--command", "echo fine")
    sweep.burnish("reset")
    assert sweep.burnish("run", "--command", "no-such-program-{JOB_ID}", check=False).returncode == 1
    sweep.burnish("reset")
    shown, meta = sweep.burnish("view", "0"), sweep.burnish("view", "0", "--meta")
    assert shown.stdout == "fine\n"
    assert shown.stderr.startswith("(Attempt 0.2 never started: no program no-such-program-0 in PATH (")
    assert shown.stderr.endswith(". This is of attempt 0.1.)\n")
    assert "attempt   0.1\nnewest    Attempt 0.2 never started: no program" in meta.stdout


def test_log_that_another_machine_collected_is_said_to_be_there(tmp_path: Path) -> None:
    """The folder was copied from there without its logs: what a host had of them went when they were at home."""
    sweep = Sweep.of(tmp_path, 1)
    run = shlex.join([sys.executable, "-m", "burnish", *sweep.command])
    elsewhere = ["unshare", "--uts", "sh", "-c", f"hostname attic; exec {run}"]
    subprocess.run(elsewhere, cwd=tmp_path, env=sweep.environment, check=True, capture_output=True, timeout=60)
    shutil.rmtree(tmp_path / "burnish_log")
    said = sweep.burnish("view", "--job_id", "0", check=False)
    assert said.returncode == 2
    assert "Its log was brought to attic, where the run was that collected it." in said.stderr


def test_meta_names_pid_and_code_version_of_every_job_however_short(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    (sweep.folder / "home").mkdir()
    (sweep.folder / "jobs.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(13)))
    commits = [_commit(sweep.folder)]
    sweep.burnish("create", "--csv", "jobs.csv")
    sweep.burnish("run", "--num_jobs", "12", "--num_workers", "3", "--command", "true {n}")
    commits.append(_commit(sweep.folder))
    sweep.burnish("run", "--num_workers", "3", "--command", "true {n}")
    for job in range(13):
        shown = sweep.burnish("view", str(job), "--meta").stdout
        assert f"\ncode      {commits[job == 12]} (main)\n" in shown
        assert re.search(r"^pid       [1-9]\d*$", shown, re.MULTILINE)


def _commit(folder: Path) -> str:
    """A new commit of the repository in `folder`, which is made if there is none; its first digits."""
    git = ["git", "-C", str(folder), "-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    if not (folder / ".git").exists():
        subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "more"], check=True)
    made = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], check=True, capture_output=True, text=True)
    return made.stdout.strip()


def test_meta_tells_the_number_of_a_claim_that_came_back_from_a_retry() -> None:
    state = tables.opened(("--lr",), [("0.1",)])
    tables.finish(state, tables.start(state, 0), code=1)
    state.apply(events.ResetRequested(0))
    for _ in range(2):
        state.apply(events.AttemptVoided(tables.claim(state, 0), "its slot takes no more jobs"))
    tables.start(state, 0)
    (job,) = state.jobs.values()
    said = [list(viewing.describe(job, attempt, ()))[1] for attempt in job.attempts]
    assert said[0] == "attempt   0.1" and said[3] == "attempt   0.4 (of these, 2-3 never started)"


@pytest.mark.parametrize("heard", ["of its start", "of its end only"])
def test_meta_names_the_node_of_a_cluster_and_the_number_there(heard: str) -> None:
    state = tables.opened(("--lr",), [("0.1",)])
    attempt = tables.claim(state, 0)
    if heard == "of its start":
        state.apply(events.AttemptStarted(attempt, 7, 1.0, node="n3, Slurm job 17"))
    state.apply(facts.exit_of(attempt, node="n3, Slurm job 17" if heard == "of its end only" else ""))
    loaded, _ = checkpoint.load(list(checkpoint.dump(state, 1)))
    (job,) = loaded.jobs.values()
    assert "host      gpu01 (n3, Slurm job 17)" in viewing.describe(job, job.attempts[0], ())


LOG = b"\x1b]0;pwned\x07\x1b[31mred\x1b[0m \x1b[2J\x9bend\n"


@pytest.mark.parametrize("how", [("--tail", "5"), ("--follow",)])
def test_log_cannot_steer_a_terminal_and_is_byte_for_byte_elsewhere(tmp_path: Path, how: tuple[str, ...]) -> None:
    sweep = Sweep.of(tmp_path, 1)
    (tmp_path / "log").write_bytes(LOG)
    sweep.burnish("run", "--command", f"cat {tmp_path / 'log'}")
    command = [sys.executable, "-m", "burnish", "view", "0", *how]
    piped = subprocess.run(command, cwd=tmp_path, env=sweep.environment, capture_output=True, check=True)
    assert piped.stdout == LOG
    typed = ["script", "-qec", shlex.join(command), "/dev/null"]
    environment = {**sweep.environment, "TERM": "xterm", "NO_COLOR": "", "LC_ALL": "C.UTF-8"}
    on_a_terminal = subprocess.run(
        typed, cwd=tmp_path, env=environment, capture_output=True, stdin=subprocess.DEVNULL, check=True
    )
    assert on_a_terminal.stdout.splitlines()[0].endswith(b"\x1b[31mred\x1b[0m \\x9bend")
    assert b"pwned" not in on_a_terminal.stdout
