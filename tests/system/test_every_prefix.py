"""Every prefix of a journal is where some crash may leave it: a run from there finishes the sweep, and starts nothing twice.

A sweep runs to its end. Then, for each of its commits, everything is put back to where it was when that commit was the newest:
the journal ends there, the table is as it was made, and of what the host did only that is there which had been claimed by then.
That may be far ahead of the journal: the coordinator died, and its jobs went on.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.support.proc import tenants
from tests.support.removing import remove_with_tenants
from tests.support.sweeps import Sweep
from tests.support.waiting import wait_for

JOBS = 10  # all fates
LEFT = ("burnish.db", "job.py", "jobs.csv", ".burnish", "burnish_log", "ledger", "home")


def commits(folder: Path) -> list[Path]:
    """The commits of the table in `folder`, in order."""
    return sorted((folder / ".burnish").rglob("log/*/*.jsonl"))


def claimed(paths: list[Path]) -> dict[str, str]:
    """The names of the attempts that these commits claim, and their logs."""
    facts: list[dict[str, Any]] = [json.loads(line) for path in paths for line in path.read_text().splitlines()[1:]]
    claims = [fact for fact in facts if fact["fact"] == "AttemptClaimed"]
    return {f"{claim['attempt']}-{claim['nonce']}": claim["log"] for claim in claims}


def put_back(whole: Sweep, table: str, number: int, folder: Path) -> Sweep:
    """The sweep as it was after `number` commits, in `folder`."""
    for name in LEFT:
        source = whole.folder / name
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / name, **({"symlinks": True} if source.is_dir() else {}))
    (folder / "burnish.db").write_text(table)
    kept, later = commits(folder)[:number], commits(folder)[number:]
    for path in [*later, *(folder / ".burnish").rglob("checkpoint-*")]:
        path.unlink()
    known = claimed(kept)
    for attempt in (folder / "home").glob(".burnish/*/attempts/*/*"):
        if attempt.name not in known:
            shutil.rmtree(attempt)
    jobs = {name.partition(".")[0] for name in known}
    for path in (folder / "ledger").iterdir():
        if path.name not in jobs:
            path.unlink()
    for path in (folder / "burnish_log" / "burnish").iterdir():
        if path.stem not in known.values():
            path.unlink()
    return Sweep(folder)


def test_run_from_every_prefix_finishes_and_starts_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = Sweep.of(tmp_path / "whole", JOBS)
    table = (whole.folder / "burnish.db").read_text()
    assert whole.finish("--num_workers", "2") == 1
    whole.check()
    wait_for(lambda: not tenants(whole.folder))  # supervisors leave when their agent has, with a file of theirs
    last = len(commits(whole.folder))
    assert last > JOBS
    for number in range(1, last + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        again = put_back(whole, table, number, folder)
        try:
            assert again.finish("--num_workers", "2", timeout=60) in (0, 1), number  # failures of before do not count
            assert again.check(attempts=1).total() == JOBS
            assert len(again.starts()) == JOBS
        finally:
            again.stop()
        remove_with_tenants(folder)
