"""Does each guard have a test that misses it? Takes one guard away at a time, in a copy, and expects red.

The guards stand in the YAML files beside this one: a name, a file, its text `old`, what it becomes (`new`), and the `test`
that must notice. Usage: `python tests/sabotage/run.py [part of a name …]`. Ends with 1 when a test stayed green, or was red
before.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 300  # s for one test
COPIED = ("burnish", "tests", "test_dir", "hosts", "docs", "scripts", "pyproject.toml", "README.md", "LICENSE")


@dataclass(frozen=True)
class Guard:
    """`old` occurs once in `file`; with `new` in its place, pytest's `test` must fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


def guards() -> Iterator[Guard]:
    """All guards of all YAML files here."""
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            yield Guard(**entry)


def copy_to(target: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, target / name)


def outcome(folder: Path, test: str) -> int:
    """pytest's exit status of one test in `folder`: 0 green, 1 red, more: it could not be run; -1: it took too long."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    try:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=LIMIT).returncode
    except subprocess.TimeoutExpired:
        return -1


def sabotaged(folder: Path, guard: Guard) -> int:
    file = folder / guard.file
    whole = file.read_text(encoding="utf-8")
    if whole.count(guard.old) != 1:
        return 4
    file.write_text(whole.replace(guard.old, guard.new), encoding="utf-8")
    try:
        return outcome(folder, guard.test)
    finally:
        file.write_text(whole, encoding="utf-8")


def main(wanted: list[str]) -> int:
    chosen = [guard for guard in guards() if not wanted or any(part in guard.name for part in wanted)]
    failures = 0
    with tempfile.TemporaryDirectory(prefix="sabotage-") as name:
        folder = Path(name)
        copy_to(folder)
        healthy = {test: outcome(folder, test) for test in dict.fromkeys(guard.test for guard in chosen)}
        for guard in chosen:
            if healthy[guard.test] != 0:
                verdict = "FAILED: the test is not green to begin with"
            else:
                # A test that hangs without its guard has noticed too: its own deadlines are shorter than ours.
                noticed = sabotaged(folder, guard) in (1, -1)
                verdict = "noticed" if noticed else "FAILED: nobody noticed"
            failures += verdict != "noticed"
            print(f"{guard.name}: {verdict} ({guard.test})", flush=True)
    print(f"{len(chosen)} guards taken away one at a time, {failures} not noticed")
    return 1 if failures or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
