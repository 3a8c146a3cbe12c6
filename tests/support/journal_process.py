"""A process that works on a journal: run by tests, killed by them, and given errors by strace.

Usage: `python journal_process.py ROOT VERB ARGUMENT…`. Between the two marks below it does what VERB says. What burnish refuses
is printed as `refused: <sentence>` and ends with 2; anything else that goes wrong is a traceback and ends with 1.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from burnish.core import checkpoint, events
from burnish.core.events import Fact
from burnish.core.jobs import AttemptId, JobId
from burnish.core.phases import Phase, phase
from burnish.core.state import State
from burnish.errors import BurnishError
from burnish.store import journal as module
from burnish.store.journal import Journal

BEGIN, END = "/mark-begin", "/mark-end"  # looked for in a strace log; nobody makes such files
PER_FOLDER = 4


def mark(name: str) -> None:
    os.path.exists(name)


def opened(root: str, author: str) -> Journal:
    journal = Journal(Path(root), "burnish.db", author, time.time)
    journal.open()
    return journal


def digest(journal: Journal) -> str:
    """Of the whole state, in one line."""
    lines = "\n".join(checkpoint.dump(journal.state, journal.number))
    return f"{journal.number} {hashlib.sha256(lines.encode()).hexdigest()}"


def claim(root: str, author: str, at_once: str) -> None:
    """Claim waiting jobs, `at_once` per commit, until none is left; then wait for the others and tell the state."""
    journal = opened(root, author)
    print("ready", flush=True)
    sys.stdin.readline()

    def decide(state: State) -> list[Fact]:
        waiting = [job for job in state.jobs.values() if phase(job) is Phase.WAITING][: int(at_once)]
        return [
            events.AttemptClaimed(
                AttemptId(JobId(job.id), 1), "9f86d081", author, "h", "s", "i", {}, (0,), (), ("true",), "log", 1.0
            )
            for job in waiting
        ]

    claimed = 0
    while facts := journal.commit(decide):
        claimed += len(facts)
    print(f"claimed {claimed}", flush=True)
    sys.stdin.readline()
    journal.catch_up()
    journal.state.check()
    print(digest(journal), flush=True)


def drain(root: str, *hosts: str) -> None:
    """A commit of two facts per host named, and a checkpoint after each, in folders of four commits."""
    module.COMMITS_PER_FOLDER, module.CHECKPOINT_AFTER = PER_FOLDER, 1
    mark(BEGIN)
    journal = opened(root, "drainer")
    for host in hosts:
        facts = journal.commit(lambda state, host=host: pair(state, host))  # type: ignore[misc]
        print(f"{'committed' if facts else 'found'} {host}", flush=True)
        journal.checkpoint()
    mark(END)


def pair(state: State, host: str) -> Sequence[Fact]:
    if host in state.drained:
        return []
    return [events.HostDrained(host, "first", "me"), events.HostDrained(f"{host}-too", "second", "me")]


def drain_with_lost_answer(root: str, code: str, host: str) -> None:
    """`drain`, but each link that is made is said to have failed."""
    link = os.link

    def answer_lost(*args: Any, **kwargs: Any) -> None:
        link(*args, **kwargs)
        number = getattr(errno, code)
        raise OSError(number, os.strerror(number), args[0], None, args[1])

    os.link = answer_lost  # type: ignore[assignment]
    drain(root, host)


def hold(root: str) -> None:
    """Keep a journal open; with each line, look for news and commit something. The end of the input is the end."""
    journal = opened(root, "holder")
    print("ready", flush=True)
    for line in sys.stdin:
        verb, _, host = line.strip().partition(" ")
        try:
            if verb == "look":
                print(f"applied {journal.catch_up()}", flush=True)
            else:
                journal.commit(lambda state, host=host: pair(state, host))  # type: ignore[misc]
                print("committed", flush=True)
        except BurnishError as error:
            print(f"{type(error).__name__}: {error}", flush=True)


VERBS: dict[str, Any] = {
    "claim": claim,
    "drain": drain,
    "drain_with_lost_answer": drain_with_lost_answer,
    "hold": hold,
}

if __name__ == "__main__":
    try:
        VERBS[sys.argv[2]](sys.argv[1], *sys.argv[3:])
    except BurnishError as error:
        print(f"refused: {error}", flush=True)
        sys.exit(2)
