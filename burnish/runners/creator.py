"""`create --func`: a sweep that a function of the user's makes."""

from __future__ import annotations

from burnish.core.sweep import MAX_JOBS, Grid, from_rows
from burnish.runners.function_process import CALL_LIMIT, FunctionProcess


def created(name: str, max_jobs: int = MAX_JOBS, *, limit: float = CALL_LIMIT) -> Grid:
    """The jobs that `module.function` returns: a dict of equally long lists, a list of dicts, or an iterator of dicts.

    Called without arguments in a process of its own, for at most `limit` seconds; an iterator is read to `max_jobs` + 1 at most.
    Raises UsageError (no such function, it raised, it returned something else) or InputError (what it returned makes no table).
    """
    process = FunctionProcess(name, 0, limit=limit)
    try:
        process.start()
        made = process.create(max_jobs)
    finally:
        process.close()
    return from_rows(made["columns"], made["rows"], f"--func {name}", max_jobs)
