"""Where runs leave what they have no place for: a file for each run that has such jobs, for whoever asks why one waits.

It is for people only and decides nothing, so it is not synced, and one that cannot be written or read is done without. It
outlives its run until the next one begins: what the last run had no host for is what a person asks who comes in the morning.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from burnish.core.jobs import CoordinatorId
from burnish.core.unplaced import Unplaced

HALF = "."  # begins the name of a file that is being written


def leave(folder: Path, run: CoordinatorId, found: Sequence[Unplaced]) -> None:
    """Put what `run` has no place for where `left` finds it; nothing takes away what it left before."""
    try:
        if not found:
            os.unlink(folder / run)
            return
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        half = folder / f"{HALF}{run}"
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, json.dumps([one.to_json() for one in found]).encode())
        finally:
            os.close(descriptor)
        os.rename(half, folder / run)
    except OSError:
        pass  # the journal meets the same disk, and says so


def left(folder: Path) -> dict[CoordinatorId, list[Unplaced]]:
    """What runs have no place for, or had none when they ended."""
    found = {}
    for run in [CoordinatorId(name) for name in _names(folder) if not name.startswith(HALF)]:
        try:
            found[run] = [Unplaced.from_json(entry) for entry in json.loads((folder / run).read_bytes())]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # gone just now, or lost with the power
    return found


def clear(folder: Path, living: Collection[CoordinatorId]) -> None:
    """Take away what runs left that are over, also what one was writing when it was killed."""
    for name in _names(folder):
        if name.removeprefix(HALF) not in living:
            try:
                os.unlink(folder / name)
            except OSError:
                pass  # another run was faster


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []  # no run ever left anything
