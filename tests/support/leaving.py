"""burnish started as a user starts it, and left running."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def leave(words: Sequence[str], folder: Path, environment: Mapping[str, str], said: Path) -> subprocess.Popen[str]:
    """Start `words` in `folder`; what it says goes to the file `said`. Whoever calls ends it, by the pid in the answer."""
    with said.open("w") as file:
        return subprocess.Popen(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file, text=True
        )
