"""Records of attempts, as tests find and forge them: most are symbolic links to their own text, which leads nowhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from burnish.remote.agent.records import read_record


def paths(below: Path, name: str, attempt: str = "") -> list[Path]:
    """The records of this name below a folder, of attempts whose names begin with `attempt`."""
    found = (Path(folder, name) for folder, _, names in os.walk(below) if name in names)
    return [path for path in found if path.parent.name.startswith(attempt)]


def contents(below: Path, name: str) -> Iterator[dict[str, Any]]:
    """What the records of this name say, but for those that cannot be read, or are gone meanwhile."""
    return filter(None, (read_record(str(path)) for path in paths(below, name)))


def forge(path: Path, text: str | bytes) -> None:
    """Have a record say something else, or nothing that can be read."""
    path.unlink(missing_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
