"""A file server that no longer knows a file which a supervisor has open, or answers with errors: the verdict is made anyway."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from burnish.remote.agent.files import identity, size_of
from burnish.remote.agent.locks import HELD, lock_state
from burnish.remote.transport import Transport
from tests.support.agent_client import AgentClient, kill
from tests.support.bad_disks import Refusing, Target
from tests.support.one_host import OneHost, one_host, python_under, supervisor_pid
from tests.support.waiting import wait_for

SIZE = "fstat,newfstatat"  # what asks a file of its size, by kernels and C libraries of either age
JOB = """
echo out; echo err >&2; echo '{"loss": 1, "pad": "'$PAD'"}' >$BURNISH_RESULT
read line <$GATE
exit 7
"""
LONG = "x" * 2000  # more than a link holds
NO_FILE = ("ENOSPC:when=1", (), "link,linkat")  # of a verdict that is too long for a link, so that it needs its room


def rooms(host: OneHost) -> Iterator[Path]:
    return host.folder_of("1.1-00000000").parent.parent.glob("room.*")


def room_of(host: OneHost) -> Path:
    """That of the one supervisor."""
    (found,) = rooms(host)
    return found


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    with one_host(tmp_path) as made:
        yield made


@dataclass
class Ended:
    """How a job ended, some system calls of whose supervisor on a file in its folder had an error; and its status."""

    link: AgentClient
    status: dict[str, Any]
    supervisor: int

    @property
    def exit(self) -> dict[str, Any]:
        exit_record: dict[str, Any] = self.status["final"]["exit"]
        return exit_record

    def check_that_the_next_goes_well(self) -> None:
        """With the same supervisor, in which nothing is left over from this."""
        ended = self.link.run("/bin/sh", "-c", "exit 3")
        assert (supervisor_pid(ended), ended["final"]["exit"]["code"]) == (self.supervisor, 3)


@contextmanager
def ending(host: OneHost, pad: str = "", transport: Transport | None = None) -> Iterator[Ended]:
    """A job that is about to end when the context does, and what became of it then. `pad` makes its verdict longer."""
    gate = host.folder / "gate"
    os.mkfifo(gate)
    link = host.connect(transport)
    attempt = link.start("/bin/sh", "-c", JOB, env={"GATE": str(gate), "PAD": pad})
    supervisor = supervisor_pid(link.wait_status(attempt, "running"))
    wait_for(lambda: size_of(str(host.folder_of(attempt) / "result.json")))
    ended = Ended(link, {"attempt": attempt}, supervisor)
    yield ended
    gate.write_text("go on\n")
    ended.status = link.wait_status(attempt, "ended")


def end(host: OneHost, file: str, calls: str, error: str = "ESTALE") -> Ended:
    """Some system calls of the supervisor on `file`, in its folder, have an error from the job's end on."""
    trouble = Refusing(error, (), calls)
    try:
        with ending(host) as ended:
            found = host.folder_of(ended.status["attempt"]) / file
            trouble.begin(Target(host.folder, (ended.supervisor,), follow=False, files=[found]))
    finally:
        trouble.end()
    assert trouble.hit
    return ended


@pytest.mark.parametrize("log", ["out", "err"])
@pytest.mark.parametrize("error", ["ESTALE", "EIO"])
def test_log_that_cannot_be_asked_for_its_size_costs_no_verdict(host: OneHost, log: str, error: str) -> None:
    """Then its size is whatever the file there has, when somebody wants to know."""
    ended = end(host, log, SIZE, error)
    assert (ended.exit["code"], ended.exit["result"], ended.exit["sizes"]) == (7, {"loss": 1, "pad": ""}, {})
    assert ended.link.pull(ended.status["attempt"], log) == f"{log}\n".encode()
    ended.check_that_the_next_goes_well()


@pytest.mark.parametrize("calls", ["read", SIZE, "openat"])
def test_result_that_cannot_be_read_is_said_and_costs_no_verdict(host: OneHost, calls: str) -> None:
    ended = end(host, "result.json", calls)
    assert ended.exit["code"] == 7 and "result" not in ended.exit
    assert "Stale file handle" in ended.exit["result_error"]
    ended.check_that_the_next_goes_well()


@pytest.mark.parametrize("file", ["out", "err", "result.json"])
def test_error_at_the_close_of_a_file_costs_no_supervisor(host: OneHost, file: str) -> None:
    """So NFS says that it could not keep what was written."""
    ended = end(host, file, "close", "EIO")
    assert ended.exit["code"] == 7
    ended.check_that_the_next_goes_well()


def test_room_for_the_verdict_is_kept_for_the_next_one_and_goes_with_its_supervisor(host: OneHost) -> None:
    link = host.connect()
    link.run("/bin/true")
    room = identity(str(room_of(host)))
    link.run("/bin/true")
    assert identity(str(room_of(host))) == room
    link.close()
    wait_for(lambda: not list(rooms(host)))


def test_room_that_somebody_removed_is_made_anew_for_the_next_one(host: OneHost) -> None:
    link = host.connect()
    link.run("/bin/true")
    room_of(host).unlink()
    link.run("/bin/true")
    room_of(host)


def test_room_of_a_supervisor_that_was_killed_goes_when_the_host_is_reached_and_no_other(host: OneHost) -> None:
    link = host.connect()
    kill(supervisor_pid(link.wait_status(link.start("sleep", "1000"), "running")))
    left = room_of(host)
    link.run("/bin/true")
    assert len(list(rooms(host))) == 2
    host.connect()
    assert room_of(host) != left


def end_in_room(host: OneHost, room: Callable[[Path], object]) -> Ended:
    """The verdict is made of the room, with which `room` does something before the job ends."""
    trouble = Refusing(*NO_FILE)
    try:
        with ending(host, LONG) as ended:
            room(room_of(host))
            trouble.begin(Target(host.folder, (ended.supervisor,), follow=False))
    finally:
        trouble.end()
    assert trouble.hit
    assert ended.exit["code"] == 7 and ended.exit["result"]["pad"] == LONG
    assert host.record(ended.status["attempt"], "final.json") == ended.status["final"]
    return ended


def test_room_that_became_a_verdict_is_made_anew_for_the_next(host: OneHost) -> None:
    before: list[Path] = []
    ended = end_in_room(host, before.append)
    assert not list(rooms(host))
    ended.link.run("/bin/true")
    assert [room_of(host)] == before


def test_room_for_the_verdict_that_somebody_took_is_made_anew(host: OneHost) -> None:
    """Something else has its name, and would be taken for a verdict that was damaged."""
    other = host.folder / "other"
    other.touch()
    end_in_room(host, other.rename)


def test_room_for_the_verdict_that_cannot_be_made_anew_at_once_costs_none(host: OneHost) -> None:
    """On a disk that has no symbolic links and refuses the file."""
    refused = "symlink,symlinkat:error=EPERM", "link,linkat:error=ENOSPC:when=2", "fallocate:error=ENOSPC:when=2"
    injected = " ".join(f"-e inject={each}" for each in refused)
    strace = python_under(
        host, f"strace -f -qq -o /dev/null -e trace=symlink,symlinkat,link,linkat,fallocate {injected}"
    )
    with ending(host, transport=strace) as ended:
        room_of(host).unlink()
    assert ended.exit["code"] == 7 and "No space left" in ended.exit["result_error"]


def test_folder_that_cannot_be_looked_up_was_not_removed(host: OneHost) -> None:
    """Its file server refuses the record for a while, and then to say whether the folder is there."""
    trouble = Refusing("EIO:when=1..4", (), f"symlink,symlinkat,link,linkat,{SIZE},stat,lstat")
    try:
        with ending(host) as ended:
            folder = host.folder_of(ended.status["attempt"])
            trouble.begin(Target(host.folder, (ended.supervisor,), follow=False, files=[folder, folder / "final.json"]))
    finally:
        trouble.end()
    assert trouble.hit and ended.exit["code"] == 7


def test_size_that_cannot_be_asked_is_not_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its host takes for empty is never brought home, and thrown away there."""
    assert size_of(str(tmp_path / "none")) == size_of(str(Path(__file__) / "none")) == 0

    def stat(path: bytes) -> os.stat_result:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(os, "stat", stat)
    assert size_of("log") is None


def test_job_whose_folder_was_wiped_with_its_table_ends(host: OneHost) -> None:
    """`clean` has put a file where the table's folder was."""
    gate = host.folder / "gate"
    os.mkfifo(gate)
    link = host.connect()
    attempt = link.start("/bin/sh", "-c", "read line <$GATE", env={"GATE": str(gate)})
    link.wait_status(attempt, "running")
    shutil.rmtree(host.folder_of(attempt).parent)
    host.folder_of(attempt).parent.write_text("")
    gate.write_text("go on\n")
    wait_for(lambda: lock_state(host.place(attempt).lock) != HELD)
