"""`burnish view --follow`: a log shown as it grows, until its job ends.

That it has ended is told by the run that looks after the job, in the journal. Where no run does, since it was killed or stopped,
nobody would ever write it there: then the job's host is asked, as the next run will ask it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from burnish.core.jobs import Attempt
from burnish.fetching import Fetch
from burnish.session import Session

LOOK = 0.2  # s between two looks at a log
ATTENDED = 2.0  # s between two looks at which runs are going


def follow(session: Session, attempt: Attempt, more: Callable[[], None], fetch: Fetch | None) -> None:
    """Call `more`, which shows what a log has grown by, until its attempt has ended. `fetch`: its host is being asked already.

    Raises StoreError if a log that is fetched cannot be written.
    """
    with ExitStack() as links:
        asked, attended = False, float("-inf")
        while True:
            if not asked and time.monotonic() - attended >= ATTENDED:
                attended = time.monotonic()
                if asked := unattended(session, attempt):
                    session.say(
                        f"(No burnish run looks after job {attempt.id.job}, so {attempt.host} is asked when it ends. "
                        "burnish run takes it back; so does burnish wait, which starts nothing.)"
                    )
                    if fetch is None:
                        fetch = links.enter_context(Fetch(attempt, session.state.table, session.paths, session.say))
            session.journal.catch_up()
            ended = attempt.id not in session.state.open or (fetch is not None and fetch.ended)
            more()
            if ended:
                break
            if fetch is None:
                time.sleep(LOOK)
            else:
                fetch.turn(LOOK)
        if fetch is not None and fetch.status and unattended(session, attempt):
            session.say(f"({_end(attempt, fetch.status)})")


def unattended(session: Session, attempt: Attempt) -> bool:
    """True if the attempt is open as far as is known, and no run is going that would hear of its end."""
    if session.presence.others():
        return False
    session.journal.catch_up()  # with what the last of them wrote before it left
    return attempt.id in session.state.open


def _end(attempt: Attempt, status: str) -> str:
    """What the host said that ended the following, and who takes it in."""
    if status == "ended":
        return f"Job {attempt.id.job} has ended; how, burnish run or burnish wait takes in."
    return f"Attempt {attempt.id} is {status} on {attempt.host}; burnish run or burnish wait takes that in."
