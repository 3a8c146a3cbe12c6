"""What a job is given and what is told of its end, on every engine: this machine, an SSH host, a Slurm cluster, also over SSH.

One run on each, of jobs that each show one thing. `test_every_engine_live.py` is about what is done while jobs run.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import beginnings
from tests.support.engines import ENGINES, ON, Engine, engine
from tests.support.gated import Gated
from tests.support.proc import processes

EVERY = bytes(range(1, 256))
WORDS = [b"", b" ", b"-n", b"--", EVERY, b"a\nb\r\n", b"'\"\\", b"$HOME `id` $(id) * ~ %s", b"\xff\xfe", b"x" * 100_000]
CWD = b"/\xff \n'$(x)"  # below the table's folder
WEIGHT = 60  # MiB
TOO_LONG = 40_000  # characters of a result, for what a host tells of an end at once

# What each job does, by its argument: a program that `python3 -c` takes, or words for a shell, or what the runner makes of it.
PROGRAMS = {
    "bytes": """\
import os, sys
for word in [*sys.argv[1:], os.environ["EVERY"], os.getcwd()]:
    sys.stdout.buffer.write(os.fsencode(word) + b"\\0")
sys.stderr.buffer.write(bytes(range(256)) * 1000)
""",
    "large": "print('x' * 3_000_000)",
    "environment": "import json, os; print(json.dumps(dict(os.environ)))",
    "memory": f"b'x' * ({WEIGHT} << 20)",
    "result": "import json, os; json.dump({'acc': 0.5, 'é': [1, None]}, open(os.environ['BURNISH_RESULT'], 'w'))",
    "long result": f"import json, os; json.dump({{'text': 'x' * {TOO_LONG}}}, open(os.environ['BURNISH_RESULT'], 'w'))",
    "no result": "import os; open(os.environ['BURNISH_RESULT'], 'w').write('[1]')",
}
SHELL = {
    "exit 0": "exit 0",
    "exit 1": "exit 1",
    "exit 137": "exit 137",
    "exit 255": "exit 255",
    "killed": "kill -KILL $$",
    "segv": "kill -SEGV $$",
    "term": "kill -TERM $$",
    "tail": "printf 'x%.0s' $(seq 5000) >&2; printf '\\nthe end: \\303\\244' >&2; exit 3",
    "began": beginnings.TELL,
    "retried": "echo once >> tries; test $(wc -l < tries) -ge 2",
    "deaf": "sleep 1000 & trap '' TERM; while :; do sleep 0.05; done",
    "leaving": "sleep 1000 & echo $! > left; exit 0",
}
MADE = ("shebang", "absent", "raised")
FATES = (*PROGRAMS, *SHELL, *MADE)
# How `status` tells of each in the end; … is what differs from engine to engine.
ENDS = {
    **dict.fromkeys(PROGRAMS, "COMPLETE: exit 0"),
    "no result": "COMPLETE: exit 0 (BURNISH_RESULT was not taken: it is no JSON object)",
    "exit 0": "COMPLETE: exit 0",
    "exit 1": "ERROR: exit 1",
    "exit 137": "ERROR: exit 137",
    "exit 255": "ERROR: exit 255",
    "killed": "ERROR: signal 9",
    "segv": "ERROR: signal 11",
    "term": "ERROR: signal 15",
    "tail": "ERROR: exit 3",
    "began": "COMPLETE: exit 0",
    "retried": "COMPLETE: exit 0",
    "deaf": "ERROR: TIME_LIMIT",
    "leaving": "COMPLETE: exit 0",
    "shebang": "ERROR: not started: ./shebang cannot be run: No such file or directory",
    "absent": "NOT_RUNNING: not started: no program pyhton in PATH (…) on there",
    "raised": "ERROR: not started: sweep.run raised ValueError: no such model",
}
COLUMNS = {"retried": "1,", "deaf": ",1s"}  # RETRIES and TIME_LIMIT of those that have them

RUNNER = f"""\
import os
import burnish

PROGRAMS = {PROGRAMS!r}
SHELL = {SHELL!r}

def run(args, job):
    fate = job["fate"]
    if fate in SHELL:
        return ["/bin/sh", "-c", SHELL[fate]]
    if fate == "shebang":
        return ["./shebang"]
    if fate == "absent":
        return ["pyhton", "train.py"]
    if fate == "raised":
        raise ValueError("no such model")
    words = [os.fsdecode(word) for word in {WORDS!r}] if fate == "bytes" else []
    env = {{"EVERY": os.fsdecode({EVERY!r}), "BOTH": "the command"}}
    cwd = os.fsdecode(os.getcwdb() + {CWD!r}) if fate == "bytes" else None
    return burnish.Command(["python3", "-c", PROGRAMS[fate], *words], env=env, cwd=cwd)
"""


class Ended:
    """The table after its run on an engine, and what is known of each of its jobs, by what it was to do."""

    def __init__(self, there: Engine, table: Gated, code: int, began: float) -> None:
        self.there, self.table, self.code, self.began = there, table, code, began
        self.status = table.status()

    def job(self, fate: str) -> dict[str, Any]:
        return self.status[FATES.index(fate)]

    def logs(self, fate: str, suffix: str = ".log") -> list[bytes]:
        """Of all its attempts, the newest last."""
        logs = (self.table.folder / "burnish_log").glob(f"*/*_job_{FATES.index(fate)}{suffix}")
        return [log.read_bytes() for log in sorted(logs)]

    def log(self, fate: str, suffix: str = ".log") -> bytes:
        return self.logs(fate, suffix)[-1]

    def says(self, verb: str, fate: str, *options: str) -> str:
        return self.table.burnish(verb, str(FATES.index(fate)), *options).stdout


@pytest.fixture(scope="module", params=ENGINES)
def ended(request: pytest.FixtureRequest) -> Iterator[Ended]:
    with engine(request.param) as there, there.table(1) as table:
        settings = {
            "env": {"FROM_INVENTORY": "it's $HOME", "BOTH": "the inventory"},
            "slots": len(FATES),  # what is claimed ahead of its slot may be called back, and has one attempt more
        }
        there.inventory(table, **settings)
        os.mkdir(os.fsencode(table.folder) + CWD)
        (table.folder / "shebang").write_text("#!/no/such/interpreter\n")
        (table.folder / "shebang").chmod(0o755)
        (table.folder / "sweep.py").write_text(RUNNER)
        rows = [f"{fate},{COLUMNS.get(fate, ',')}" for fate in FATES]
        (table.folder / "jobs.csv").write_text("\n".join(["fate,RETRIES,TIME_LIMIT", *rows]) + "\n")
        table.burnish("create", "--csv", "jobs.csv", "--force")
        began = time.time()
        run = table.start("run", *ON, "--func", "sweep.run")
        code = run.wait(120)
        yield Ended(there, table, code, began)


def test_ends_are_told_alike(ended: Ended) -> None:
    assert ended.code == 1
    told = {fate: f"{ended.job(fate)['state']}: {ended.job(fate)['reason']}" for fate in FATES}
    assert {fate: re.sub(r"PATH \([^)]*\)", "PATH (…)", end) for fate, end in told.items()} == ENDS


def test_every_job_is_told_of_by_host_pid_and_times(ended: Ended) -> None:
    for fate in FATES:
        job = ended.job(fate)
        if fate in MADE:
            continue  # no process came of it
        assert (job["host"], job["attempts"]) == ("there", 2 if fate == "retried" else 1), job
        assert job["pid"] > 1 and job["attempt"] == f"{job['id']}.{job['attempts']}", job
        assert ended.began <= job["started"] <= job["ended"] <= time.time(), job
        assert job["run_time"] == pytest.approx(job["ended"] - job["started"], abs=0.5), job
    meta = ended.says("view", "exit 1", "--meta")
    assert re.search(r"^host +there\b", meta, re.MULTILINE) and "ERROR (exit 1)" in meta, meta


def test_memory_at_its_most_is_told(ended: Ended) -> None:
    assert WEIGHT << 10 <= ended.job("memory")["max_rss"] < 4 * WEIGHT << 10


def test_end_of_stderr_goes_with_a_failure(ended: Ended) -> None:
    assert ended.log("tail", ".err").decode().endswith("xx\nthe end: ä")
    assert "the end: ä" in ended.says("view", "tail", "--errors")


def test_every_byte_goes_there_and_back(ended: Ended) -> None:
    here = os.path.realpath(os.fsencode(ended.table.folder)) + CWD
    assert ended.log("bytes").split(b"\0") == [*WORDS, EVERY, here, b""]
    assert ended.log("bytes", ".err") == bytes(range(256)) * 1000
    assert ended.log("large") == b"x" * 3_000_000 + b"\n"


def test_environment_is_the_hosts_with_the_inventorys_the_commands_and_ours(ended: Ended) -> None:
    seen = json.loads(ended.log("environment"))
    job = FATES.index("environment")
    folder = ended.table.folder
    assert (seen["FROM_INVENTORY"], seen["BOTH"]) == ("it's $HOME", "the command")
    assert (seen["BURNISH_JOB_ID"], seen["BURNISH_ATTEMPT"]) == (str(job), "1")
    assert (seen["BURNISH_HOST"], seen["BURNISH_DB"]) == ("there", str(folder / "burnish.db"))
    assert seen["BURNISH_RESULT"].startswith(f"{folder}/state/")
    assert seen["PYTHONUNBUFFERED"] == "1"
    assert {"BURNISH_SLOT", "BURNISH_GPUS", "BURNISH_LOG_DIR", "HOME", "PATH"} <= seen.keys()


def test_job_begins_as_a_shell_would_begin_it(ended: Ended) -> None:
    umask = beginnings.umask() | (0o022 if "ssh" in ended.there.name else 0)  # sshd adds that
    beginnings.assert_as_from_a_shell(ended.log("began").decode(), umask)


def test_result_is_kept_and_what_is_none_changes_no_verdict(ended: Ended) -> None:
    assert ended.job("result")["result"] == {"acc": 0.5, "é": [1, None]}
    assert ended.job("long result")["result"] == {"text": "x" * TOO_LONG}
    assert not ended.job("no result").get("result")
    results = {row["id"]: row["result"] for row in json.loads(ended.table.burnish("results", "--json").stdout)}
    assert results[FATES.index("result")] == {"acc": 0.5, "é": [1, None]}


def test_what_could_not_be_started_is_named(ended: Ended) -> None:
    assert f"Job {FATES.index('absent')} could not be started: no program pyhton in PATH (" in ended.table.said()
    assert b"ValueError: no such model" in ended.log("raised", ".err")


def test_failed_job_is_tried_again_as_often_as_its_cell_says(ended: Ended) -> None:
    assert len(ended.logs("retried")) == 2
    assert (ended.table.folder / "tries").read_text() == "once\n" * 2


def test_time_limit_ends_the_tree_and_says_so(ended: Ended) -> None:
    assert ended.job("deaf")["run_time"] >= 1
    assert not processes(ended.table.folder)


def test_what_a_job_leaves_behind_is_ended(ended: Ended) -> None:
    assert int((ended.table.folder / "left").read_text()) > 1
    assert not processes(ended.table.folder)
