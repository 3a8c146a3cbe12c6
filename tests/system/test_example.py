"""The experiment in test_dir/ trains, reports and fails as its help says; the grid and the functions beside it fit to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from burnish.core import sweep
from burnish.runners.creator import created
from burnish.runners.sources import Call, FunctionSource
from burnish.store import yaml_file

ROOT = Path(__file__).parents[2]
TRAIN = [sys.executable, str(ROOT / "test_dir" / "train.py")]


def train(*arguments: str, result: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **({"BURNISH_RESULT": str(result)} if result else {})}
    return subprocess.run([*TRAIN, *arguments], capture_output=True, text=True, env=env, timeout=120)


@pytest.mark.parametrize("model", ["logreg", "mlp", "svm"])
def test_it_learns_and_reports(model: str, tmp_path: Path) -> None:
    done = train("--model", model, "--lr", "1e-2", "--epochs", "5", "--amp", result=tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    assert "epoch 5/5  accuracy 0.9" in done.stdout
    assert "100%|####################| 5/5" in done.stderr
    assert json.loads((tmp_path / "result.json").read_text())["accuracy"] > 0.85


def test_the_same_seed_gives_the_same_accuracy(tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        assert train("--seed", "3", "--epochs", "2", result=tmp_path / "result.json").returncode == 0
        results.append(json.loads((tmp_path / "result.json").read_text())["accuracy"])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        ("exit", 1, "failing on purpose"),
        ("signal", -signal.SIGKILL, ""),
        ("stderr", 0, "Error: this is warning 99"),
        ("oom", 1, "MemoryError"),
    ],
)
def test_it_fails_on_purpose(how: str, code: int, says: str) -> None:
    done = train("--fail", how)
    assert done.returncode == code
    assert says in done.stderr


def test_it_hangs_on_purpose() -> None:
    with subprocess.Popen([*TRAIN, "--fail", "hang"], stdout=subprocess.PIPE, text=True) as hanging:
        assert hanging.stdout is not None
        assert "training" in hanging.stdout.readline()
        assert "hanging" in hanging.stdout.readline()
        assert hanging.poll() is None
        hanging.terminate()
        assert hanging.wait(60) == -signal.SIGTERM


def test_failing_needs_no_scikit_learn(tmp_path: Path) -> None:
    (tmp_path / "sklearn.py").write_text("raise ImportError('not here')\n")
    (tmp_path / "numpy.py").write_text("raise ImportError('not here')\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([*TRAIN, "--fail", "stderr"], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_grid_and_the_functions_pass_only_arguments_that_it_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    grids = [sweep.expand(yaml_file.load("test_dir/test.yaml")), created("test_dir.example.creator")]
    assert [len(grid.rows) for grid in grids] == [12, 16]
    source = FunctionSource("test_dir.example.runner")
    try:
        for grid in grids:
            cells = dict(zip(grid.columns, grid.rows[-1], strict=True))
            [made] = source.prepare_many([Call({"JOB_ID": "0", "STATE": "NOT_RUNNING", **cells}, {})])
            assert made.argv[:2] == ("python3", "test_dir/train.py")  # type: ignore[union-attr]
            assert train(*made.argv[2:], "--fail", "stderr").returncode == 0  # type: ignore[union-attr]
    finally:
        source.close()
