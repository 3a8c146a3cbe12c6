"""The least that a program of burnish's parts does for a job, in Python: below this, none of it can be had in that language.

A coordinator commits each claim before the job starts, and its end before its slot is given again (a file of facts, synced, and
the name that makes it a commit, synced). An agent hands orders on. Supervisors, which outlive both, hold the job's lock, record
its start and its verdict once, and run it with its output in files. That is all: nothing is checked or looked at again, no table
is kept, and nothing can be edited, cancelled, taken back, or run on another host.

Usage: `python benchmarks/minimal.py FOLDER JOBS WORKERS`; prints what each part, and the jobs themselves, have used in all, as
JSON: [s outside the kernel, s in it]. `benchmarks/steps.py` sets burnish beside it.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LARGEST = 1 << 16  # bytes of a message
TICK = os.sysconf("SC_CLK_TCK")
_text_of = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode


def encode(value: object) -> bytes:
    return _text_of(value).encode()


def framed(value: object) -> bytes:
    text = encode(value)
    return struct.pack(">I", len(text)) + text


class Frames:
    """What comes through a pipe, cut into messages."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._rest = b""

    def read(self) -> Iterator[Any]:
        """Those that have come, once there is something; none at the end."""
        data = self._rest + os.read(self._pipe, LARGEST)
        begin = 0
        while len(data) >= begin + 4 and len(data) >= (
            end := begin + 4 + int.from_bytes(data[begin : begin + 4], "big")
        ):
            yield json.loads(data[begin + 4 : end])
            begin = end
        self._rest = data[begin:]


# -- the parts -----------------------------------------------------------------------------------------------------


def supervise(orders: socket.socket, attempts: str) -> None:
    """One job after the other, for as long as there is an agent."""
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    environment = dict(os.environb)
    room = os.open(f"{attempts}/room.{os.getpid()}", os.O_WRONLY | os.O_CREAT, 0o600)  # for a verdict on a full disk
    os.posix_fallocate(room, 0, 4096)
    while message := orders.recv(LARGEST):
        order = json.loads(message)
        folder = f"{attempts}/{order['attempt']}"
        lock = os.open(f"{folder}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.mkdir(folder)
        out, err = (os.open(order[stream], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666) for stream in ("out", "err"))
        os.chdir(order["cwd"])
        started = time.time()
        os.symlink(encode({"started": started, "supervisor": os.getpid()}), f"{folder}/start.json")
        pid = os.posix_spawn(
            order["argv"][0],
            order["argv"],
            environment | {name.encode(): value.encode() for name, value in order["env"].items()},
            setsid=True,
            setsigmask=(),
            file_actions=[(os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, err, 2)],
        )
        orders.send(encode({"attempt": order["attempt"], "pid": pid}))
        _, status, usage = os.wait4(pid, 0)
        sizes = {"out": os.fstat(out).st_size, "err": os.fstat(err).st_size}
        code = os.waitstatus_to_exitcode(status)
        final = {"code": code, "started": started, "ended": time.time(), "max_rss": usage.ru_maxrss, "sizes": sizes}
        os.symlink(encode(final), f"{folder}/final.json")
        for descriptor in (out, err, lock):
            os.close(descriptor)
        os.unlink(f"{folder}.lock")
        orders.send(encode({"attempt": order["attempt"], "final": final}))


def serve(orders: int, news: int, attempts: str, workers: int) -> None:
    """The agent: each order to an idle supervisor, and what these say back."""
    os.setsid()
    crew: dict[int, socket.socket] = {}
    frames, poll = Frames(orders), select.poll()
    poll.register(orders, select.POLLIN)
    for _ in range(workers):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            for descriptor in (orders, news, ours.fileno(), *crew):
                os.close(descriptor)
            supervise(theirs, attempts)
            os._exit(0)
        theirs.close()
        crew[ours.fileno()] = ours
        poll.register(ours, select.POLLIN)
    idle = list(crew.values())
    while True:
        told = []
        for descriptor, _ in poll.poll():
            if descriptor != orders:
                said = json.loads(crew[descriptor].recv(LARGEST))
                told.append(framed(said))
                if "final" in said:
                    idle.append(crew[descriptor])
                continue
            asked = list(frames.read())
            if not asked:
                return
            for order in asked:
                idle.pop().send(encode(order))
        if told:
            os.write(news, b"".join(told))


def coordinate(folder: str, jobs: int, workers: int, orders: int, news: int) -> None:
    """Claims, commits, orders, and ends that are committed, until each job has run."""
    journal = os.open(f"{folder}/journal", os.O_RDONLY)
    frames = Frames(news)
    waiting = iter(range(jobs))
    idle, ended, commits = workers, 0, 0
    facts: list[dict[str, Any]] = []
    while ended < jobs:
        claimed = []
        for _, job in zip(range(idle), waiting, strict=False):
            logs = {stream: f"{folder}/logs/{job}.{stream}" for stream in ("out", "err")}
            env = {"BURNISH_JOB_ID": str(job), "BURNISH_ATTEMPT": "1"}
            name = f"{job}.1-{os.urandom(4).hex()}"
            claimed.append({"attempt": name, "argv": ["/bin/true"], "env": env, "cwd": folder, **logs})
            facts.append({"claimed": name, "argv": ["/bin/true"], "at": time.time()})
        idle -= len(claimed)
        if facts:
            commits += 1
            commit(f"{folder}/journal", journal, commits, facts)
            facts.clear()
        os.write(orders, b"".join(map(framed, claimed)))
        for said in frames.read():
            if "final" in said:
                facts.append(said)
                ended, idle = ended + 1, idle + 1
    commit(f"{folder}/journal", journal, commits + 1, facts)


def commit(folder: str, descriptor: int, number: int, facts: list[dict[str, Any]]) -> None:
    made = os.open(f"{folder}/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(made, b"\n".join(map(encode, facts)))
    os.fsync(made)
    os.close(made)
    os.rename(f"{folder}/new", f"{folder}/{number}")
    os.fsync(descriptor)


# -- what they use -------------------------------------------------------------------------------------------------


def used(*pids: int, first: int = 11) -> list[float]:
    """Seconds outside the kernel, and in it, of these processes; with `first` 13, of the children that they waited for."""
    told = [Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split() for pid in pids]
    return [sum(int(fields[which]) for fields in told) / TICK for which in (first, first + 1)]


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> None:
    folder, jobs, workers = os.path.abspath(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    for name in ("attempts", "journal", "logs"):
        os.makedirs(f"{folder}/{name}")
    orders, to_agent = os.pipe()
    from_agent, news = os.pipe()
    agent = os.fork()
    if agent == 0:
        os.close(to_agent)
        os.close(from_agent)
        serve(orders, news, f"{folder}/attempts", workers)
        os._exit(0)
    os.close(orders)
    os.close(news)
    before = used(os.getpid())
    coordinate(folder, jobs, workers, to_agent, from_agent)
    mine = [now - then for now, then in zip(used(os.getpid()), before, strict=True)]
    supervisors = children(agent)
    parts = {"coordinator": mine, "agent": used(agent), "supervisors": used(*supervisors)}
    print(json.dumps({**parts, "jobs": used(*supervisors, first=13)}))
    os.close(to_agent)
    os.waitpid(agent, 0)


if __name__ == "__main__":
    main()
