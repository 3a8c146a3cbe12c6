"""What stands below the messages of a command that goes on for a while: at a terminal, how far its jobs are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from burnish.cli.options import Context
    from burnish.core.jobs import HostName, JobId
    from burnish.session import Session
    from burnish.views.live import Voice


@contextmanager
def standing(
    context: Context,
    opened: Session,
    voice: Voice,
    taken: Collection[JobId],
    slots: Callable[[], dict[HostName, tuple[int, int | None]]] = dict,
    most: int | None = None,
) -> Iterator[None]:
    """Draw how far the jobs `taken` are, at `most` so many of them, and how busy `slots` are. Without a terminal, nothing."""
    if (err := context.out.drawable) is None:
        yield
        return
    from burnish.viewing import last_line
    from burnish.views.dashboard import Dashboard

    board = Dashboard(
        err,
        opened.state,
        taken=taken,
        slots=slots,
        last_line=lambda job: last_line(opened, job),
        colour=context.out.colour,
        most=most,
    )
    with board, context.out.above(board.say):
        voice.foot = board.hear
        yield
