"""What a job runs: an argv, and what it needs around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command a runner returns: `argv` as given (no shell), `env` added to the job's environment, `cwd` or the work folder."""

    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    cwd: str | None = None
