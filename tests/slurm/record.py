"""Writes down what a real Slurm says to burnish's commands: `python -m tests.slurm.record SOURCE`, as root, in the project.

SOURCE says where that Slurm comes from and how it was built; BURNISH_TEST_SLURM, where it is (`tests/support/slurm.py`). What it
said goes to `tests/data/slurm/said-VERSION.json`, word for word, but of `scontrol show config` the lines of KEPT alone.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from burnish.core.hosts import Host
from burnish.core.jobs import HostName
from burnish.slurm import script, text
from burnish.slurm.text import Demand
from tests.support.slurm import PROGRAMS, Slurm
from tests.support.waiting import wait_for

DATA = Path(__file__).resolve().parent.parent / "data" / "slurm"
KEPT = ("MaxArraySize", "MaxJobCount", "MinJobAge", "SLURM_VERSION")

PARTITIONS = """\
PartitionName=urgent Nodes=ALL PriorityTier=10 MaxTime=INFINITE State=UP
PartitionName=short Nodes=ALL MaxTime=1 State=UP
PartitionName=shut Nodes=ALL State=INACTIVE
PartitionName=broken Nodes=ALL State=UP
"""
JOB = """\
#!/bin/sh
case $SLURM_ARRAY_TASK_ID in
0) exit 0 ;;
1) exit 3 ;;
*) trap : USR1; while :; do sleep 1; done ;;
esac
"""
UNKNOWN = "99999"  # no job's number

# Why each is refused -> the inventory's options that make it so.
REFUSED = {
    "no such partition": {"partition": "nope"},
    "a partition that is shut": {"partition": "shut"},
    "no such feature": {"constraint": "warp"},
    "no such node": {"nodelist": "n9"},
    "no such option": {"partitoin": "main"},
    "no such kind of gres": {"gres": "tpu:1"},
    "more GPUs than a node has": {"gres": "gpu:9"},
    "more memory than a node has": {"mem": "900G"},
    "no such account": {"account": "nobody"},
    "no such QOS": {"qos": "nothing"},
    "no time": {"time": "soon"},
}
# The limit -> what sacctmgr sets, and to what it goes back.
LIMITS = {
    "AssocMaxSubmitJobLimit": ("user root", "maxsubmitjobs=1", "maxsubmitjobs=-1"),
    "AssocGrpSubmitJobsLimit": ("account root", "grpsubmitjobs=1", "grpsubmitjobs=-1"),
    "QOSMaxSubmitJobPerUserLimit": ("qos normal", "maxsubmitjobsperuser=1", "maxsubmitjobsperuser=-1"),
    "QOSMaxWallDurationPerJobLimit": ("qos normal", "maxwall=1 flags=DenyOnLimit", "maxwall=-1 flags=-1"),
}


def submission(name: str, options: dict[str, str], indices: tuple[int, ...]) -> list[str]:
    """The argv that submits an array of this name, as burnish types it."""
    return text.sbatch(f"burnish-t-{name}", "burnish, table t: jobs 0", indices, options, Demand())


class Recording:
    """What `cluster` says, by what it is about."""

    def __init__(self, cluster: Slurm, said: dict[str, dict[str, object]]) -> None:
        self._cluster = cluster
        self._said = said

    def ask(self, argv: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command and write nothing down."""
        return subprocess.run(
            argv,
            input=stdin,
            env={**os.environ, **self._cluster.environment, "PATH": f"{PROGRAMS}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def keep(self, about: str, argv: list[str], stdin: str = "") -> str:
        """Run a command and write down what it says. Returns its stdout."""
        done = self.ask(argv, stdin)
        out = done.stdout
        if argv == text.show_config():
            out = "".join(line for line in out.splitlines(keepends=True) if line.startswith(KEPT))
        assert about not in self._said, about
        self._said[about] = {"command": shlex.join(argv), "code": done.returncode, "out": out, "err": done.stderr}
        return out

    def submit(self, name: str, options: dict[str, str] | None = None, indices: tuple[int, ...] = (2,)) -> str:
        """An array as burnish submits it. Returns its number."""
        return self.keep(f"submitted: {name}", submission(name, options or {}, indices), JOB).strip()

    def refuse(self, about: str, options: dict[str, str]) -> None:
        """An array of two, and a trial, that this Slurm does not take."""
        self.keep(f"refused: {about}", submission("refused", options, (0, 1)), JOB)
        self.try_out(about, options)

    def try_out(self, about: str, options: dict[str, str]) -> None:
        """The trial that `burnish check` makes."""
        host = Host(HostName("hpc"), engine="slurm", sbatch=tuple(options.items()))
        argv, _ = script.trial(host, "t", "/agent.py")
        self.keep(f"tried: {about}", argv, JOB)

    def until(self, job: str, *states: str) -> None:
        """Wait until a task is in one of these states, as squeue says."""
        argv = ["squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", "--format=%T"]
        wait_for(lambda: self.ask(argv).stdout.strip() in states, lambda: self.ask(argv), 180)


def fates(say: Recording, cluster: Slurm) -> None:
    """Jobs that wait, run and end in every way that is cheap to have, as squeue and sacct list them."""
    ran = say.submit("fates", indices=(0, 1, 2, 3, 4, 5))
    node = say.submit("node", {"nodelist": "n2"})
    preempted = say.submit("preempted", {"nodelist": "n1"})
    later = say.submit("later", {"begin": "now+1hour"}, (0, 1))
    taken_out = say.submit("taken-out", {"begin": "now+1hour"}, (0, 1))
    one_by_one = say.submit("one-by-one", {"begin": "now+1hour"}, (0, 1))
    held = say.submit("held", {"hold": "true"})
    long = say.submit("long", {"partition": "short", "time": "60"})
    for task in (f"{ran}_0", f"{ran}_1"):
        say.until(task, "COMPLETED", "FAILED")
    for task in (*(f"{ran}_{index}" for index in (2, 3, 4, 5)), f"{node}_2", f"{preempted}_2"):
        say.until(task, "RUNNING")
    full = say.submit("full", {"nodelist": "n0", "exclusive": "true"}, (2, 3))
    say.keep("scancel: woken", text.scancel([f"{ran}_4"], "USR1"))
    say.keep("scancel: running", text.scancel([f"{ran}_2"]))
    say.keep("scancel: waiting, all of an array", text.scancel([taken_out]))
    say.keep("scancel: waiting, by number", text.scancel([f"{one_by_one}_0", f"{one_by_one}_1"]))
    say.keep("scancel: waiting, one of two", text.scancel([f"{later}_1"]))
    cluster.run("scontrol", "update", f"JobId={ran}_3", "TimeLimit=0:01")
    cluster.run("scontrol", "suspend", f"{ran}_5")
    wish = ["--partition=urgent", "--nodelist=n1", "--exclusive", "--output=/dev/null", "--time=1"]
    cluster.run("sbatch", *wish, stdin="#!/bin/sh\nsleep 1\n")
    cluster.kill_node("n2")
    cluster.run("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=died")
    say.until(f"{preempted}_2", "PREEMPTED")
    broken = say.submit("unlaunched", {"partition": "broken", "nodelist": "n1"})
    say.until(f"{broken}_2", "CANCELLED", "FAILED")
    for task, state in ((f"{ran}_2", "CANCELLED"), (f"{ran}_3", "TIMEOUT"), (f"{node}_2", "NODE_FAIL")):
        say.until(task, state)
    say.keep("scancel: ended", text.scancel([f"{ran}_0"]))
    say.keep("scancel: unknown", text.scancel([UNKNOWN, f"{UNKNOWN}_1"]))
    arrays = [ran, node, preempted, later, taken_out, one_by_one, held, long, full, broken]
    names = ("fates", "node", "preempted", "later", "taken-out", "one-by-one", "held", "long", "full", "unlaunched")
    say.keep("squeue", text.squeue(f"burnish-t-{name}" for name in names))
    say.keep("squeue: unknown", text.squeue(["burnish-t-nobody"]))
    tasks = [f"{ran}_{index}" for index in range(6)] + [f"{job}_2" for job in (node, preempted, full, broken)]
    tasks += [f"{job}_{index}" for job in (later, taken_out, one_by_one) for index in (0, 1)]
    say.keep("sacct", text.sacct(tasks))
    say.keep("sacct: unknown", text.sacct([UNKNOWN]))
    for job in arrays:
        cluster.run("scancel", job)


def limits(say: Recording, cluster: Slurm) -> None:
    """Each limit on what may be submitted, as it refuses an array of two."""
    for limit, (of, value, none) in LIMITS.items():
        kind, name = of.split()
        cluster.run("sacctmgr", "--immediate", "modify", kind, name, "set", *value.split())
        wait_for(lambda: limit_is_known(say), f"the controller does not hear of {limit}")
        say.refuse(limit, {"time": "60"})
        cluster.run("sacctmgr", "--immediate", "modify", kind, name, "set", *none.split())
        wait_for(lambda: not limit_is_known(say), f"the controller does not forget {limit}")


def limit_is_known(say: Recording) -> bool:
    """True if the controller has heard of a limit that sacctmgr has set. If it has not, the array is taken, and cancelled."""
    done = say.ask(submission("limit", {"time": "60", "hold": "true"}, (0, 1)), JOB)
    if done.returncode == 0:
        say.ask(["scancel", done.stdout.strip()])
    return done.returncode != 0


def away(say: Recording) -> None:
    """No command finds a controller."""
    say.keep("away: config", text.show_config())
    say.refuse("away", {})
    say.keep("away: squeue", text.squeue(["burnish-t-fates"]))
    say.keep("away: scancel", text.scancel(["1_2"]))


def record(folder: Path, source: str) -> dict[str, object]:
    """What the Slurm that is used says, for a file."""
    said: dict[str, dict[str, object]] = {}
    prolog = folder / "prolog"
    prolog.write_text('#!/bin/sh\n[ "$SLURM_JOB_PARTITION" != broken ]\n')
    prolog.chmod(0o755)
    options = f"Prolog={prolog}\nPreemptType=preempt/partition_prio\nPreemptMode=REQUEUE\nMaxArraySize=500\n"
    cluster = Slurm(folder / "accounts", options, partitions=PARTITIONS, accounting=True)
    try:
        say = Recording(cluster, said)
        release = say.ask(["sbatch", "--version"]).stdout.split()[-1]
        say.keep("config", text.show_config())
        say.try_out("taken", {"gres": "gpu:1", "time": "1:00:00"})
        fates(say, cluster)
        cluster.run("scontrol", "update", "NodeName=n1", "State=RESUME")
        say.submit("named", {"clusters": "bench", "begin": "now+1hour"})
        for about, wish in REFUSED.items():
            say.refuse(about, wish)
        say.keep("refused: an index beyond MaxArraySize", submission("refused", {}, (0, 500)), JOB)
        limits(say, cluster)
        cluster.kill("slurmdbd")
        say.keep("sacct: slurmdbd away", text.sacct(["1"]))
        cluster.kill("slurmctld")
        away(say)
    finally:
        cluster.close()
    cluster = Slurm(folder / "plain")
    try:
        say = Recording(cluster, said)
        say.keep("sacct: no accounting", text.sacct(["1"]))
    finally:
        cluster.close()
    return {"release": release, "source": source, "said": said}


def main(source: str) -> None:
    """Write the file, which names neither this machine nor a folder of it."""
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        recorded = record(Path(folder), source)
        written = json.dumps(recorded, indent=1) + "\n"
        for ours in (folder, socket.gethostname()):
            assert not re.search(rf"\b{re.escape(ours)}\b", written), f"{ours} is in it:\n{written}"
    path = DATA / f"said-{recorded['release']}.json"
    path.write_text(written, encoding="utf-8")
    print(f"{path}: {len(written)} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
