"""How fast a table is read, written and merged: 1 000, 10 000 and 100 000 rows, in memory. Best of three, in ms.

`parse`: a text into rows. `render 100`: the next text after 100 jobs changed, its bytes included. `render all`: the same when any
job may have changed. `choose`: the base of a save among 100 kept texts, each 10 rows from the next, the first time and again.
`merge`: the facts of that save.

Usage: `python benchmarks/table.py [rows …]`.
"""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Callable
from typing import TypeVar

from burnish.core.bases import Base, choose
from burnish.core.jobs import Job, JobId, Word
from burnish.core.merge import merge
from burnish.core.render import render
from burnish.core.table import Table, parse

T = TypeVar("T")
BASES = 100
STEP = 10  # rows between two kept texts


def best(work: Callable[[], T], rounds: int = 3) -> tuple[float, T]:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = work()
        times.append(1000 * (time.perf_counter() - start))
    return min(times), result


def text(rows: int) -> bytes:
    lines = (f"{n},NOT_RUNNING,env{n % 4},{n},1e-4\n" for n in range(rows))
    return ("JOB_ID,STATE,--env,--seed,--lr\n" + "".join(lines)).encode()


def jobs_of(table: Table) -> dict[JobId, Job]:
    return {row.id: Job(row.id, row.cells) for row in table.rows if row.id is not None}


def history(table: Table, jobs: dict[JobId, Job]) -> list[Base]:
    """Texts as a run leaves them behind, compressed as on disk."""
    bases: list[Base] = []
    for number in range(BASES):
        changed = [JobId(n % len(jobs)) for n in range(number * STEP, (number + 1) * STEP)]
        for job in changed:
            jobs[job].word = Word.COMPLETE
        table = render(table, jobs, table.columns, changed=changed)
        packed = zlib.compress(table.data, 1)
        follows = bases[-1].sha256 if bases else None
        bases.append(Base(table.sha256, float(number), lambda packed=packed: zlib.decompress(packed), {}, follows))  # type: ignore[misc]
    return bases


def measure(rows: int) -> dict[str, float]:
    data = text(rows)
    found: dict[str, float] = {}
    found["parse"], table = best(lambda: parse(data))
    jobs = jobs_of(table)
    changed = [JobId(n * (rows // 100)) for n in range(100)]
    for job in changed:
        jobs[job].word = Word.RUNNING
    found["render 100"], _ = best(lambda: render(table, jobs, table.columns, changed=changed).data)
    found["render all"], _ = best(lambda: render(table, jobs, table.columns).data)
    bases = history(table, jobs)
    theirs = parse(bases[BASES // 2].read().replace(b"0,1e-4", b"0,2e-4"))
    found["choose, first"], choice = best(lambda: choose(bases, theirs), rounds=1)
    found["choose, again"], choice = best(lambda: choose(bases, theirs))
    next_id = rows
    found["merge"], _ = best(lambda: merge(choice.base, theirs, jobs, table.columns, next_id, choice.ambiguous))
    return found


def main(sizes: list[int]) -> None:
    for rows in sizes:
        print(f"{rows:>7} rows: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in measure(rows).items()))


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [1_000, 10_000, 100_000])
