"""The README's commands for more machines, typed as they stand there: the digits sweep over four SSH hosts with two GPUs each."""

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

from tests.support import console, gpus
from tests.support.hosts import Bench
from tests.support.removing import remove_with_tenants

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## More machines\n")[2].partition("\n## ")[0]
HOSTS = ["gpu01", "gpu02", "gpu03", "gpu04"]

# Where the hosts have scikit-learn: this machine's.
PYTHON = '#!/bin/sh\nPYTHONPATH=/home/packages exec /home/python/bin/python3 "$@"\n'


@pytest.fixture
def lab(bench: Bench, tmp_path: Path) -> Bench:
    """Four hosts that `ssh` knows, with scikit-learn."""
    gpus.write(tmp_path / "cards", gpus.cards(2))
    mounts = {"python": Path(sys.base_prefix), "packages": Path(sklearn.__file__).parents[1]}
    for name in HOSTS:
        host = bench.add(name, without="python", gpus=tmp_path / "cards", mounts=mounts)
        (host.folder / "tools" / "python3").write_text(PYTHON)
        (host.folder / "tools" / "python3").chmod(0o755)
    return bench


@pytest.fixture
def tour(lab: Bench) -> Iterator[Path]:
    """A copy of test_dir that every host may enter, and an ssh whose configuration is the bench's."""
    folder = Path(tempfile.mkdtemp(prefix="burnish-test-"))
    shutil.copytree(
        ROOT / "test_dir", folder / "tour", ignore=shutil.ignore_patterns("__pycache__", "burnish*", ".burnish")
    )
    (folder / "bin").mkdir()
    ssh = folder / "bin" / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {lab.config} "$@"\n')
    ssh.chmod(0o755)
    (folder / "bin" / "burnish").symlink_to(Path(sys.executable).parent / "burnish")
    for path in (folder, folder / "tour"):
        path.chmod(0o777)
    yield folder / "tour"
    remove_with_tenants(folder)


def test_the_digits_sweep_over_four_hosts_as_the_readme_says(tour: Path) -> None:
    environment = {**os.environ, "HOME": str(tour.parent), "PATH": f"{tour.parent / 'bin'}:{os.environ['PATH']}"}
    entries = list(console.typed(SECTION))
    assert "burnish run --hosts hosts/lab.yaml --func example.runner" in [entry.command for entry in entries]
    shell = console.Shell(tour, environment)
    try:
        for entry in entries:
            output, code = shell.run(entry.command)
            missing = console.unmet(entry.shown, output)
            assert missing is None, f"$ {entry.command}\n{output}\nshould have shown: {missing}"
            assert code == 0, f"$ {entry.command}\n{output}\nended with {code}"
    finally:
        shell.close()
    command = [sys.executable, "-m", "burnish", "status", "--json"]
    shown = subprocess.run(command, cwd=tour, env=environment, capture_output=True, text=True, check=True).stdout
    jobs = json.loads(shown)["jobs"]
    assert {job["host"] for job in jobs} == set(HOSTS)
    assert all(job["result"]["accuracy"] > 0.5 for job in jobs)
