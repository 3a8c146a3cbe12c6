"""What is done while jobs run, by a person or by a crash, has the same outcome on every engine.

A cluster that is reached over SSH is the sum of two of them: on it, only what makes logs and the host's words travel is tried.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import records
from tests.support.engines import DIRECT, ENGINES, ON, Engine, engine
from tests.support.gated import Gated
from tests.support.proc import environment_of, parent_of, processes
from tests.support.waiting import wait_for

JOBS = 4
AGAIN = 40.0  # s until a job runs for which Slurm is asked anew
OVER_SSH_TOO = pytest.mark.parametrize("there", ENGINES, indirect=True)

# It answers TERM in its own time: its work is kept a second later.
SAVING = """\
import os, signal, time  # what takes it a second is its own work
job = os.environ["BURNISH_JOB_ID"]
def save(number, frame):
    time.sleep(1)
    open("saved-" + job, "w").close()
    os._exit(0)
signal.signal(signal.SIGTERM, save)
open("ready-" + job, "w").close()
signal.pause()
"""

# It does not answer TERM.
DEAF = """\
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open("ready-" + os.environ["BURNISH_JOB_ID"], "w").close()
time.sleep(1000)
"""


@pytest.fixture(scope="module", params=DIRECT)
def there(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engine(request.param) as made:
        yield made


@pytest.fixture
def table(there: Engine) -> Iterator[Gated]:
    with there.table(JOBS) as made:
        yield made


def ends_well(table: Gated, run: subprocess.Popen[str], *, runs: tuple[int, ...] = (1,) * JOBS) -> None:
    """Let all jobs end: each is COMPLETE, and was run so many times."""
    table.open(*range(JOBS))
    assert run.wait(60) == 0, table.said()
    assert {job["state"] for job in table.status().values()} == {"COMPLETE"}
    assert tuple(len(table.ran(job)) for job in range(JOBS)) == runs


def words(table: Gated) -> dict[int, str]:
    """Job -> state and reason."""
    return {job: f"{found['state']} {found['reason']}".strip() for job, found in table.status().items()}


def at_work(table: Gated) -> list[Path]:
    """The commands that look after jobs: each has put its file there."""
    return list((table.folder / ".burnish" / "burnish.db" / "coordinators").glob("[!.]*"))


def runs_after(table: Gated, before: list[int]) -> int:
    """Wait until a job runs that is none of those before; which."""
    [job] = wait_for(lambda: table.running_jobs().keys() - {*before}, table.said, AGAIN)
    return job


def at_once(table: Gated, until: float = float("inf")) -> int:
    """How many jobs ran at once at most, of those that started before the time `until`."""
    times = [(job["started"], job["ended"]) for job in table.status().values() if job["started"] < until]
    return max(sum(started <= moment < ended for started, ended in times) for moment, _ in times)


def type_over(table: Gated, **cells: dict[int, str]) -> None:
    """Save the table as an editor does, with these cells (column -> job -> text) typed over."""
    path = table.folder / "burnish.db"
    rows = list(csv.DictReader(io.StringIO(path.read_text())))
    for column, typed in cells.items():
        for row in rows:
            row[column] = typed.get(int(row["JOB_ID"]), row.get(column, ""))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    (table.folder / "typed").write_text(text.getvalue())
    (table.folder / "typed").replace(path)


# -- people ----------------------------------------------------------------------------------------------------------


def test_cancel_ends_the_whole_tree_and_nothing_is_started_in_its_place(table: Gated) -> None:
    (table.folder / "job.py").write_text(
        "import subprocess; subprocess.run(['sh', '-c', 'sleep 1000 & sleep 1000; :'])\n"
    )
    run = table.run("--retries", "3")
    table.wait_running(JOBS)
    wait_for(lambda: len(processes(table.folder)) == 4 * JOBS, lambda: processes(table.folder))
    said = table.burnish("cancel", "--job_id", "0,2").stderr
    assert "stopped after" in said and "no process is left" in said, said
    assert len(processes(table.folder)) == 4 * 2, processes(table.folder)
    assert sorted(table.running_jobs()) == [1, 3]
    table.burnish("cancel", "--all")
    assert run.wait(60) == 1, table.said()
    assert words(table) == dict.fromkeys(range(JOBS), "ERROR CANCELLED")
    assert {job["attempts"] for job in table.status().values()} == {1}
    assert not processes(table.folder)


def test_cancel_leaves_a_job_the_time_to_save_what_it_has(table: Gated) -> None:
    (table.folder / "job.py").write_text(SAVING)
    run = table.run()
    wait_for(lambda: len(list(table.folder.glob("ready-*"))) == JOBS, table.said, AGAIN)
    table.burnish("cancel", "--all")
    assert len(list(table.folder.glob("saved-*"))) == JOBS
    assert run.wait(60) == 1, table.said()
    assert words(table) == dict.fromkeys(range(JOBS), "ERROR CANCELLED")


def test_cancel_with_less_grace_does_not_wait_for_the_one_before(table: Gated) -> None:
    """Nobody waits for the first any more. One without a grace of its own leaves the job what it has."""
    (table.folder / "job.py").write_text(DEAF)
    run = table.run()
    wait_for(lambda: len(list(table.folder.glob("ready-*"))) == JOBS, table.said, AGAIN)
    asked = []
    for number, grace in enumerate((("--grace", "100"), ())):
        asked.append(table.start("cancel", "--job_id", "0", *grace, into=f"{number}.txt"))
        wait_for(lambda: len(at_work(table)) == 1 + len(asked), table.said)
    said = table.burnish("cancel", "--all", "--grace", "1").stderr
    assert "stopped after" in said and "no process is left" in said, said
    assert [each.wait(60) for each in asked] == [0, 0]
    patient = (
        "An earlier cancel gave job 0 up to 100 s to end. To end it sooner: burnish cancel --job_id 0 --grace 1s\n"
    )
    assert [patient in table.said(f"{number}.txt") for number in range(2)] == [False, True]
    assert run.wait(60) == 1, table.said()
    assert words(table) == dict.fromkeys(range(JOBS), "ERROR CANCELLED")
    commits = sorted((table.folder / ".burnish").rglob("log/*/*.jsonl"))
    facts = [json.loads(line) for commit in commits for line in commit.read_text().splitlines()[1:]]
    wishes = [(fact["attempt"], fact["grace"]) for fact in facts if fact["fact"] == "CancelRequested"]
    assert sorted(wishes, key=lambda wish: wish[0]) == [("0.1", 100), *((f"{job}.1", 1) for job in range(JOBS))]


@OVER_SSH_TOO
def test_cancel_reaches_jobs_whose_run_was_killed(table: Gated) -> None:
    table.orphan(JOBS)
    assert "stopped after" in table.burnish("cancel", "--all").stderr
    assert words(table) == dict.fromkeys(range(JOBS), "ERROR CANCELLED")
    assert not processes(table.folder)


def test_cancel_that_is_typed_into_the_table(table: Gated) -> None:
    run = table.run()
    table.wait_running(JOBS)
    type_over(table, STATE={1: "CANCEL"})
    wait_for(lambda: words(table)[1] == "ERROR CANCELLED", lambda: words(table))
    table.open(0, 2, 3)
    assert run.wait(60) == 1, table.said()
    assert [word.split()[0] for word in words(table).values()] == ["COMPLETE", "ERROR", "COMPLETE", "COMPLETE"]


@OVER_SSH_TOO
def test_log_is_followed_to_its_end(table: Gated) -> None:
    run = table.run()
    table.wait_running(JOBS)
    viewer = table.start("view", "1", "--follow", into="seen.txt")
    wait_for(lambda: table.said("seen.txt").startswith("job 1 on "), lambda: table.said("seen.txt"))
    assert viewer.poll() is None
    table.open(1)
    assert viewer.wait(60) == 0
    assert table.said("seen.txt").endswith("the end of 1\n")
    assert table.burnish("view", "1", "--stderr").stdout == "warning of 1\n"
    ends_well(table, run)


@OVER_SSH_TOO
def test_log_is_followed_to_its_end_though_the_run_was_killed(table: Gated) -> None:
    """Before anybody follows it, and while somebody does: only the host can tell then that the job has ended."""
    run = table.run()
    table.wait_running(JOBS)
    before = table.start("view", "1", "--follow", into="before.txt")
    wait_for(lambda: "job 1 on " in table.said("before.txt"), lambda: table.said("before.txt"))
    run.kill()
    run.wait()
    after = table.start("view", "1", "--follow", into="after.txt")
    for file in ("before.txt", "after.txt"):
        wait_for(lambda file=file: "(No burnish run looks after job 1, so " in table.said(file), table.said)
        assert "burnish wait" in table.said(file)
    assert (before.poll(), after.poll()) == (None, None)
    table.open(1)
    assert (before.wait(AGAIN), after.wait(AGAIN)) == (0, 0)
    for file in ("before.txt", "after.txt"):
        assert "the end of 1\n" in table.said(file)
        assert table.said(file).endswith("(Job 1 has ended; how, burnish run or burnish wait takes in.)\n")
    table.open(*range(JOBS))
    assert table.burnish("wait").returncode == 0
    assert set(words(table).values()) == {"COMPLETE exit 0"}


def test_order_of_those_that_wait_is_the_tables(there: Engine, table: Gated) -> None:
    there.inventory(table, slots=1)
    run = table.run()
    [first] = table.wait_running(1)
    type_over(table, PRIORITY={3: "9", 1: "5"})
    wait_for(lambda: "next to start" in table.burnish("explain", "3").stdout, lambda: table.burnish("explain", "3"))
    began = [first]
    while len(began) < JOBS:
        table.open(began[-1])
        began.append(runs_after(table, began))
    assert began == [0, 3, 1, 2]
    ends_well(table, run)


def test_held_jobs_wait_and_released_ones_run(table: Gated) -> None:
    table.burnish("hold", "--job_id", "1,3")
    run = table.run()
    assert sorted(table.wait_running(2)) == [0, 2]
    assert "HOLD" in table.burnish("explain", "1").stdout
    table.burnish("release", "--job_id", "1,3")
    table.wait_running(JOBS)
    ends_well(table, run)


def test_drained_host_starts_nothing_until_it_is_given_back(there: Engine, table: Gated) -> None:
    there.inventory(table, slots=1)
    run = table.run()
    table.wait_running(1)
    table.burnish("drain", "there")
    table.open(0)
    wait_for(lambda: words(table)[0].startswith("COMPLETE"), lambda: words(table))
    assert "drained" in table.burnish("explain", "1").stdout
    assert [job["attempts"] for job in table.status().values()] == [1, 0, 0, 0]
    given_back = time.time()
    table.burnish("undrain", "there")
    table.wait_running(1)
    ends_well(table, run)
    assert [job["started"] >= given_back for job in table.status().values()] == [False, True, True, True]


def test_slots_grow_with_the_inventory(there: Engine, table: Gated) -> None:
    there.inventory(table, slots=1)
    run = table.run()
    assert len(table.wait_running(1)) == 1
    grown = time.time()
    there.inventory(table, slots=3)
    table.wait_running(3)
    ends_well(table, run)
    assert (at_once(table, until=grown), at_once(table)) == (1, 3)


def test_reset_spares_what_lives_and_with_kill_runs_it_again(table: Gated) -> None:
    run = table.run()
    table.wait_running(JOBS)
    wait_for(lambda: table.ran(0), table.said)
    said = table.burnish("reset", "--job_id", "0")
    assert "Job 0 is still running and left as it is." in said.stdout + said.stderr
    assert words(table)[0] == "RUNNING" and len(table.ran(0)) == 1
    table.burnish("reset", "--job_id", "0", "--kill")
    wait_for(lambda: len(table.ran(0)) == 2, table.said, AGAIN)
    ends_well(table, run, runs=(2, 1, 1, 1))
    table.burnish("reset", "--job_id", "3")
    ends_well(table, table.run(), runs=(2, 1, 1, 2))
    assert len(list((table.folder / "burnish_log").glob("*/*_job_3.log"))) == 2


def test_time_limit_of_the_run(table: Gated) -> None:
    run = table.run("--time_limit", "1s")
    assert run.wait(60) == 1, table.said()
    assert words(table) == dict.fromkeys(range(JOBS), "ERROR TIME_LIMIT")


def test_setup_lines_come_first_and_one_that_fails_is_named(there: Engine, table: Gated) -> None:
    (table.folder / "job.py").write_text("import os; print(os.environ['SET_UP'], os.getcwd())\n")
    there.inventory(table, setup="export SET_UP='by setup'\n# a comment")
    assert table.run().wait(60) == 0, table.said()
    assert table.burnish("view", "2").stdout == f"by setup {os.path.realpath(table.folder)}\n"
    table.burnish("reset")
    there.inventory(table, setup="no-such-command load cuda")
    assert table.run().wait(60) == 3, table.said()
    why = "its setup ended with 127: burnish setup: line 1: no-such-command: command not found"
    assert f"there gets no more jobs until this is mended: {why}." in table.said()
    assert words(table) == dict.fromkeys(range(JOBS), f"NOT_RUNNING not started: {why} on there")


def test_missing_work_folder_is_named(there: Engine, table: Gated) -> None:
    there.inventory(table, workdir=str(table.folder / "late"))
    assert table.run().wait(60) == 3, table.said()
    why = f"{table.folder}/late does not exist"
    assert f"there gets no more jobs until this is mended: {why}." in table.said()
    assert set(words(table).values()) == {f"NOT_RUNNING not started: {why} on there"}


def test_home_is_the_hosts(there: Engine, table: Gated) -> None:
    there.inventory(table, workdir="~")
    run = table.start("run", *ON, "--job_id", "0", "--command", 'sh -c \'echo "$PWD"; echo "$HOME"\'')
    assert run.wait(60) == 0, table.said()
    home = os.path.realpath(there.home or table.folder / "home")
    assert [os.path.realpath(path) for path in table.burnish("view", "0").stdout.splitlines()] == [home, home]


def test_clean_refuses_while_jobs_run_and_then_leaves_nothing(table: Gated) -> None:
    run = table.run()
    table.wait_running(JOBS)
    table.burnish("clean", "--yes", code=2)
    ends_well(table, run)
    assert len(records.paths(table.folder / "state", "start.json")) == JOBS
    table.burnish("clean", "--yes", "--keep_db")
    assert not records.paths(table.folder / "state", "start.json")
    assert (table.folder / "burnish.db").exists() and not (table.folder / "burnish_log").exists()


# -- crashes ---------------------------------------------------------------------------------------------------------


@OVER_SSH_TOO
def test_killed_run_costs_no_job_and_no_second_start(table: Gated) -> None:
    table.orphan(JOBS)
    table.open(0)
    wait_for(lambda: len(processes(table.folder)) == JOBS - 1, lambda: processes(table.folder))
    run = table.run()
    wait_for(lambda: words(table)[0] == "COMPLETE exit 0", lambda: words(table))
    ends_well(table, run)
    for job in range(JOBS):
        assert table.burnish("view", str(job)).stdout.endswith(f"the end of {job}\n")


@OVER_SSH_TOO
def test_logs_are_seen_and_collected_when_no_run_goes_on(table: Gated) -> None:
    table.orphan(JOBS)
    wait_for(lambda: table.burnish("view", "2", code=None).stdout.startswith("job 2 on "), table.said)
    table.open(*range(JOBS))
    table.burnish("wait")
    assert set(words(table).values()) == {"COMPLETE exit 0"}
    assert table.burnish("view", "2").stdout.endswith("the end of 2\n")


def test_interrupted_run_leaves_its_jobs_alive(table: Gated) -> None:
    run = table.run()
    table.wait_running(JOBS)
    run.send_signal(signal.SIGINT)
    assert run.wait(60) == 130, table.said()
    assert len(processes(table.folder)) == JOBS
    ends_well(table, table.run())


def test_two_runs_start_each_job_once(table: Gated) -> None:
    """They begin at once: both are there when the host is given to them."""
    table.burnish("drain", "there", *ON)
    first, second = table.run(), table.start("run", *ON, "--command", "python3 job.py", into="second.txt")
    wait_for(lambda: len(at_work(table)) == 2, lambda: table.said() + table.said("second.txt"))
    table.burnish("undrain", "there")
    table.wait_running(JOBS)
    table.open(*range(JOBS))
    codes = sorted((first.wait(60), second.wait(60)))
    assert codes in ([0, 0], [0, 1]), table.said() + table.said("second.txt")
    wait_for(lambda: set(words(table).values()) == {"COMPLETE exit 0"}, lambda: words(table))
    assert [len(table.ran(job)) for job in range(JOBS)] == [1] * JOBS


def test_killed_supervisors_cost_an_attempt_and_never_run_a_job_beside_itself(there: Engine, table: Gated) -> None:
    """Of two jobs the supervisor alone, of two the job with it.

    An orphan runs on where the next start would find it, and ends with its supervisor on a cluster, where nobody would.
    """
    run = table.run()
    wait_for(lambda: all(map(table.ran, range(JOBS))), table.said, AGAIN)
    jobs = {int(environment_of(pid)["BURNISH_JOB_ID"]): pid for pid in processes(table.folder)}
    supervisor = {job: parent_of(pid) for job, pid in jobs.items()}
    assert sorted(jobs) == [*range(JOBS)] and len(set(supervisor.values())) == JOBS
    for pid in supervisor.values():
        os.kill(pid, signal.SIGSTOP)
    for job in (0, 1):
        os.kill(jobs[job], signal.SIGKILL)
    for pid in supervisor.values():
        os.kill(pid, signal.SIGKILL)
    runs = [2, 2, 1, 1] if there.name != "slurm" else [2, 2, 2, 2]
    wait_for(lambda: [len(table.ran(job)) for job in range(JOBS)] == runs, table.said, AGAIN)
    alive = wait_for(lambda: len(processes(table.folder)) == JOBS and processes(table.folder), table.said)
    assert (jobs[2] in alive, jobs[3] in alive) == (runs[2] == 1, runs[3] == 1), alive
    assert not list(table.folder.glob("doubled-*"))
    table.open(*range(JOBS))
    assert run.wait(60) == 0, table.said()
    assert [len(table.ran(job)) for job in range(JOBS)] == [2] * JOBS
    assert {job["attempts"] for job in table.status().values()} == {2}
