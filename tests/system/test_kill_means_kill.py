"""A cancel ends everything that the job started, and nothing else; with its supervisor dead, all that left a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.remote.agent.locks import HELD, lock_state
from burnish.remote.agent.processes import all_processes, has_open, libc
from burnish.remote.transport import LocalTransport
from tests.support.agent_client import AgentClient, kill
from tests.support.one_host import OneHost, job_pid, one_host, supervisor_pid
from tests.support.proc import alive
from tests.support.removing import remove_with_tenants
from tests.support.waiting import wait_for

GRACE = 0.5  # s
LONGER = 5.0  # s, where something is to happen before it is over
SLACK = 8.0  # s; with it, a cancel takes less than the grace that jobs have by default

# Each notes the pids of all its processes in the folder $PIDS, as names of files, and touches $PIDS.ready. All hold $PIDS.gpu
# open, as processes on a GPU hold its device.
PROGRAMS = {
    "plain": "note; ready; sleep 1000",
    "deaf": "trap '' TERM; note; ready; while :; do sleep 0.05; done",
    "pipe": "(note; sleep 1000) | (note; ready; sleep 1000)",
    "crowd": "for i in $(seq 200); do (note; exec sleep 1000) & done; note; ready; wait",
    "stopped": "note; ready; kill -STOP $$",
    "zombie parent": "note; (note; sleep 0.01) & ready; exec sleep 1000",
    "pool": "exec $PYTHON $PIDS.pool",
    "first thread gone": "note; exec $PYTHON $PIDS.headless",
    "daemon without its environment": "(setsid env -i PIDS=$PIDS /bin/bash -c '$daemon' &); note; ready; sleep 1000",
    "daemon without the lock": "(setsid /bin/bash -c 'exec 100>&-; $daemon' &); note; ready; sleep 1000",
}
# Only a living supervisor, being the subreaper, can find these.
TRACELESS = {
    "escaped child": "setsid env -i PIDS=$PIDS /bin/bash -c 'exec 100>&-; $daemon' & note; ready; sleep 1000",
    "escaped daemon": "(setsid env -i PIDS=$PIDS /bin/bash -c 'exec 100>&-; $daemon' &); note; ready; sleep 1000",
}
BEGIN = 'until [ -e "$PIDS.go" ]; do sleep 0.01; done'
HEAD = """
exec 9<>"$PIDS.gpu"
note() { touch "$PIDS/$(exec sh -c 'echo $PPID')"; }
ready() { touch "$PIDS.ready"; }
"""
ALL_NOTED = "until [ $(ls $PIDS | wc -l) = 2 ]; do sleep 0.01; done"
DAEMON = ': >"$PIDS/$$"; exec >/dev/null 2>&1 0</dev/null; exec sleep 1000'
POOL = """
import multiprocessing, os, time
def work(_):
    open(os.path.join(os.environ["PIDS"], str(os.getpid())), "w").close()
    time.sleep(1000)
if __name__ == "__main__":
    open(os.path.join(os.environ["PIDS"], str(os.getpid())), "w").close()
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        pool.map_async(work, range(3), chunksize=1)
        while len(os.listdir(os.environ["PIDS"])) < 4:
            time.sleep(0.01)
        open(os.environ["PIDS"] + ".ready", "w").close()
        time.sleep(1000)
"""
# It ignores TERM. A process whose first thread has ended looks like a zombie, and shows what it has at its other threads only.
HEADLESS = """
import ctypes, os, signal, threading, time
def work():
    while b") Z " not in open("/proc/self/stat", "rb").read():
        time.sleep(0.01)
    open(os.environ["PIDS"] + ".ready", "w").close()
    time.sleep(1000)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
threading.Thread(target=work).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    with one_host(tmp_path) as host:
        yield host


class Bystanders:
    """Processes of the same user that have nothing to do with the job, though they look like it."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self.add("sleep", "1000", own_session=False)

    def add(self, *argv: str, own_session: bool = True) -> None:
        """One more that waits, whatever its words say."""
        self._processes.append(subprocess.Popen(argv, start_new_session=own_session, stdin=subprocess.PIPE))

    @property
    def ended(self) -> list[object]:
        """What has been killed of them: the words of each."""
        return [process.args for process in self._processes if process.poll() is not None]

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()


@pytest.fixture
def bystanders() -> Iterator[Bystanders]:
    made = Bystanders()
    yield made
    made.end()


class Victim:
    """A job that runs one of the programs, and what stands beside it.

    Of the bystanders one is a shell with the job's own words, in a session whose number lies between that of the job's and those
    of all that the job starts; and one is a job of the same table whose name ends as this one's does.
    """

    def __init__(self, host: OneHost, program: str, bystanders: Bystanders | None = None) -> None:
        self.host = host
        self.pids_folder = host.folder / "pids"
        self.pids_folder.mkdir()
        (host.folder / "pids.pool").write_text(POOL)
        (host.folder / "pids.headless").write_text(HEADLESS)
        env = {"PIDS": str(self.pids_folder), "PYTHON": sys.executable}
        script = BEGIN + HEAD + program.replace("$daemon", DAEMON)
        self.link = host.connect()
        self.attempt = self.link.start("/bin/sh", "-c", script, env=env)
        self.running = self.link.wait_status(self.attempt, "running")
        self.neighbour = ""
        if bystanders is not None:
            bystanders.add("/bin/sh", "-c", "read line", "/bin/sh", "-c", script)
            self.neighbour = self.link.start("sleep", "1000", attempt=f"1{self.attempt}", env=env)
            self.link.wait_status(self.neighbour, "running")
        (host.folder / "pids.go").touch()
        wait_for((host.folder / "pids.ready").exists)
        expected = {"crowd": 201, "pipe": 2, "pool": 4}.get(
            next((n for n, p in PROGRAMS.items() if p == program), ""), 1
        )
        expected += "setsid" in program
        wait_for(lambda: len(self.pids()) >= expected, self.pids)

    def pids(self) -> set[int]:
        return {int(name) for name in os.listdir(self.pids_folder)} | {job_pid(self.running)}

    def living(self) -> set[int]:
        return {pid for pid in self.pids() if alive(pid)}

    def on_gpu(self) -> list[int]:
        """Who has the GPU's file open, whether the test heard of him or not."""
        return [
            int(name)
            for name in os.listdir("/proc")
            if name.isdigit() and has_open(int(name), f"{self.pids_folder}.gpu")
        ]

    def check_dead_and_alone(self, bystanders: Bystanders) -> None:
        """All of it is gone, and none of those beside it."""
        assert self.living() == set() and self.on_gpu() == []
        assert bystanders.ended == []
        assert self.host.connect().statuses()[self.neighbour]["status"] == "running"


@pytest.mark.parametrize("program", [*PROGRAMS, *TRACELESS])
@pytest.mark.parametrize("agent_killed", [False, True], ids=["agent alive", "agent killed"])
def test_cancel_ends_the_whole_tree(host: OneHost, bystanders: Bystanders, program: str, agent_killed: bool) -> None:
    victim = Victim(host, {**PROGRAMS, **TRACELESS}[program], bystanders)
    assert victim.on_gpu()
    link = victim.link
    if agent_killed:
        kill(link.pid)
        link = host.connect()
    asked = time.monotonic()
    ended = link.cancel(victim.attempt, GRACE, deadline=GRACE + SLACK + 10)
    assert time.monotonic() - asked < GRACE + SLACK
    assert ended["final"]["exit"]["cancelled"] == "alice"
    victim.check_dead_and_alone(bystanders)
    link.cancel(victim.neighbour, 0)
    wait_for(lambda: host.processes() == [], host.processes)  # a supervisor goes once it has said all


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("locks_wiped", [False, True], ids=["locks there", "locks wiped"])
def test_cancel_works_when_the_supervisor_is_dead(
    host: OneHost, bystanders: Bystanders, program: str, locks_wiped: bool
) -> None:
    victim = Victim(host, PROGRAMS[program], bystanders)
    if locks_wiped:
        for file in host.locks.iterdir():
            file.unlink()
    kill(supervisor_pid(victim.running))
    link = host.connect()
    asked = time.monotonic()
    ended = link.cancel(victim.attempt, GRACE, deadline=GRACE + SLACK + 10)
    assert time.monotonic() - asked < GRACE + SLACK
    assert ended["final"]["lost"]["cancelled"] == "alice"
    victim.check_dead_and_alone(bystanders)


# It gives its worker an environment of its own and none of its descriptors, and does not wait for it to end.
LAUNCHER = """
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
worker = "trap '' TERM; echo $$ >$0; while :; do sleep 0.05; done"
subprocess.Popen(["/bin/sh", "-c", worker, sys.argv[1]], env={}).wait()
"""


def test_who_was_seen_once_is_ended_though_its_parent_went_first(host: OneHost) -> None:
    noted, link = host.folder / "worker", host.connect()
    attempt = link.start(sys.executable, "-c", LAUNCHER, str(noted))
    running = link.wait_status(attempt, "running")
    wait_for(lambda: noted.exists() and noted.read_text())
    worker = int(noted.read_text())
    kill(supervisor_pid(running))
    link.send("cancel", attempt=attempt, grace=1000, by="alice")
    wait_for(lambda: not alive(job_pid(running)))
    assert host.connect().statuses()[attempt]["status"] == "running", "so others say, who have seen nothing"
    assert link.ask("clean", "cleaned", mark=False)["left"] == [attempt]
    assert alive(worker)
    link.send("cancel", attempt=attempt, grace=0, by="alice")
    ended = link.wait_status(attempt, "ended")
    assert ended["final"]["lost"]["cancelled"] == "alice"
    assert not alive(worker) and host.lock_names() == []


def orphaned(host: OneHost, link: AgentClient) -> tuple[str, int]:
    """An attempt whose supervisor is dead and whose job ignores TERM, and the job's pid."""
    attempt = link.start("/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    running = link.wait_status(attempt, "running")
    kill(supervisor_pid(running))
    link.wait(lambda frame: frame["type"] == "status" and frame.get("supervised") is False)
    return attempt, job_pid(running)


def undertaker(link: AgentClient, before: set[int]) -> int:
    """The process that the agent has carry out a cancel."""
    return wait_for(lambda: next(iter(children(link.pid) - before), 0))


def children(pid: int) -> set[int]:
    return {process.pid for process in all_processes().values() if process.parent == pid}


def test_cancel_is_carried_out_though_who_did_so_was_killed(host: OneHost) -> None:
    link = host.connect()
    attempt, job = orphaned(host, link)
    before = children(link.pid)
    link.send("cancel", attempt=attempt, grace=LONGER, by="alice")
    kill(undertaker(link, before))
    link.wait_status(attempt, "ended")
    assert not alive(job)


def test_nothing_is_left_of_a_cancel_whose_undertaker_was_killed_with_the_job(host: OneHost) -> None:
    link = host.connect()
    attempt, job = orphaned(host, link)
    before = children(link.pid)
    link.send("cancel", attempt=attempt, grace=1000, by="alice")
    pid = undertaker(link, before)
    wait_for(lambda: lock_state(host.place(attempt).end_lock) == HELD)
    os.kill(link.pid, signal.SIGSTOP)  # it would have another one do it
    kill(pid)
    kill(job)
    place = host.place(attempt)  # whose lock the job's own child has, until it has slept
    wait_for(lambda: HELD not in (lock_state(place.end_lock), lock_state(place.lock)))
    assert "lost" in host.connect().statuses()[attempt]["final"]
    assert host.lock_names() == []
    kill(link.pid)


def test_cancel_that_cannot_be_read_for_a_moment_is_carried_out_all_the_same(host: OneHost) -> None:
    link = host.connect()
    attempt, job = orphaned(host, link)
    before = children(link.pid)
    link.send("cancel", attempt=attempt, grace=LONGER, by="alice")
    pid = undertaker(link, before)
    record = host.folder_of(attempt) / "cancel.json"
    record.unlink()
    record.mkdir()  # who reads it meets an error
    wait_for(lambda: not alive(job))
    record.rmdir()
    link.wait_status(attempt, "ended")
    wait_for(lambda: not alive(pid))


def test_cancel_that_is_read_only_later_when_its_supervisor_dies_is_carried_out(host: OneHost) -> None:
    link = host.connect()
    attempt = link.start("/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    running = link.wait_status(attempt, "running")
    record = host.folder_of(attempt) / "cancel.json"
    link.ask("cancel", "status", attempt=attempt, grace=LONGER, by="alice")
    asked = record.readlink()
    record.unlink()
    record.mkdir()  # who reads it meets an error
    kill(supervisor_pid(running))
    link.wait(lambda frame: frame["type"] == "status" and frame.get("supervised") is False)
    record.rmdir()
    record.symlink_to(asked)
    link.wait_status(attempt, "ended")
    assert not alive(job_pid(running))


OTHER_UID = 65534
SYS_PIDFD_GETFD = 438  # the same number on every architecture


@pytest.fixture
def other_user() -> Iterator[OneHost]:
    """A host of an account that is not root: it may look at less of /proc. pytest's own folders are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    folder.chmod(0o755)
    (folder / "home").mkdir()
    python = folder / "python3"
    python.write_text(
        f"#!/bin/sh\nexport BURNISH_LOCK_DIR={folder}/home/locks\n"
        f'exec setpriv --reuid {OTHER_UID} --regid {OTHER_UID} --clear-groups /usr/bin/python3 "$@"\n'
    )
    python.chmod(0o755)
    os.chown(folder / "home", OTHER_UID, OTHER_UID)
    with OneHost(folder / "home", LocalTransport(str(python))) as host:
        yield host
    remove_with_tenants(folder)


def test_process_whose_first_thread_has_ended_is_found_by_who_is_not_root(other_user: OneHost) -> None:
    (other_user.folder / "headless").write_text(HEADLESS)
    link = other_user.connect()
    pids = str(other_user.folder / "pids")
    attempt = link.start("/usr/bin/python3", str(other_user.folder / "headless"), env={"PIDS": pids})
    running = link.wait_status(attempt, "running")
    wait_for(Path(f"{pids}.ready").exists)
    kill(supervisor_pid(running))
    ended = other_user.connect().cancel(attempt, GRACE)
    assert ended["final"]["lost"]["cancelled"] == "alice"
    assert not alive(job_pid(running))


def test_job_has_not_ended_while_somebody_who_cannot_be_seen_holds_its_lock(other_user: OneHost) -> None:
    """Such as a part of it that became another user."""
    link = other_user.connect()
    attempt = link.start("sleep", "1000")
    running = link.wait_status(attempt, "running")
    lock = max(map(int, os.listdir(f"/proc/{job_pid(running)}/fd")))  # above what any program opens
    held = descriptor_of(job_pid(running), lock)
    assert "/locks/" in os.readlink(f"/proc/self/fd/{held}")
    kill(supervisor_pid(running))
    link = other_user.connect()
    link.send("cancel", attempt=attempt, grace=GRACE, by="alice")
    wait_for(lambda: not alive(job_pid(running)))
    assert other_user.connect().status(attempt)["status"] == "running"
    released = time.time()
    os.close(held)
    assert link.wait_status(attempt, "ended")["final"]["lost"]["ended"] >= released


def descriptor_of(pid: int, number: int) -> int:
    """A descriptor of this process for what is open in another: pidfd_getfd(2)."""
    process = os.pidfd_open(pid)
    descriptor: int = libc.syscall(SYS_PIDFD_GETFD, process, number, 0)
    os.close(process)
    assert descriptor >= 0
    return descriptor


def test_cancel_is_carried_out_although_supervisor_and_agent_die_over_it(host: OneHost) -> None:
    victim = Victim(host, PROGRAMS["deaf"])
    victim.link.ask("cancel", "status", attempt=victim.attempt, grace=1000, by="alice")
    kill(victim.link.pid)
    kill(supervisor_pid(victim.running))
    link = host.connect()
    assert link.statuses()[victim.attempt]["supervised"] is False  # from here on that agent's undertaker is at work
    assert victim.living()
    assert link.cancel(victim.attempt, 0.1)["final"]["lost"]["cancelled"] == "alice"
    assert victim.living() == set()


def test_agent_that_comes_later_carries_out_a_cancel_by_itself(host: OneHost) -> None:
    victim = Victim(host, PROGRAMS["deaf"])
    victim.link.ask("cancel", "status", attempt=victim.attempt, grace=LONGER, by="alice")
    kill(victim.link.pid)  # it would see to it
    kill(supervisor_pid(victim.running))
    link = host.connect()
    link.statuses()
    wait_for(lambda: link.status(victim.attempt)["status"] == "ended")
    assert victim.living() == set()


def test_cancel_wakes_a_stopped_supervisor(host: OneHost) -> None:
    victim = Victim(host, PROGRAMS["plain"])
    os.kill(supervisor_pid(victim.running), signal.SIGSTOP)
    assert victim.link.cancel(victim.attempt, GRACE)["final"]["exit"]["cancelled"] == "alice"


@pytest.mark.parametrize("number", ["TERM", "INT", "HUP", "QUIT", "USR1", "CHLD"])
def test_signals_meant_for_others_do_not_end_a_supervisor(host: OneHost, number: str) -> None:
    victim = Victim(host, PROGRAMS["plain"])
    os.kill(supervisor_pid(victim.running), signal.Signals[f"SIG{number}"])
    os.kill(job_pid(victim.running), signal.SIGTERM)
    ended = victim.link.wait_status(victim.attempt, "ended")
    assert ended["final"]["exit"]["signal"] == signal.SIGTERM
    assert ended["final"]["exit"]["cancelled"] is None


@pytest.mark.parametrize("program", TRACELESS)
def test_what_a_job_leaves_behind_is_ended_and_counted(host: OneHost, program: str) -> None:
    victim = Victim(host, TRACELESS[program].replace("ready; sleep 1000", f"{ALL_NOTED}; ready; exit 7"))
    ended = victim.link.wait_status(victim.attempt, "ended")
    assert ended["final"]["exit"]["code"] == 7
    assert ended["final"]["exit"]["leftovers"] == 1
    assert victim.living() == set()


def test_leftover_that_ignores_term_gets_its_two_seconds(host: OneHost) -> None:
    link = host.connect()
    script = "(trap '' TERM; : >$0; while :; do sleep 0.05; done) & until [ -e $0 ]; do sleep 0.01; done"
    ended = link.run("/bin/sh", "-c", script, str(host.folder / "ready"))
    exit_record = ended["final"]["exit"]
    assert exit_record["code"] == 0 and exit_record["leftovers"] >= 1
    started = ended["start"]["go"]["started"]
    assert time.time() - started - exit_record["duration"] > 1.5, "it is the job's, without its leftovers'"
    assert host.processes() == []
