"""What the file of a table says by itself, to somebody who only looks: it has no journal, or none that may be read. Pure."""

from __future__ import annotations

from burnish.core import events, merge
from burnish.core.jobs import FROM_FILE, Word
from burnish.core.state import State
from burnish.core.table import Table


def state_of(found: Table, now: float) -> State:
    """Its jobs as they stand there, RUNNING included, of which whoever takes the table over says HOLD."""
    state = State()
    adopted = merge.adopt(found)
    for fact in (events.TableOpened("", found.columns, now), *adopted.facts):
        state.apply(fact)
    for number, row in enumerate(found.rows):
        if row.usable and row.word == Word.RUNNING:
            job = state.jobs[adopted.ids[number] if row.id is None else row.id]
            job.word, job.reason = Word.RUNNING, FROM_FILE
    return state


def was_run(state: State) -> bool:
    """True if a job of it has been run, so that there is more to know than the file says."""
    return any(job.word.final or job.word is Word.RUNNING for job in state.jobs.values())
