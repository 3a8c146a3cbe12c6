"""One job for which no command could be made."""

from __future__ import annotations

from burnish.errors import BurnishError


class RunnerRefused(BurnishError):
    """This job has no command, so it is ERROR, `not started: why`; the other jobs are not concerned.

    `details`: the traceback and what the user's function printed, for the job's `.err`; may be empty.
    """

    exit_code = 1

    def __init__(self, sentence: str, details: str = "") -> None:
        super().__init__(sentence)
        self.details = details
