"""What is said of folders that another user has made: a command that root may type as it stands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from burnish.store import refusals

NAMELESS = 54_321  # a uid that has no account here


def test_the_command_that_root_is_to_type_means_no_other_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "my sweeps"
    root = here / ".burnish" / "burnish.db"
    root.mkdir(parents=True)
    (here / "burnish.db").touch()
    os.chown(here / "burnish.db", NAMELESS, NAMELESS)
    monkeypatch.setattr(os, "geteuid", lambda: NAMELESS)
    found = refusals.made_by_another("burnish.db", str(root), str(root))
    assert found is not None
    said, hint = found
    assert f"burnish.db to you (user {NAMELESS})" in said
    assert hint.startswith(f"sudo chown -R {NAMELESS}: '{here}/.burnish' gives it to you")
