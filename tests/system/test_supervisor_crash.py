"""SIGKILL at every system call of a supervisor through one launch and one end, and of an agent.

`strace` delivers the signal as the process enters its N-th call of a kind; a first, unharmed run tells which there are. After
each death an agent must find out what happened: the command ran at most once, a verdict is only told by who waited for it, and
nothing stays behind.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from burnish.errors import HostUnreachable
from burnish.remote.agent.records import write_once
from burnish.remote.transport import LocalTransport
from tests.support.agent_client import AgentClient, Frame, LinkEnded, make_spec, new_attempt
from tests.support.one_host import PYTHON, OneHost, one_host, supervisor_pid
from tests.support.waiting import wait_for

EXIT_CODE = 7
# `supervise`, whose guard would take the job with its supervisor: the supervisor is the process that was started.
UNGUARDED = """\
import os, runpy, sys
os.fork = lambda: 0
sys.argv[:] = [sys.argv[1], "supervise", sys.argv[2]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Point(NamedTuple):
    """The `when`-th call of `call` that a process makes."""

    call: str
    when: int


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    assert shutil.which("strace"), "this test needs strace: install the package of that name"
    with one_host(tmp_path) as host:
        yield host


def strace(point: Point | None, log: Path) -> list[str]:
    """The command prefix that kills at `point`, or that writes every call to `log`."""
    if point is None:
        return ["strace", "-f", "-qq", "-o", str(log)]
    inject = [f"trace={point.call}", "-e", f"inject={point.call}:signal=KILL:when={point.when}"]
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", *inject]


def points(log: Path, first: str, process: str | None = None) -> list[Point]:
    """The calls of the process that strace started, from the first one on whose line has `first` in it.

    `process`: how the lines begin; default: with the pid of the first one.
    """
    lines = log.read_text(errors="replace").splitlines()
    main = lines[0].split()[0] + " +" if process is None else process
    counts: Counter[str] = Counter()
    found, begun = [], False
    for line in lines:
        match = re.match(rf"{main}([a-z0-9_]+)\(", line)
        if match:
            counts[match[1]] += 1
            begun = begun or first in line
            if begun:
                found.append(Point(match[1], counts[match[1]]))
    return found


def job(host: OneHost, attempt: str) -> list[str]:
    """An argv that leaves one line in a ledger of its own, and a log."""
    return ["/bin/sh", "-c", f"echo ran >> '{host.folder}/{attempt}.ledger'; echo logged; exit {EXIT_CODE}"]


def runs(host: OneHost, attempt: str) -> int:
    ledger = host.folder / f"{attempt}.ledger"
    return len(ledger.read_text().splitlines()) if ledger.exists() else 0


def settled(link: AgentClient, attempt: str) -> Frame:
    """The status of `attempt` once it cannot change any more; what never started is voided."""

    def look() -> Frame | None:
        status = link.status(attempt)
        if status["status"] in ("unstarted", "absent"):
            status = link.void(attempt)
        return status if status["status"] in ("ended", "void") else None

    return wait_for(look, lambda: str(link.status(attempt)))


def check(host: OneHost, link: AgentClient, attempt: str) -> str:
    """Assert that what the folder says is true. Returns how the attempt ended: exit, lost or void."""
    status = settled(link, attempt)
    final = status.get("final", {"void": ""})
    if final.get("exit", {}).get("code") == EXIT_CODE:
        assert runs(host, attempt) == 1 and final["exit"]["sizes"] == {"out": 7, "err": 0}
        if not (host.folder_of(attempt) / "acked").exists():
            assert link.pull(attempt) == b"logged\n"
    elif "exit" in final:
        assert (
            final["exit"]["signal"] == signal.SIGKILL
        )  # the job made that call itself, and was hit before its supervisor
    assert runs(host, attempt) <= (0 if "void" in final else 1)
    wait_for(lambda: host.processes() == [], host.processes)
    link.start(*job(host, attempt), attempt=attempt)  # a resend changes nothing
    assert link.wait_status(attempt, "ended", "void").get("final") == status.get("final")
    assert link.ack(attempt)["type"] == "pong"
    assert set(os.listdir(host.folder_of(attempt))) <= {"start.json", "final.json", "acked"}
    assert [name for name in os.listdir(host.locks) if attempt in name] == []
    return next(iter(final))


def test_supervisor_killed_at_any_call(host: OneHost) -> None:
    link = host.connect()
    (source,) = host.home.glob("agent-*.py")

    def supervise(point: Point | None) -> str:
        attempt = new_attempt()
        host.folder_of(attempt).mkdir(mode=0o700)
        write_once(host.place(attempt).file("spec.json"), make_spec(*job(host, attempt)))
        command = [*strace(point, log), PYTHON, "-I", "-S", "-c", UNGUARDED, str(source), str(host.folder_of(attempt))]
        subprocess.run(command, timeout=60, start_new_session=True, stdin=subprocess.DEVNULL)
        return attempt

    log = host.folder / "calls"
    assert check(host, link, supervise(None)) == "exit"
    sweep = points(log, first="/spec.json")
    assert len(sweep) > 20
    ends = {point: check(host, link, supervise(point)) for point in sweep}
    # A sweep that killed nobody, or always too late, would prove nothing.
    assert Counter(ends.values())["void"] > 10
    assert ends[Point("symlink", 1)] == "void"
    assert "lost" in ends.values() and "exit" in ends.values()


def test_supervisor_of_several_attempts_killed_at_any_call(host: OneHost) -> None:
    """The supervisor has had an attempt; it is killed in the second, or on its way back from it."""
    link = host.connect()
    log = host.folder / "calls"

    def second(point: Point | None) -> str:
        """The name of the attempt in which one supervisor, which had another, was killed."""
        attempt, supervisor = new_attempt(), supervisor_pid(link.run("true"))
        command = strace(point, log)
        tracer = subprocess.Popen([command[0], *command[2:], "-p", str(supervisor)])  # this process alone
        try:
            wait_for(lambda: traced(supervisor))
            link.start(*job(host, attempt), attempt=attempt)
            settled(link, attempt)
            if point is None:
                wait_for(lambda: "idle-" in log.read_text().rpartition("rename(")[2])
        finally:
            tracer.terminate()
            tracer.wait()
        return attempt

    assert check(host, link, second(None)) == "exit"
    sweep = points(log, first="/out", process="")
    assert len(sweep) > 20
    ends = {point: check(host, link, second(point)) for point in sweep}
    assert Counter(ends.values())["void"] >= 4
    assert ends[Point("symlink", 1)] == "void"
    assert "lost" in ends.values() and "exit" in ends.values()
    assert link.run("true")["final"]["exit"]["code"] == 0


def traced(pid: int) -> bool:
    """True once somebody traces this process."""
    return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()


def test_agent_killed_at_any_call(host: OneHost) -> None:
    wrapper = host.folder / "python"

    def serve(point: Point | None) -> tuple[str, str]:
        """One launch, one end, one ack, one void; until the agent dies."""
        wrapper.write_text(f'#!/bin/sh\nexec {" ".join(strace(point, log))} {PYTHON} "$@"\n')
        wrapper.chmod(0o755)
        attempt, never = new_attempt(), new_attempt()
        try:
            link = host.connect(LocalTransport(str(wrapper)))
        except (HostUnreachable, LinkEnded):
            return attempt, never  # a call that it makes so often came before its first words this time
        try:
            link.run(*job(host, attempt), attempt=attempt)
            link.ack(attempt)
            link.void(never)
        except (HostUnreachable, LinkEnded):
            pass
        link.close()
        return attempt, never

    log = host.folder / "calls"
    first, _ = serve(None)
    assert check(host, host.connect(), first) == "exit"
    sweep = points(log, first=f'mkdir("{host.folder_of(first)}"')
    assert len(sweep) > 15
    ends: Counter[str] = Counter()
    for point in sweep:
        attempt, never = serve(point)
        fresh = host.connect()
        fresh.start(*job(host, attempt), attempt=attempt)  # the coordinator heard nothing, and sends it again
        ends[check(host, fresh, attempt)] += 1
        assert fresh.void(never)["status"] == "void"
        assert check(host, fresh, never) == "void"
        fresh.close()
    assert ends["exit"] > 0 and ends["void"] > 0
