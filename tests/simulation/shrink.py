"""Fewer faults that break the same promise: take one away at a time, and keep it away if the run still fails alike."""

from __future__ import annotations

from simulation.scenario import Result, play


def shrink(seed: int, result: Result) -> Result:
    """The failing run of `seed` with as few of its faults as greedy removal leaves."""
    kind = _kind(result)
    while True:
        for fault in result.faults:
            fewer = play(seed, frozenset(result.faults) - {fault})
            if fewer.failure is not None and _kind(fewer) == kind:
                result = fewer
                break
        else:
            return result


def _kind(result: Result) -> str:
    assert result.failure is not None
    return result.failure.partition(":")[0]
