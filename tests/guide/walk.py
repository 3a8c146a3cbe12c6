"""docs/guide.md, typed as it stands there: sixty trainings over four SSH hosts, of which one lacks what the jobs need.

`make guide` runs it. It takes some minutes, so it is no part of `make test`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sklearn

from tests.support import console
from tests.support.hosts import Bench

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
HOSTS = ["gpu01", "gpu02", "gpu03", "gpu04"]
LACKING = "gpu03"
DAY = 600.0  # s that one command may take

PYTHON = '#!/bin/sh\n{packages}exec /home/python/bin/python3 "$@"\n'


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Bench]:
    """Four hosts that `ssh` knows; scikit-learn is on all but one."""
    bench = Bench(tmp_path)
    mounts = {"python": Path(sys.base_prefix), "packages": Path(sklearn.__file__).parents[1]}
    try:
        for name in HOSTS:
            python = bench.add(name, without="python", mounts=mounts).folder / "tools" / "python3"
            python.write_text(PYTHON.format(packages="" if name == LACKING else "PYTHONPATH=/home/packages "))
            python.chmod(0o755)
        yield bench
    finally:
        bench.close()


@pytest.fixture
def desk(lab: Bench) -> Iterator[Path]:
    """A folder with train.py that every host may enter, and an ssh whose configuration is the bench's."""
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    (folder / "desk").mkdir()
    shutil.copy(ROOT / "test_dir" / "train.py", folder / "desk")
    (folder / "bin").mkdir()
    ssh = folder / "bin" / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {lab.config} "$@"\n')
    ssh.chmod(0o755)
    (folder / "bin" / "burnish").symlink_to(Path(sys.executable).parent / "burnish")
    for path in (folder, folder / "desk"):
        path.chmod(0o777)
    yield folder / "desk"
    if (folder / "desk" / "burnish.db").exists():  # only after a failure: the day ends with a run that is over
        for run in status(folder / "desk")["runs"]:
            os.kill(run["pid"], 9)
        subprocess.run([sys.executable, "-m", "burnish", "cancel", "--all"], cwd=folder / "desk", capture_output=True)
    shutil.rmtree(folder)


def status(folder: Path) -> dict[str, list[dict[str, int]]]:
    command = [sys.executable, "-m", "burnish", "status", "--json"]
    shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[dict[str, int]]] = json.loads(shown)
    return found


def test_the_day_goes_as_the_guide_says(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "DEADLINE", DAY)
    environment = {**os.environ, "HOME": str(desk.parent), "PATH": f"{desk.parent / 'bin'}:{os.environ['PATH']}"}
    shell = console.Shell(desk, environment)
    entries = list(console.typed(PAGE))
    told = [*(entry.command for entry in entries[1:]), ""]
    try:
        for entry, following in zip(entries, told, strict=True):
            output, code = shell.run(entry.command)
            print(f"$ {entry.command}\n{output}")
            missing = console.unmet(entry.shown, output)
            assert missing is None, f"$ {entry.command}\n{output}\nshould have shown: {missing}"
            assert code == 0 or following == "echo $?", f"$ {entry.command}\n{output}\nended with {code}"
    finally:
        shell.close()
