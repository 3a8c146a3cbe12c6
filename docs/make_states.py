"""Writes docs/states.md from `TRANSITIONS` of burnish/core/phases.py: the page shows what the code obeys.

Usage: `python docs/make_states.py`. tests/test_docs.py fails while the page is not what this makes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.core.phases import TRANSITIONS, Phase
from burnish.core.state import MAX_LOST

TARGET = Path(__file__).with_name("states.md")

# What a person reads in the STATE column while a job is in this phase.
WORDS = {
    Phase.WAITING: "NOT_RUNNING",
    Phase.HELD: "HOLD",
    Phase.CLAIMED: "NOT_RUNNING",
    Phase.RUNNING: "RUNNING",
    Phase.COMPLETE: "COMPLETE",
    Phase.ERROR: "ERROR",
}

OPENING = f"""\
# States

*Made by `docs/make_states.py` from `TRANSITIONS` in `burnish/core/phases.py`. Change it there.*

A job is in one of six phases. The column STATE shows five words: a job that is *claimed* was promised to a host which has not
said yet that the command started, and is NOT_RUNNING to a person.

What moves a job is a fact that somebody committed. A fact that the table below does not allow cannot be committed: whoever wants
it decides again on the newest state. A dash means that the fact cannot meet a job in this phase. Where a cell names several
phases, the fact's content decides: an exit code, what a person asked for meanwhile, or how often the job was lost before (a job
whose attempts die without a verdict is started again at most {MAX_LOST} times).
"""

CLOSING = """\
Only a host's word ends an attempt: `AttemptExited` comes from the process that waited for the job, `AttemptVoided` and
`AttemptLost` from the host's folder. Nothing here is decided by a timeout. What each fact carries is in
`burnish/core/events.py`; how a host comes to say it is in [protocol.md](protocol.md).
"""


def page() -> str:
    """The whole text of docs/states.md."""
    return "\n".join([OPENING, *diagram(), "", *table(), "", CLOSING])


def table() -> Iterator[str]:
    """Facts down, phases across, where each leads in the cells."""
    yield "| fact | " + " | ".join(f"{phase.value} (`{WORDS[phase]}`)" for phase in Phase) + " |"
    yield "| --- |" + " --- |" * len(Phase)
    for fact, leads in TRANSITIONS.items():
        yield f"| `{fact.__name__}` | " + " | ".join(named(leads.get(phase)) for phase in Phase) + " |"


def named(phases: frozenset[Phase] | None) -> str:
    return ", ".join(phase.value for phase in Phase if phase in phases) if phases else "–"


def diagram() -> Iterator[str]:
    """The same as a picture, which many viewers of Markdown draw; facts that leave a job where it is are left out."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> waiting"
    for (before, after), facts in edges().items():
        yield f"    {before.value} --> {after.value}: {', '.join(fact.__name__ for fact in facts)}"
    yield "```"


def edges() -> dict[tuple[Phase, Phase], list[type[Any]]]:
    """(from, to) -> the facts that lead there."""
    found: dict[tuple[Phase, Phase], list[type[Any]]] = {}
    for fact, leads in TRANSITIONS.items():
        for before in Phase:
            for after in Phase:
                if after in leads.get(before, frozenset()) and after is not before:
                    found.setdefault((before, after), []).append(fact)
    return found


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    print(f"wrote {TARGET}")
