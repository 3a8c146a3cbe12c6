"""What a run left behind is taken back whole: after reboots, on another machine, after kill -9 in the midst of that itself."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gated import Gated
from tests.support.hosts import Bench, RemoteHost
from tests.support.records import paths
from tests.support.waiting import wait_for

RUN = ("run", "--hosts", "lab.yaml", "--command", "python3 job.py")
LINE = b"x" * 99 + b"\n"
LONG = 60_000_000  # bytes
LONG_JOB = f"import sys; [sys.stdout.buffer.write({LINE!r} * 1000) for _ in range({LONG // len(LINE) // 1000})]"

# burnish, but a coordinator on another machine is gone after three seconds of silence.
HASTY = """
from burnish.store import presence
presence.BEAT, presence.SILENT = 0.5, 3.0
from burnish.cli.main import main
main()
"""
# burnish, but a host that has answered and lets it not in is believed at the third time.
CREDULOUS = """
from burnish.remote import link
link.REFUSALS = 3
from burnish.cli.main import main
main()
"""
# burnish, but that a login failed is forgotten at once, and a minute is no minute.
FORGETFUL = """
from burnish.remote import doorstep, link
doorstep.FORGOTTEN_AFTER, link.SLOWEST_RETRY = 1.0, 1.0
from burnish.cli.main import main
main()
"""
# In a mount namespace of its own, where the kernel tells another boot id: another machine, for all that burnish can see.
ELSEWHERE = 'mount --bind "$0" /proc/sys/kernel/random/boot_id; exec "$@"'


@pytest.fixture
def host(bench: Bench) -> RemoteHost:
    return bench.add("gpu1")


@pytest.fixture
def table(bench: Bench, host: RemoteHost) -> Iterator[Gated]:
    made = Gated.of(bench, 4)
    made.inventory("gpu1", slots=4)
    yield made
    made.stop()


def finish(table: Gated, jobs: int = 4) -> None:
    """Let all jobs end; each has run once, in its first attempt, and its log is whole."""
    table.open(*range(jobs))
    table.burnish(*RUN)
    assert [len(table.ran(job)) for job in range(jobs)] == [1] * jobs
    assert {job["attempt"] for job in table.status().values()} == {f"{job}.1" for job in range(jobs)}
    for job in range(jobs):
        assert table.burnish("view", str(job)).stdout == f"job {job} on gpu1\nthe end of {job}\n"


def final_record(host: RemoteHost, job: int) -> list[Path]:
    return paths(host.home, "final.json", f"{job}.1-")


def test_end_that_nobody_heard_of_survives_a_reboot(table: Gated, host: RemoteHost) -> None:
    table.orphan(4)
    table.open(*range(4))
    wait_for(lambda: all(final_record(host, job) for job in range(4)))
    host.stop()
    host.start()
    finish(table)


def test_taking_back_is_broken_off_again_and_again(table: Gated, host: RemoteHost) -> None:
    table.orphan(4)
    table.open(0)
    wait_for(lambda: final_record(host, 0))
    for tenths in range(2, 14, 2):
        run = table.start(*RUN)
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(tenths / 10)
        run.kill()
        run.wait()
    finish(table)


def test_host_that_lets_nobody_in_any_more_keeps_its_jobs_and_ends_the_run(table: Gated, host: RemoteHost) -> None:
    run = table.start(*RUN, program=CREDULOUS)
    table.wait_running(4)
    keys = host.home / ".ssh" / "authorized_keys"
    ours = keys.read_text()
    keys.write_text("")
    for pid in host.sessions():
        os.kill(pid, 9)
    assert run.wait(60) == 1, table.said()
    assert "gpu1 is not used: " in table.said() and "does not accept the one key that was offered" in table.said()
    assert "Jobs 0-3 run on" in table.said()
    assert table.running_jobs() == dict.fromkeys(range(4), "gpu1")
    keys.write_text(ours)
    finish(table)


def test_host_whose_keys_are_away_for_a_moment_is_used_again(table: Gated, host: RemoteHost) -> None:
    """As when it was rebooted and its home is not mounted yet."""
    run = table.start(*RUN, program=FORGETFUL)
    table.wait_running(4)
    keys = host.home / ".ssh" / "authorized_keys"
    keys.rename(keys.with_name("away"))
    for pid in host.sessions():
        os.kill(pid, 9)
    wait_for(lambda: "Failed publickey" in host.log, lambda: host.log)
    keys.with_name("away").rename(keys)
    table.open(*range(4))
    assert run.wait(60) == 0, table.said()
    assert "is not used" not in table.said()
    finish(table)


def test_another_machine_takes_over_from_the_journal_alone(table: Gated, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"boot{number}").write_text(f"machine-{number}\n")
    table.enter = ("unshare", "--mount", "sh", "-c", ELSEWHERE, str(tmp_path / "boot1"))
    first = table.start(*RUN, program=HASTY)
    table.wait_running(4)
    first.kill()
    first.wait()
    (table.folder / "lab.yaml").unlink()  # it stayed on the other machine
    table.open(*range(4))
    table.enter = (*table.enter[:-1], str(tmp_path / "boot2"))
    second = table.start("wait", program=HASTY, into="second.txt")
    assert second.wait(60) == 0, table.said("second.txt")
    assert [len(table.ran(job)) for job in range(4)] == [1] * 4
    assert {job["state"] for job in table.status().values()} == {"COMPLETE"}
    assert table.burnish("view", "3").stdout == "job 3 on gpu1\nthe end of 3\n"


def test_log_whose_pulling_was_killed_is_whole(table: Gated) -> None:
    (table.folder / "job.py").write_text(LONG_JOB)
    table.burnish("hold", "--job_id", "1-3")

    def at_home() -> int:
        return max((log.stat().st_size for log in (table.folder / "burnish_log").rglob("*_job_0.log")), default=0)

    broken_off = 0
    for share in range(5):
        run = table.start(*RUN)
        wait_for(lambda share=share: at_home() > share * LONG // 6, lambda: f"{at_home()} bytes\n{table.said()}")
        run.kill()
        run.wait()
        broken_off += at_home() < LONG
    assert broken_off > 1
    table.burnish(*RUN)
    (log,) = (table.folder / "burnish_log").rglob("*_job_0.log")
    assert hashlib.sha256(log.read_bytes()).digest() == hashlib.sha256(LINE * (LONG // len(LINE))).digest()
    assert table.status()[0]["attempt"] == "0.1"


@pytest.mark.parametrize("harm", [lambda log: os.truncate(log, 0), os.unlink], ids=["truncated", "deleted"])
def test_log_that_somebody_takes_away_costs_no_verdict(table: Gated, host: RemoteHost, harm: object) -> None:
    run = table.start(*RUN)
    table.wait_running(4)
    (log,) = host.home.rglob("attempts/*/0.1-*/out")
    wait_for(lambda: log.stat().st_size > 0)
    harm(log)  # type: ignore[operator]
    table.open(*range(4))
    assert run.wait(60) == 0, table.said()
    assert {job["reason"] for job in table.status().values()} == {"exit 0"}
    assert table.burnish("view", "1").stdout == "job 1 on gpu1\nthe end of 1\n"
