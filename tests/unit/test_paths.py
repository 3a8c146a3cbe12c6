"""Where burnish keeps things beside the table."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from burnish.store.paths import Paths


@pytest.mark.parametrize(("umask", "around"), [(0, 0o775), (0o002, 0o775), (0o022, 0o755), (0o077, 0o700)])
def test_no_umask_opens_burnishs_folders_to_everybody(tmp_path: Path, umask: int, around: int) -> None:
    paths = Paths.of(str(tmp_path / "burnish.db"), str(tmp_path / "burnish_log"))
    before = os.umask(umask)
    try:
        paths.make()
    finally:
        os.umask(before)
    made = {
        folder: stat.S_IMODE(folder.stat().st_mode) for folder in (paths.root.parent, *tmp_path.glob(".burnish/**/"))
    }
    assert made.pop(paths.root.parent) == around
    assert made == dict.fromkeys((paths.root, paths.bases, paths.coordinators), 0o700)
