"""The word that runs leave on what they have no place for: whoever is killed over it leaves nothing that stays."""

from __future__ import annotations

from pathlib import Path

from burnish.core.jobs import CoordinatorId
from burnish.core.placement import Kind
from burnish.core.unplaced import Unplaced
from burnish.store import unplaced

WORD = Unplaced.of(Kind(2), "it needs 2 GPUs of one host, and no host of this run has that")


def test_word_of_the_dead_goes_with_what_they_were_writing_and_that_of_the_living_stays(tmp_path: Path) -> None:
    folder = tmp_path / "unplaced"
    for run in ("dead", "living"):
        unplaced.leave(folder, CoordinatorId(run), [WORD])
        (folder / f".{run}").write_text('[{"gp')
    assert unplaced.left(folder) == {"dead": [WORD], "living": [WORD]}
    unplaced.clear(folder, [CoordinatorId("living")])
    assert sorted(path.name for path in folder.iterdir()) == [".living", "living"]


def test_word_that_is_torn_or_cannot_be_left_is_done_without(tmp_path: Path) -> None:
    folder = tmp_path / "unplaced"
    unplaced.leave(folder, CoordinatorId("run"), [WORD])
    (folder / "run").write_text('[{"gp')
    assert unplaced.left(folder) == {}
    (tmp_path / "a file").touch()
    unplaced.leave(tmp_path / "a file", CoordinatorId("run"), [WORD])
    assert unplaced.left(tmp_path / "a file") == {} == unplaced.left(tmp_path / "nowhere")
