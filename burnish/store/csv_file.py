"""A CSV of arguments from a file."""

from __future__ import annotations

from burnish.core import arguments_csv
from burnish.core.sweep import MAX_JOBS, Grid
from burnish.store.input_file import read_text


def load(path: str, max_jobs: int = MAX_JOBS) -> Grid:
    """The jobs in the file at `path`. Raises InputError with every problem."""
    return arguments_csv.parse(read_text(path), path, max_jobs)
