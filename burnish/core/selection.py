"""Which jobs a run takes up: those of some ids, those with some cells. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from burnish.core.ids import parse_ids, to_type, typed_ids
from burnish.core.jobs import Job, JobId
from burnish.core.state import State


class Selection(Struct, frozen=True):
    """The jobs that a run takes up: all, or those with one of `ids` and with every `where` cell as given."""

    ids: frozenset[JobId] | None = None
    where: Mapping[str, str] = field(default_factory=dict)

    def admits(self, job: Job, state: State) -> bool:
        """True if the run may take up this job."""
        if job.removed or (self.ids is not None and job.id not in self.ids):
            return False
        if not self.where:
            return True
        return all(_cell(job, column, state.columns) == value for column, value in self.where.items())

    def __str__(self) -> str:
        """As it can be typed; empty for all jobs."""
        import shlex

        where = [f"--where {shlex.quote(f'{column}={value}')}" for column, value in self.where.items()]
        return " ".join([*([] if self.ids is None else [f"--job_id {to_type(sorted(self.ids))}"]), *where])

    def to_json(self) -> dict[str, Any]:
        """For who reads it in another process."""
        return {"ids": "all" if self.ids is None else typed_ids(sorted(self.ids)), "where": dict(self.where)}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Selection:
        """Inverse of `to_json`. Raises KeyError, TypeError, ValueError or UsageError for anything else."""
        return cls(parse_ids(entry["ids"]), {str(column): str(value) for column, value in entry["where"].items()})


def _cell(job: Job, column: str, columns: tuple[str, ...]) -> str:
    """Empty for a column that the table has not."""
    return job.cells[columns.index(column)] if column in columns else ""
