"""A process that keeps a table and its journal in step, turn by turn: `python projection_process.py TABLE`.

Each line it reads is a verb and its arguments, each line it says a JSON object: what was said to the user, and what is known.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from burnish import projection as module
from burnish.core import events
from burnish.core.jobs import AttemptId, JobId
from burnish.errors import BurnishError
from burnish.session import Session
from burnish.store.paths import Paths

module.SHORTEST, module.SHARE = 0.1, 1.0  # more texts in less time, however slow the disk


class Keeper:
    """What a coordinator does about its table, without hosts."""

    def __init__(self, table: str) -> None:
        self.said: list[str] = []
        self.session = Session.open(Paths.of(table, os.path.join(os.path.dirname(table), "logs")), self.said.append)

    def turn(self) -> None:
        """Hear what others committed and people saved; write the table if it is time to."""
        self.session.journal.catch_up()
        self.said += self.session.projection.look()
        self._mark()
        self.session.projection.render_if_due()

    def run(self, job: str) -> None:
        """A job starts, and ends well, while nobody else touches it."""
        attempt = AttemptId(JobId(int(job)), len(self.session.state.jobs[JobId(int(job))].attempts) + 1)
        claim = events.AttemptClaimed(attempt, "9f86d081", "me", "h", "s", "i", {}, (0,), (), ("true",), "log", 1.0)
        ended = events.AttemptExited(attempt, 0, None, 1.0, 2.0, 1.0, 2048)
        self.session.journal.commit(lambda state: [claim, ended])
        self._mark()

    def render(self) -> None:
        """Write the table, without a look at anything before."""
        self.session.projection.render()

    def finish(self) -> None:
        """The end of a run."""
        self.session.journal.catch_up()
        self._mark()
        self.said += self.session.projection.finish()

    def _mark(self) -> None:
        self.session.projection.mark(self.session.state.take_touched())

    def report(self) -> dict[str, Any]:
        said = self.said[:]
        self.said.clear()  # the session says into this very list
        state, projection = self.session.state, self.session.projection
        return {
            "said": said,
            "readable": projection.readable,
            "skipped": sorted(projection.skipped),
            "jobs": {str(job.id): [str(job.word), *job.cells] for job in state.listed()},
            "commits": self.session.journal.number,
        }


if __name__ == "__main__":
    keeper = Keeper(sys.argv[1])
    print(json.dumps(keeper.report()), flush=True)
    for line in sys.stdin:
        verb, *arguments = line.split()
        try:
            getattr(keeper, verb)(*arguments)
            print(json.dumps(keeper.report()), flush=True)
        except BurnishError as error:
            print(json.dumps({"refused": str(error)}), flush=True)
