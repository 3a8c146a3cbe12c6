"""A process that shows its presence: `python presence_process.py FOLDER NAME`, until a line comes or it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

from burnish.core.jobs import CoordinatorId
from burnish.store.presence import Presence

if __name__ == "__main__":
    presence = Presence(Path(sys.argv[1]), CoordinatorId(sys.argv[2]))
    presence.enter()
    print("here", flush=True)
    sys.stdin.readline()
    presence.leave()
    print("left", flush=True)
    sys.stdin.readline()
