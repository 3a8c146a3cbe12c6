"""Does each guard have a test that misses it? Takes one guard away at a time, in a copy, and expects red.

The guards stand in the YAML files beside this one: a name, a file, its text `old`, what it becomes (`new`), and the `test`
that must notice. First all tests that are named run together and must be green; then each runs once more for each of its
guards, some copies side by side. Ends with 1 when a test stayed green, or was red before.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from subprocess import DEVNULL

import yaml

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 300  # s for one test without its guard
LIMIT_OF_ALL = 3600  # s for all tests with their guards
COPIED = ("burnish", "tests", "test_dir", "hosts", "docs", "scripts", "pyproject.toml", "README.md", "LICENSE")
GREEN, RED, TOO_LONG = 0, 1, -1  # of pytest's exit statuses; more: it could not be run

# A world for each pytest: what a test leaves behind without its guard (processes, mounts, locks of slots) ends with it, and is
# not met by those beside it. Like the hosts of the bench, this takes root.
ALONE = shlex.split("setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc sh -c")
ENTER = 'mount --bind "$0" /var/tmp || exit 4; "$@"; exit $?'


@dataclass(frozen=True)
class Guard:
    """`old` occurs once in `file`; with `new` in its place, pytest's `test` must fail."""

    name: str
    file: str
    old: str
    new: str
    test: str


def guards(files: str = "*.yaml") -> Iterator[Guard]:
    """All guards of the YAML files here."""
    for path in sorted(Path(__file__).parent.glob(files)):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            yield Guard(**entry)


@contextmanager
def a_folder() -> Iterator[Path]:
    """A new folder, for as long as the context lasts. Who is not root may look into it: some tests have a second user."""
    with tempfile.TemporaryDirectory(prefix="sabotage-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


def copy_to(target: Path) -> None:
    """A copy of what burnish and its tests are.

    It is compiled once for all of its copies: a test starts many a Python. By their hashes, not their times, such files know
    whether a source is still the one that they were made of.
    """
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, target / name)
    # Among the tests' data are sources that cannot be compiled, and are not meant to be.
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "burnish", "tests"]
    subprocess.run(command, cwd=target, stdout=DEVNULL, check=False)


def pytest(folder: Path, *arguments: str, limit: float) -> int:
    """pytest's exit status in the copy `folder`, or TOO_LONG after `limit` seconds."""
    own = folder / "own"  # what else it may write to
    (own / "var_tmp").mkdir(parents=True)
    (own / "var_tmp").chmod(0o1777)
    options = (
        "-q",
        "-p",
        "no:cacheprovider",
        "--assert=plain",
        "--hypothesis-profile=any example",
        f"--basetemp={own}/pytest",
    )
    command = [sys.executable, "-m", "pytest", *options, *arguments]
    if os.geteuid() == 0:
        command = [*ALONE, ENTER, f"{own}/var_tmp", *command]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=DEVNULL, stderr=DEVNULL, timeout=limit)
    except subprocess.TimeoutExpired:
        return TOO_LONG
    return done.returncode


def covers(test: str, nodeid: str) -> bool:
    """Whether pytest's `nodeid` is the test of a guard, or one of those in it."""
    return nodeid == test or nodeid.startswith((f"{test}::", f"{test}["))


def green(folder: Path, tests: set[str], at_once: int) -> set[str]:
    """Those of the tests that pass in the copy `folder`, where no guard is missing."""
    chosen, outcomes = folder / "chosen", folder / "outcomes"
    chosen.write_text("\n".join(tests), encoding="utf-8")
    outcomes.touch()
    plugin = ("-p", "tests.sabotage.chosen", f"--chosen={chosen}", f"--outcomes={outcomes}")
    together = ("-n", str(at_once), "--dist=worksteal", "--continue-on-collection-errors")
    files = {test.partition("::")[0] for test in tests}
    there = sorted(file for file in files if (folder / file).exists())
    status = pytest(folder, *plugin, *together, *there, limit=LIMIT_OF_ALL)
    if status not in (GREEN, RED):
        return set()  # it did not come to its end
    found = [line.split(" ", 1) for line in outcomes.read_text(encoding="utf-8").splitlines()]
    ran = {test for test in tests if any(covers(test, nodeid) for _, nodeid in found)}
    return {test for test in ran if not any(covers(test, nodeid) for outcome, nodeid in found if outcome == "failed")}


def verdict(whole: Path, guard: Guard) -> str:
    """What its test says when the guard is taken away, in a copy of the copy `whole`."""
    with a_folder() as folder:
        shutil.copytree(whole, folder, dirs_exist_ok=True)
        file = folder / guard.file
        text = file.read_text(encoding="utf-8")
        if text.count(guard.old) != 1:
            return f"FAILED: {guard.file} does not have its old text once"
        file.write_text(text.replace(guard.old, guard.new), encoding="utf-8")
        status = pytest(folder, "-x", guard.test, limit=LIMIT)
    # A test that hangs without its guard has noticed too: its own deadlines are shorter than ours.
    others = f"FAILED: pytest ended with {status}, and tested nothing"
    return {RED: "noticed", TOO_LONG: "noticed, for it hangs", GREEN: "FAILED: nobody noticed"}.get(status, others)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help="only guards with one of these in their names")
    parser.add_argument("--file", default="*.yaml", help="only guards of this file, such as ssh.yaml")
    parser.add_argument("--from", dest="first", metavar="NAME", help="only this guard and those after it in the list")
    parser.add_argument("--at_once", type=int, default=3, help="so many tests at once, as in `make test`")
    asked = parser.parse_args()
    listed = dropwhile(lambda guard: asked.first not in (None, guard.name), guards(asked.file))
    chosen = [guard for guard in listed if not asked.parts or any(part in guard.name for part in asked.parts)]
    failed: list[str] = []

    def tell(guard: Guard, said: str) -> None:
        line = f"{guard.name}: {said} ({guard.test})"
        print(line, flush=True)
        if said.startswith("FAILED"):
            failed.append(line)

    with a_folder() as whole, a_folder() as healthy:
        copy_to(whole)
        shutil.copytree(whole, healthy, dirs_exist_ok=True)
        good = green(healthy, {guard.test for guard in chosen}, asked.at_once)
        pool = ThreadPoolExecutor(asked.at_once)
        try:
            running = {pool.submit(verdict, whole, guard): guard for guard in chosen if guard.test in good}
            for guard in chosen:
                if guard.test not in good:
                    tell(guard, "FAILED: the test is not green to begin with")
            for done in as_completed(running):
                tell(running[done], done.result())
        finally:
            pool.shutdown(cancel_futures=True)
    print(f"{len(chosen)} guards taken away one at a time, {len(failed)} not noticed", *failed, sep="\n")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
