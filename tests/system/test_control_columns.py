"""Control columns and the options beside them, obeyed by real runs: what is asked for happens, and what cannot be is said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import wait_for

# Counts its runs in a file of its own, notes when it ran, and fails as often as the first argument says. It works for as long as
# the second says, in s, or until there is a file of that name.
JOB = """\
n=$(cat "runs/$BURNISH_JOB_ID" 2>/dev/null || echo 0)
echo $((n + 1)) > "runs/$BURNISH_JOB_ID"
echo "$BURNISH_JOB_ID" >> order
case "${2:-0}" in
*[!0-9.]*) until [ -e "$2" ]; do sleep 0.02; done ;;
*) sleep "${2:-0}" ;;
esac
[ "$n" -ge "$1" ]
"""


class Table:
    """A folder with a table of such jobs: `rows` under `columns`, of which `fails` and `work` are the job's own."""

    def __init__(self, folder: Path, columns: str, *rows: str) -> None:
        self.folder = folder
        (folder / "runs").mkdir()
        (folder / "job.sh").write_text(JOB)
        (folder / "jobs.csv").write_text("\n".join((columns, *rows)) + "\n")
        done = self.burnish("create", "--csv", "jobs.csv")
        assert done.returncode == 0, done.stderr

    def burnish(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command, environment = [sys.executable, "-m", "burnish", *arguments], {**os.environ, "HOME": str(self.folder)}
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return self.burnish("run", "--command", "sh job.sh {fails} {work}", *options)

    @property
    def states(self) -> list[tuple[str, str]]:
        jobs = json.loads(self.burnish("status", "--json").stdout)["jobs"]
        return [(job["state"], job["reason"]) for job in jobs]

    @property
    def order(self) -> list[int]:
        path = self.folder / "order"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


def journal_of(table: Table) -> str:
    return "".join(path.read_text() for path in (table.folder / ".burnish").rglob("log/*/*.jsonl"))


def test_jobs_run_after_those_they_name(tmp_path: Path) -> None:
    table = Table(tmp_path, "AFTER,fails,work", "1-2,0,0", "3,0,0", "3,0,0", ",0,0.2")
    assert table.run("--num_workers", "4").returncode == 0
    assert table.order[0] == 3 and table.order[-1] == 0


def test_job_after_a_failed_one_is_left_and_named(tmp_path: Path) -> None:
    table = Table(tmp_path, "AFTER,fails,work", ",9,0", "0,0,0", "77,0,0", "3,0,0")
    done = table.run()
    assert done.returncode == 1
    assert "Job 1 could not be started: it comes after job 0, which is ERROR." in done.stderr
    assert "job 2 is not started: its AFTER names job 77, which the table does not have." in done.stderr
    assert "Job 3 could not be started: by AFTER it waits for itself: 3, 3." in done.stderr
    assert table.states == [
        ("ERROR", "exit 1"),
        ("NOT_RUNNING", "after job 0, which is ERROR"),
        ("NOT_RUNNING", "after job 77, which the table does not have"),
        ("NOT_RUNNING", "waits for itself by AFTER: 3, 3"),
    ]
    said = table.burnish("explain", "1").stdout
    assert "It cannot start now: it comes after job 0, which is ERROR." in said
    table.burnish(*said.partition("To run that one again: burnish ")[2].splitlines()[0].split())
    (tmp_path / "runs" / "0").write_text("9")
    assert table.run("--job_id", "0,1").returncode == 0 and table.order[-2:] == [0, 1]


def test_cell_typed_while_it_runs_is_obeyed(tmp_path: Path) -> None:
    table = Table(tmp_path, "AFTER,fails,work", ",0,go", ",0,0", ",0,0")
    command = [sys.executable, "-m", "burnish", "run", "--command", "sh job.sh {fails} {work}"]
    run = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: table.order == [0], "the first job to run")
        text = (tmp_path / "burnish.db").read_text()
        (tmp_path / "burnish.db").write_text(text.replace("1,NOT_RUNNING,,", "1,NOT_RUNNING,2,"))
        wait_for(lambda: '"JobChanged"' in journal_of(table), "the run to merge the save")
        (tmp_path / "go").touch()
        assert run.wait(timeout=60) == 0
    finally:
        if run.poll() is None:
            run.kill()
            run.wait()
    assert table.order == [0, 2, 1]


def test_jobs_that_wait_for_each_other_are_named_and_the_rest_runs(tmp_path: Path) -> None:
    table = Table(tmp_path, "AFTER,fails,work", ",0,0", "2,0,0", "3,0,0", "1,0,0", "1,0,0")
    done = table.run()
    assert done.returncode == 1 and table.order == [0]
    assert "burnish.db: jobs 1-4 are not started: by AFTER, job 1 waits for itself: 1, 2, 3, 1." in done.stderr
    assert "Jobs 1-4 could not be started: by AFTER, job 1 waits for itself: 1, 2, 3, 1." in done.stderr
    assert "by AFTER it waits for itself: 2, 3, 1, 2." in table.burnish("explain", "2").stdout
    text = (tmp_path / "burnish.db").read_text()
    (tmp_path / "burnish.db").write_text(text.replace("3,NOT_RUNNING,1,", "3,NOT_RUNNING,,"))
    assert table.run().returncode == 0 and table.order[:2] == [0, 3] and table.order[2:4] == [2, 1]


def test_hosts_keeps_a_job_from_other_machines(tmp_path: Path) -> None:
    table = Table(tmp_path, "HOSTS,fails,work", "gpu9*,0,0", "local*,0,0", ",0,0")
    done = table.run()
    assert done.returncode == 1 and table.order == [1, 2]
    assert "Job 0 could not be started: it needs a host named gpu9*, and this run has none." in done.stderr
    assert "It runs only on a host named gpu9* (its HOSTS)." in table.burnish("explain", "0").stdout


def test_job_without_a_place_is_not_called_the_next_to_start(tmp_path: Path) -> None:
    table = Table(tmp_path, "HOSTS,fails,work", "nosuch,0,0", ",0,99", ",0,0")
    assert "It is the next to start, if the run has a host for it." in table.burnish("explain", "0").stdout
    command = [sys.executable, "-m", "burnish", "run", "--command", "sh job.sh {fails} {work}"]
    run = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, stderr=subprocess.DEVNULL)
    why = "it needs a host named nosuch, and this run has none"
    try:
        wait_for(lambda: table.order == [1], "a job to run")
        said = wait_for(lambda: why in (text := table.burnish("explain", "0").stdout) and text, "the word of the run")
        assert f"A burnish run (pid {run.pid} on " in said and f") is going and cannot start it: {why}." in said
        assert not any(words in said for words in ("comes in its turn", "next to start", "before it"))
        assert "It is the next to start." in table.burnish("explain", "2").stdout, "job 0 is not before it"
    finally:
        run.kill()
        run.wait()
    said = table.burnish("explain", "0").stdout
    assert f"The last one (pid {run.pid} on " in said and why in said and "next to start" not in said
    table.burnish("cancel", "--all")
    (tmp_path / "burnish.db").write_text((tmp_path / "burnish.db").read_text().replace("nosuch", "local*"))
    table.burnish("release", "--job_id", "0")
    said = table.burnish("explain", "0").stdout
    assert "It is the next to start, if the run has a host for it." in said and why not in said
    assert table.run().returncode == 0
    assert not list((tmp_path / ".burnish" / "burnish.db" / "unplaced").iterdir())


def test_job_that_the_run_passes_over_is_told_so_and_counts_for_no_other(tmp_path: Path) -> None:
    table = Table(tmp_path, "fails,work", "0,0", "0,99", "0,99", "0,99", "0,7")
    command = [sys.executable, "-m", "burnish", "run", "--command", "sh job.sh {fails} {work}", "--where", "work=99"]
    command += ["--job_id", "0-2,4"]
    run = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: table.order == [1], "a job to run")
        for job in (0, 3, 4):
            said = table.burnish("explain", str(job)).stdout.splitlines()
            assert said[1].endswith("is going and cannot start it: it was narrowed to --job_id 0-2,4 --where work=99.")
            assert len(said) == 2, "it has no place in the run's queue"
        said = table.burnish("explain", "2").stdout.splitlines()
        assert said[1].endswith("; the job comes in its turn.") and said[2] == "It is the next to start.", (
            "job 0 is not before it"
        )
        assert table.burnish("status").stdout.splitlines()[1].startswith(f"Run: pid {run.pid} on ")
    finally:
        run.kill()
        run.wait()
    assert "3 waiting jobs start before it." in table.burnish("explain", "4").stdout, "the next run may take all"
    table.burnish("cancel", "--all")


def test_job_of_a_run_that_ends_after_so_many_is_told_so(tmp_path: Path) -> None:
    table = Table(tmp_path, "fails,work", "0,99", "0,99")
    command = [sys.executable, "-m", "burnish", "run", "--command", "sh job.sh {fails} {work}", "--num_jobs", "1"]
    run = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)}, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: table.order == [0], "a job to run")
        said = table.burnish("explain", "1").stdout.splitlines()
        assert said[1].endswith("; the job comes in its turn, unless --num_jobs ends the run before.")
    finally:
        run.kill()
        run.wait()
    table.burnish("cancel", "--all")


def test_host_that_turned_the_run_away_is_named_with_its_reason(tmp_path: Path) -> None:
    """A cluster on whose login node there is no Slurm: the run's own PATH is that of its hosts here."""
    table = Table(tmp_path, "HOSTS,fails,work", "hpc,0,0", "desk,0,0")
    hosts = "desk: {connection: local, gpus: none}, hpc: {connection: local, engine: slurm, state_dir: hpc}"
    (tmp_path / "lab.yaml").write_text(f"hosts: {{{hosts}}}\n".replace("dir: hpc", f"dir: {tmp_path}/hpc"))
    (tmp_path / "bin").mkdir()
    for name, path in (("sh", "/bin/sh"), ("cat", "/bin/cat"), ("sleep", "/bin/sleep"), ("python3", sys.executable)):
        (tmp_path / "bin" / name).symlink_to(path)
    command = [sys.executable, "-m", "burnish", "run", "--hosts", "lab.yaml", "--command", "sh job.sh {fails} {work}"]
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and table.order == [1], done.stderr
    why = "it needs a host named hpc, and this run does not use hpc: `engine: slurm`, but there is no scontrol on"
    assert f"Job 0 could not be started: {why}" in done.stderr
    assert f"could not start it: {why}" in table.burnish("explain", "0").stdout


def test_run_that_has_nothing_to_start_takes_back_no_word_of_the_one_before(tmp_path: Path) -> None:
    table = Table(tmp_path, "HOSTS,fails,work", "nosuch,0,0", ",0,0")
    assert table.run().returncode == 1
    assert table.run("--job_id", "1").returncode == 0
    assert "could not start it: it needs a host named nosuch" in table.burnish("explain", "0").stdout


def test_failed_job_is_tried_again_as_often_as_its_cell_or_the_option_says(tmp_path: Path) -> None:
    table = Table(tmp_path, "RETRIES,fails,work", "2,2,0", ",1,0", "0,1,0", ",9,0")
    done = table.run("--retries", "1")
    assert done.returncode == 1
    assert table.states == [("COMPLETE", "exit 0"), ("COMPLETE", "exit 0"), ("ERROR", "exit 1"), ("ERROR", "exit 1")]
    assert sorted(table.order) == [0, 0, 0, 1, 1, 2, 3, 3]
    assert "Earlier, attempt 0.2 on localhost ended as ERROR (exit 1)." in table.burnish("explain", "0").stdout


def test_reason_says_what_the_job_said_of_its_failure(tmp_path: Path) -> None:
    table = Table(tmp_path, "fails,work", "1,0")
    (tmp_path / "job.sh").write_text("echo 'RuntimeError: CUDA out of memory.' >&2; exit 1")
    assert table.run().returncode == 1
    assert table.states == [("ERROR", "exit 1 (OOM, GPU memory)")]


@pytest.mark.parametrize(("cell", "option"), [("1s", "1h"), ("", "1")])
def test_job_over_its_time_limit_is_ended(tmp_path: Path, cell: str, option: str) -> None:
    table = Table(tmp_path, "TIME_LIMIT,fails,work", f"{cell},0,300", "1h,0,0")
    began = time.monotonic()
    assert table.run("--time_limit", option).returncode == 1
    assert table.states == [("ERROR", "TIME_LIMIT"), ("COMPLETE", "exit 0")]
    assert time.monotonic() - began < 30


def test_no_more_are_started_than_num_jobs(tmp_path: Path) -> None:
    table = Table(tmp_path, "fails,work", "0,0", "0,0", "0,0", "0,0")
    done = table.run("--num_workers", "4", "--num_jobs", "2")
    assert done.returncode == 0 and "2 of 2 done, 2 wait, in " in done.stderr
    assert sorted(table.order) == [0, 1]
    assert "1 of 1 done, 1 waits, in " in table.run("--num_jobs", "1").stderr


def test_what_is_typed_wrong_starts_nothing(tmp_path: Path) -> None:
    table = Table(tmp_path, "fails,work", "0,0")
    for option, sentence in (
        (("--retries", "-1"), '--retries "-1": expected a whole number, 0 to 1000. Nothing was done.'),
        (("--time_limit", "soon"), '--time_limit "soon": expected a duration such as 90, 90s, 10m, 2h or 3d.'),
    ):
        done = table.run(*option)
        assert done.returncode == 2 and sentence in done.stderr, done.stderr
    assert table.order == []
