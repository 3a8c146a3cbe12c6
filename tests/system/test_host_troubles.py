"""A host whose kernel ends jobs for want of memory, or whose disk keeps nothing it promised: verdicts stay true."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.agent_client import make_spec, new_attempt
from tests.support.bad_disks import Refusing, Target
from tests.support.one_host import OneHost, change_agent, one_host, python_under, supervisor_pid
from tests.support.waiting import wait_for


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    with one_host(tmp_path) as host:
        yield host


@pytest.mark.parametrize("kills", [0, 1])
def test_kill_for_want_of_memory_is_told_from_any_other(host: OneHost, kills: int) -> None:
    """The kernel's count of such kills is a file of the test's here."""
    count = host.folder / "vmstat"
    count.write_text("nr_free_pages 1\noom_kill 7\n")
    link = host.connect(
        python_under(host, f"unshare --mount sh -c 'mount --bind {count} /proc/vmstat; exec \"$@\"' python")
    )
    exit_record = link.run("/bin/sh", "-c", f"echo oom_kill {7 + kills} > {count}; kill -9 $$")["final"]["exit"]
    assert exit_record["signal"] == 9
    assert exit_record.get("oom", False) is (kills > 0)


def test_job_is_offered_to_the_kernel_before_its_supervisor(host: OneHost) -> None:
    link = host.connect()
    attempt = link.start("sleep", "1000")
    running = link.wait_status(attempt, "running")

    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    assert score(running["start"]["go"]["pid"]) > score(supervisor_pid(running)) == score(os.getpid())
    link.cancel(attempt)


def test_what_a_job_starts_at_once_is_offered_to_the_kernel_with_it(host: OneHost) -> None:
    link = host.connect()
    for _ in range(20):
        ended = link.run(
            "/bin/sh", "-c", "cat /proc/self/oom_score_adj & wait"
        )  # the shell's child, as early as can be
        assert int(link.pull(ended["attempt"])) > int(Path("/proc/self/oom_score_adj").read_text())


@pytest.mark.parametrize(
    "calls", ["fsync,fdatasync:error=EIO", "fsync,fdatasync:error=EDQUOT", "fallocate:error=EOPNOTSUPP"]
)
def test_disk_that_promises_nothing_changes_no_verdict(host: OneHost, calls: str) -> None:
    host.connect()  # it knows the host; one whose disk is like this at the first contact is not used
    names = calls.partition(":")[0]
    link = host.connect(python_under(host, f"strace -f -qq -o /dev/null -e trace={names} -e inject={calls}"))
    status = link.run(*host.ledger_job("echo logged; exit 7"))
    assert status["final"]["exit"]["code"] == 7 and link.pull(status["attempt"]) == b"logged\n"
    assert host.connect().status(status["attempt"])["final"] == status["final"]
    assert host.runs() == 1


def test_slot_of_a_job_whose_verdict_the_disk_refuses_is_left_to_the_next(
    host: OneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a job that is over at once, nothing was told before. Under strace none is; so what counts as that lasts longer.

    Each second its supervisor tries again, for five seconds.
    """
    change_agent(monkeypatch, (b"\nBRIEF = 0.02 ", b"\nBRIEF = 60.0 "))
    injections = "-e inject=symlink,symlinkat:error=EIO -e inject=link,linkat:error=EIO:when=2..12"
    link = host.connect(
        python_under(host, f"strace -f -qq -o /dev/null -e trace=link,linkat,symlink,symlinkat {injections}")
    )
    leader, follower = link.start("/bin/true"), new_attempt()
    link.send("start", attempt=follower, spec=make_spec(*host.ledger_job()), after=leader)
    link.wait(lambda frame: frame["type"] == "refused" and frame["attempt"] == leader)
    wait_for(lambda: host.runs() == 1)
    assert "final.json" not in os.listdir(host.folder_of(leader))
    for attempt in (leader, follower):
        assert link.wait_status(attempt, "ended")["final"]["exit"]["code"] == 0


@pytest.mark.parametrize(("pad", "why"), [("", "Input/output error"), ("x" * (70 << 10), "its disk refuses")])
def test_verdict_that_the_disk_refuses_is_written_when_it_does_not(host: OneHost, pad: str, why: str) -> None:
    """Both ways to make a record are refused, by an I/O error: the one always, the other for a while, of which is told. With
    `pad`, by a supervisor that has no socket to say why."""
    injections = "-e inject=symlink,symlinkat:error=EIO -e inject=link,linkat:error=EIO:when=2..3"
    link = host.connect(
        python_under(host, f"strace -f -qq -o /dev/null -e trace=link,linkat,symlink,symlinkat {injections}")
    )
    attempt = link.start(*host.ledger_job("exit 7"), env={"PAD": pad})
    told = link.wait(lambda frame: frame["type"] == "refused")
    assert (told["request"], told["attempt"]) == ("record", attempt) and why in told["why"], told
    assert link.wait_status(attempt, "ended")["final"]["exit"]["code"] == 7
    assert host.runs() == 1


@pytest.mark.parametrize("call", ["readlink", "openat"], ids=["record", "folder"])
def test_cancel_whose_record_cannot_be_read_at_once_is_carried_out(host: OneHost, call: str) -> None:
    """The signal for it comes once. Its file server answers with an error for a moment, and nobody signals again."""
    link = host.connect()
    attempt = link.start("sleep", "1000")
    supervisor = supervisor_pid(link.wait_status(attempt, "running"))
    trouble = Refusing("ESTALE:when=1..2", (), call)
    files = [host.folder_of(attempt), host.folder_of(attempt) / "cancel.json"]
    trouble.begin(Target(host.folder, (supervisor,), follow=False, files=files))
    try:
        link.send("cancel", attempt=attempt, grace=1, by="alice")
        assert link.wait_status(attempt, "ended")["final"]["exit"]["cancelled"] == "alice"
    finally:
        trouble.end()
    assert trouble.hit
