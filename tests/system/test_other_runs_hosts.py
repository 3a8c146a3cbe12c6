"""A run reads what other runs commit, also about hosts that it has nothing to do with."""

from __future__ import annotations

import time
from pathlib import Path

from burnish.core import events
from burnish.core.jobs import AttemptId, JobId
from burnish.store.journal import Journal
from tests.support import facts
from tests.support.sweeps import Sweep
from tests.support.waiting import wait_for


def test_trouble_of_a_host_that_is_not_its_own_is_nothing_to_a_run(tmp_path: Path) -> None:
    sweep = Sweep.of(tmp_path, 1)
    waiting = sweep.start_command("wait")
    wait_for(lambda: "no burnish run is going" in sweep.said(waiting), lambda: sweep.said(waiting))
    journal = Journal(tmp_path / ".burnish" / "burnish.db", "burnish.db", "other", time.time)
    journal.open()
    attempt = AttemptId(JobId(0), 1)
    trouble = events.AttemptVoided(attempt, "no supervisor can be started", trouble=True)
    # At once: nobody takes it over in between.
    journal.commit(lambda state: [facts.claim_of(attempt, "other"), trouble])
    sweep.burnish("hold", "--job_id", "0")
    assert waiting.wait(60) == 0, sweep.said(waiting)
    began, nobody, end = sweep.said(
        waiting
    ).splitlines()  # one line at the start of what it waits for, and one at the end
    assert began == "Waiting for 1 job: 1 NOT_RUNNING. Ctrl-C ends the waiting, and no job."
    assert "no burnish run is going" in nobody and end.startswith("0 of 1 done, 1 HOLD, in ")
    assert not (tmp_path / "burnish_log").exists(), "who waits has no logs to keep"
