"""What people ask of hosts, carried out on an open table: committed on the newest state, then said."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from burnish.core import host_verbs
from burnish.core.events import Fact
from burnish.core.host_verbs import HostWish
from burnish.core.state import State
from burnish.roster import read
from burnish.session import Session


def drain(session: Session, host: str, reason: str, inventory: str | None = None) -> None:
    """No new job of the table goes to `host`; every run obeys within seconds.

    `inventory`: a file whose hosts may be drained before their first job. Raises UsageError for a host that is not known.
    """
    listed = () if inventory is None else read(inventory, None)
    _carry_out(session, lambda state: host_verbs.drain(state, host, reason, session.me, listed))


def undrain(session: Session, host: str) -> None:
    """Jobs may go to `host` again."""
    _carry_out(session, lambda state: host_verbs.undrain(state, host, session.me))


def forget(session: Session, host: str) -> None:
    """Give up what is open on `host`, without its word."""
    _carry_out(session, lambda state: host_verbs.forget(state, host, session.me))


def _carry_out(session: Session, verb: Callable[[State], HostWish]) -> None:
    made = HostWish()

    def decide(state: State) -> Sequence[Fact]:
        nonlocal made
        made = verb(state)
        return made.facts

    session.projection.refuse_read_only()
    session.journal.commit(decide)
    session.settle()
    for sentence in made.said:
        session.say(sentence)
