"""A state to look at, made from the facts that would have led to it."""

from __future__ import annotations

from burnish.core import events
from burnish.core.jobs import AttemptId, JobId
from burnish.core.state import State

BEGAN = 1_000_000.0  # s since 1970: when the table was opened


def opened(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> State:
    """A state whose jobs 0, 1, … have the cells in `rows`."""
    state = State()
    state.apply(events.TableOpened("t", columns, BEGAN))
    state.apply(events.JobsAdded(columns, tuple((index, *cells) for index, cells in enumerate(rows))))
    return state


def claim(
    state: State, job: int, host: str = "gpu01", gpus: tuple[str, ...] = (), at: float = BEGAN, retries: int = 0
) -> AttemptId:
    """Claim the next attempt of a job; it has not started."""
    attempt = AttemptId(JobId(job), len(state.jobs[JobId(job)].attempts) + 1)
    claimed = events.AttemptClaimed(
        attempt,
        "9f86d081",
        "me",
        host,
        "sid",
        "inc",
        {},
        (0,),
        gpus,
        ("true",),
        f"log_{attempt}",
        at,
        retries=retries,
    )
    state.apply(claimed)
    return attempt


def start(
    state: State, job: int, host: str = "gpu01", gpus: tuple[str, ...] = (), at: float = BEGAN, retries: int = 0
) -> AttemptId:
    """Claim and start the next attempt of a job."""
    attempt = claim(state, job, host, gpus, at, retries)
    state.apply(events.AttemptStarted(attempt, 4711, at, "3f2a91c04d1e (main)"))
    return attempt


def finish(
    state: State, attempt: AttemptId, code: int = 0, ended: float = BEGAN + 60, result: dict[str, object] | None = None
) -> None:
    """Let a running attempt exit."""
    started = state.open[attempt].started_at or BEGAN
    state.apply(events.AttemptExited(attempt, code, None, started, ended, ended - started, max_rss=2048, result=result))
