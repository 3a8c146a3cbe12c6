"""A host whose disk is full: nothing is started and said to run, no verdict is lost, a cancel still works, and it recovers."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from burnish.core.jobs import HostName
from burnish.core.reports import HostDropped, Report
from burnish.remote.link import Link
from tests.support.agent_client import sizes_of
from tests.support.bad_disks import Full, Target
from tests.support.one_host import TABLE, OneHost, job_pid, one_host, supervisor_pid
from tests.support.proc import alive
from tests.support.waiting import wait_for


@pytest.fixture
def host(tmp_path: Path) -> Iterator[OneHost]:
    """Its state folder is a disk of 384 KiB; its locks and the ledger lie elsewhere."""
    disk = tmp_path / "state"
    disk.mkdir()
    # A mount needs root, which the hosts of the contract tests need too.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=384k,mode=0700", "tmpfs", str(disk)], check=True)
    try:
        with one_host(tmp_path) as host:
            yield host
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(host: OneHost) -> Path:
    """Take all the space there is. Removing the file gives it back."""
    file = host.state_dir / "fill"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        os.close(descriptor)
    return file


def test_full_disk_of_the_locks_costs_no_verdict(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    locks.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(locks)], check=True)
    try:
        with one_host(tmp_path) as host:
            link = host.connect()
            with contextlib.suppress(OSError), open(locks / "fill", "wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            for code in (3, 4):
                assert link.run(*host.ledger_job(f"exit {code}"))["final"]["exit"]["code"] == code
            (idle,) = (path for path in locks.iterdir() if path.name != "fill")
            assert idle.name.startswith("idle-"), "a lock that the supervisor keeps, from one to the next"
    finally:
        subprocess.run(["umount", "-l", str(locks)], check=True)


def test_nothing_is_started_and_the_reason_is_told(host: OneHost) -> None:
    link = host.connect()
    filling = fill(host)
    status = link.run(*host.ledger_job())
    assert status["status"] == "void"
    why = f"{host.folder_of(status['attempt'])}: the disk is full"
    assert status["start"]["void"] == {"why": why, "trouble": True}
    assert not list(host.state_dir.glob("*/attempts/room.*")), "a file for which there is no room"
    assert host.connect().status(status["attempt"])["status"] == "void"
    assert host.runs() == 0 and host.processes() == []
    filling.unlink()
    assert link.run(*host.ledger_job(), attempt=status["attempt"])["status"] == "void"
    assert link.run(*host.ledger_job())["final"]["exit"]["code"] == 0
    assert host.runs() == 1


def test_a_supervisor_that_has_room_for_a_verdict_starts_nothing_either(host: OneHost) -> None:
    link = host.connect()
    assert link.run("/bin/true")["status"] == "ended"
    fill(host)
    status = link.run(*host.ledger_job())
    assert status["start"]["void"] == {"why": f"{host.folder_of(status['attempt'])}: the disk is full", "trouble": True}
    assert host.runs() == 0


def test_verdict_of_a_job_that_filled_the_disk_is_kept(host: OneHost) -> None:
    link = host.connect()
    status = link.run("/bin/sh", "-c", "cat /dev/zero; exit 3")
    assert status["final"]["exit"]["code"] == 3
    assert sizes_of(status)["out"] > 100_000
    assert len(link.pull(status["attempt"])) == sizes_of(status)["out"]


def test_what_is_put_away_makes_room_for_the_mark_of_that(tmp_path: Path) -> None:
    """No more files can be made, before its own are removed."""
    disk = tmp_path / "state"
    disk.mkdir()
    trouble = Full("tmpfs", files=True)
    trouble.lay(disk, 2 << 20)
    try:
        with one_host(tmp_path) as host:
            link = host.connect()
            attempt = link.run("/bin/sh", "-c", "echo a")["attempt"]
            trouble.begin(Target(disk))
            assert link.ack(attempt)["type"] == "pong"
            assert sorted(os.listdir(host.folder_of(attempt))) == ["acked", "final.json", "start.json"]
            trouble.end()
    finally:
        trouble.clear(disk)


def test_verdict_is_kept_without_a_result_for_which_there_is_no_room(host: OneHost) -> None:
    link = host.connect()
    script = """printf '{"pad": "%060000d"}' 0 > $BURNISH_RESULT; cat /dev/zero; exit 3"""
    exit_record = link.run("/bin/sh", "-c", script)["final"]["exit"]
    assert exit_record["code"] == 3
    assert "result" not in exit_record and "No space left" in exit_record["result_error"]


@pytest.mark.parametrize("supervised", [True, False])
def test_job_on_a_full_disk_can_be_cancelled(host: OneHost, supervised: bool) -> None:
    link = host.connect()
    attempt = link.start("sleep", "1000")
    running = link.wait_status(attempt, "running")
    fill(host)
    if not supervised:
        os.kill(supervisor_pid(running), 9)
        wait_for(lambda: not alive(supervisor_pid(running)))
    final = link.cancel(attempt)["final"]
    if supervised:
        assert final["exit"]["cancelled"] == "alice"
    else:
        assert "lost" in final
    assert not alive(job_pid(running))


def test_host_whose_disk_is_full_is_asked_again_and_not_turned_away(host: OneHost) -> None:
    filling = fill(host)
    heard: list[Report] = []
    link = Link(HostName("here"), host.transport, TABLE, str(host.state_dir), heard.append)
    link.start()
    try:
        wait_for(lambda: heard, lambda: heard)
        assert isinstance(heard[0], HostDropped) and f"{host.home}: No space left" in heard[0].why, heard
        filling.unlink()
        wait_for(lambda: link.up, lambda: heard)
    finally:
        link.close()
