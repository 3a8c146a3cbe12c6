"""The disk that holds the table refuses for a while: nothing is lost, and the run goes on when it does not any more."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.sweeps import Sweep
from tests.support.waiting import wait_for


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=400", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill_with_bytes(ballast: Path) -> None:
    with (ballast / "file").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)


def fill_with_files(ballast: Path) -> None:
    with pytest.raises(OSError, match="No space"):
        for number in range(1000):
            (ballast / str(number)).touch()


@pytest.mark.parametrize("fill", [fill_with_bytes, fill_with_files])
def test_a_full_disk_stops_new_starts_until_there_is_space(
    tmp_path: Path, small_disk: Path, fill: Callable[[Path], None]
) -> None:
    sweep = Sweep.of(tmp_path, 30, "0.5")
    shutil.move(tmp_path / "burnish.db", small_disk / "burnish.db")
    (tmp_path / "burnish.db").symlink_to(small_disk / "burnish.db")
    run = sweep.start("--num_workers", "2")
    said = tmp_path / "run0.txt"
    wait_for(lambda: len(list((tmp_path / "ledger").iterdir())) > 4, said.read_text)
    ballast = small_disk / "ballast"
    ballast.mkdir()
    fill(ballast)
    wait_for(lambda: "Nothing new is started; trying again" in said.read_text(), said.read_text)
    started = len(list((tmp_path / "ledger").iterdir()))
    assert run.poll() is None
    shutil.rmtree(ballast)
    wait_for(lambda: run.poll() is not None, said.read_text, deadline=60)
    assert started < 30
    assert "Traceback" not in said.read_text()
    assert sweep.check() == {"1": 30}


@pytest.mark.parametrize("call", ["linkat", "fsync"])
@pytest.mark.parametrize("error", ["EDQUOT", "EROFS", "EIO"])
def test_a_disk_that_refuses_for_a_while_costs_no_start_and_no_verdict(tmp_path: Path, call: str, error: str) -> None:
    """A quota, a disk that the kernel has made read-only, one with a bad sector; refused is the loop's thread alone."""
    sweep = Sweep.of(tmp_path, 10, "0.2")
    done, said = refused(sweep, f"{call}:error={error}:when=5..12")
    try:
        assert done.returncode == 1 and "Traceback" not in said, said
        assert sweep.check() == {"1": 10}
    finally:
        sweep.stop()


@pytest.mark.parametrize("error", ["ESTALE", "EIO"])
def test_a_journal_that_cannot_be_read_for_a_while_costs_no_start_and_no_verdict(tmp_path: Path, error: str) -> None:
    """As when a file server starts anew."""
    sweep = Sweep.of(tmp_path, 10, "0.2")
    log = tmp_path / ".burnish" / "burnish.db" / "log"
    done, said = refused(sweep, f"getdents64:error={error}:when=5..8", "-P", str(log / "00000"))
    try:
        assert "Trying again. Running jobs go on." in said or "Nothing new is started" in said, said
        assert done.returncode == 1 and "Traceback" not in said, said
        assert sweep.check() == {"1": 10}
    finally:
        sweep.stop()


def test_a_table_that_cannot_be_written_in_the_end_is_no_success_and_costs_no_word(tmp_path: Path) -> None:
    """The journal has it."""
    (tmp_path / "burnish.db").write_text("JOB_ID,STATE\n0,NOT_RUNNING\n1,NOT_RUNNING\n")
    sweep = Sweep(tmp_path)
    assert sweep.burnish("status").returncode == 0
    ends = tmp_path / "ends"
    more = ["--on_event", f"echo $BURNISH_EVENT >>{ends}", "--num_workers", "1"]
    done, said = refused(sweep, "renameat2:error=EIO:when=1+", run=["run", "--command", "true", *more])
    assert done.returncode == 1, said
    assert "burnish status shows what the table lacks; the next run writes it." in said and "2 of 2 done" in said, said
    assert "sweep_done" in ends.read_text()
    assert "2 COMPLETE" in sweep.burnish("status").stdout
    assert sweep.burnish("run", "--command", "true").returncode == 0
    assert (tmp_path / "burnish.db").read_text().count("COMPLETE") == 2


def refused(
    sweep: Sweep, inject: str, *more: str, run: Sequence[str] = ()
) -> tuple[subprocess.CompletedProcess[bytes], str]:
    """A run whose loop's thread is refused a system call, and what it said."""
    trace, said = sweep.folder / "trace", sweep.folder / "said"
    call = inject.partition(":")[0]
    command = ["strace", "-qq", "-o", str(trace), "-e", f"trace={call}", "-e", f"inject={inject}", *more]
    command += [sys.executable, "-m", "burnish", *(run or [*sweep.command, "--num_workers", "2"])]
    with said.open("w") as file:
        done = subprocess.run(command, cwd=sweep.folder, env=sweep.environment, stdout=file, stderr=file, timeout=120)
    assert "INJECTED" in trace.read_text(), "it was not refused anything"
    return done, said.read_text()
