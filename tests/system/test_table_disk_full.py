"""The disk that holds the table is full for a while: nothing is lost, and the run goes on when there is space again."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sweeps import Sweep
from tests.support.waiting import wait_for


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_stops_new_starts_until_there_is_space(tmp_path: Path, small_disk: Path) -> None:
    sweep = Sweep.of(tmp_path, 30, "0.2")
    shutil.move(tmp_path / "burnish.db", small_disk / "burnish.db")
    (tmp_path / "burnish.db").symlink_to(small_disk / "burnish.db")
    run = sweep.start("--num_workers", "2")
    said = tmp_path / "run0.txt"
    wait_for(lambda: len(list((tmp_path / "ledger").iterdir())) > 4, said.read_text)
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    wait_for(lambda: "Nothing new is started; trying again" in said.read_text(), said.read_text, deadline=30)
    started = len(list((tmp_path / "ledger").iterdir()))
    assert run.poll() is None
    ballast.unlink()
    wait_for(lambda: run.poll() is not None, said.read_text, deadline=60)
    assert started < 30
    assert "Traceback" not in said.read_text()
    assert sweep.check() == {"1": 30}
