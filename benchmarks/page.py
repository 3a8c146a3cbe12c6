"""The page that the figures go to: docs/performance.md, each benchmark's between marks of its own."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

FILES = 500
PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def machine() -> str:
    """Where and when this is measured, a sentence."""
    system = f"Python {platform.python_version()}, {platform.system()} {platform.release()}, {os.cpu_count()} cores"
    return (
        f"{system}; files on {disk()}, where to create one took {file_cost():.0f} µs; at the start the load was "
        f"{os.getloadavg()[0]:.1f}."
    )


def disk() -> str:
    """The kind of file system where temporary files are."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    there = Path(tempfile.gettempdir()).resolve()
    kinds = [(len(point), kind) for _, point, kind, *_ in mounts if there.is_relative_to(point)]
    return max(kinds)[1]


def file_cost() -> float:
    """µs for a new file where temporary files are: some 30 on ext4, ten times that for minutes after many were deleted there."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        for number in range(FILES):
            Path(folder, str(number)).touch()
        return (time.perf_counter() - began) / FILES * 1e6


def write(section: str, lines: Sequence[str]) -> None:
    """Put `lines` between the marks of `section`."""
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text("\n".join([f"{before}{begin}", *lines, f"{end}{after}"]), encoding="utf-8")
