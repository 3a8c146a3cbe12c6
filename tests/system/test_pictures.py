"""What a person sees of a sweep while it goes on, as whole pictures: the foot of a run, `status --watch` and `hosts --watch`.

The pictures are the files of tests/data/terminal, each as a real terminal of 40 or of 200 columns shows it; `…` stands for
anything within a line. Where one is not met, the test shows the screen: for a person to read before it becomes the picture.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import gpus, wait_for
from support.editors import Terminal

PICTURES = Path(__file__).parent.parent / "data" / "terminal"
BURNISH = [sys.executable, "-m", "burnish"]
RUN = ["run", "--hosts", "lab.yaml", "--command", "sh job.sh {--seed}"]

# The third fails, the last goes on until it is told to end.
JOB = 'echo "warning: $1" >&2; [ "$1" != 2 ] || exit 3; while [ "$1" = 5 ] && [ ! -e end ]; do sleep 0.05; done'


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a table of six jobs, and an inventory with two workers of this machine."""
    (tmp_path / "job.sh").write_text(JOB)
    rows = "".join(f"{seed},adamw,cosine\n" for seed in range(6))
    (tmp_path / "jobs.csv").write_text(f"--seed,--optimizer,--schedule\n{rows}")
    (tmp_path / "lab.yaml").write_text("hosts: {workstation: {connection: local, slots: 2, gpus: none}}\n")
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(
        [*BURNISH, "create", "--csv", "jobs.csv"], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    yield tmp_path
    (tmp_path / "end").touch()


@pytest.fixture
def going(folder: Path) -> Iterator[Path]:
    """The folder, while a run is at its last job."""
    environment = {**os.environ, "HOME": str(folder)}
    with subprocess.Popen([*BURNISH, *RUN], cwd=folder, env=environment, stderr=subprocess.DEVNULL) as run:
        try:
            table = folder / "burnish.db"
            wait_for(
                lambda: table.read_text().count(",COMPLETE,") == 4 and "5,RUNNING" in table.read_text(), table.read_text
            )
            yield folder
        finally:
            (folder / "end").touch()
            assert run.wait(60) == 1


def drawn(folder: Path, columns: int, command: list[str], picture: str, begins: str) -> None:
    """Type the command, and wait until the screen is as the picture from the line on that `begins` so."""
    expected = (PICTURES / f"{picture}-{columns}").read_text().rstrip("\n")
    pattern = re.compile(re.escape(expected).replace("…", ".*"))
    terminal = Terminal(folder / "tmux", ["env", "-C", str(folder), "PS1=> ", "bash", "--norc", "--noprofile"])

    def seen() -> str:
        text = "\n".join(line.rstrip() for line in terminal.screen.splitlines()).rstrip("\n")
        text = re.sub(r"^Run: .*\n(?:  .*\n)*", "Run: …\n", text, flags=re.MULTILINE)  # as long as the machine's name
        return text[max(0, text.find(begins)) :]

    try:
        terminal.resize(columns)
        terminal.shows(">")
        terminal.type(
            f"clear; {subprocess.list2cmdline([*BURNISH, *command])}; echo code $?".replace('"', "'"), "Enter"
        )
        wait_for(lambda: pattern.fullmatch(seen()), lambda: f"{seen()}\n\nand not\n\n{expected}")
        terminal.type("C-c")
        terminal.shows("code 130")
    finally:
        terminal.end()


@pytest.mark.parametrize("columns", [40, 200])
def test_foot_of_a_run(folder: Path, columns: int) -> None:
    drawn(folder, columns, RUN, "run", "job 2 ERROR")


@pytest.mark.parametrize("columns", [40, 200])
def test_status_that_is_watched(going: Path, columns: int) -> None:
    drawn(going, columns, ["status", "--watch"], "status", "6 jobs: ")


@pytest.mark.parametrize("columns", [40, 200])
def test_hosts_that_are_watched(going: Path, columns: int) -> None:
    drawn(going, columns, ["hosts", "lab.yaml", "--watch"], "hosts", "1 host")


@pytest.mark.parametrize("columns", [40, 200])
def test_gpus_that_are_watched(folder: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = gpus.Card(number=1, bus=0x10, used=24_300, util=97, processes=[(os.getpid(), 24_200)])
    gpus.write(folder / "gpus", [busy, gpus.Card(number=2, bus=0x20)])
    (folder / "bin").mkdir()
    (folder / "bin" / "nvidia-smi").write_text(
        f'#!/bin/sh\nFAKE_GPUS={folder}/gpus exec {gpus.FAKES}/nvidia-smi "$@"\n'
    )
    (folder / "bin" / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    (folder / "lab.yaml").write_text("hosts: {workstation: {connection: local, slots: 2}}\n")
    subprocess.run([*BURNISH, "drain", "workstation", "--hosts", "lab.yaml", "--reason", "fan"], cwd=folder, check=True)
    drawn(folder, columns, ["hosts", "lab.yaml", "--watch"], "gpus", "1 host")
