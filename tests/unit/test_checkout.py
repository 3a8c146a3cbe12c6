"""The version of the code that a job runs is what git says it is; and nothing that stands there in its place holds a start up."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from burnish.remote.agent import checkout, surroundings
from burnish.remote.agent.checkout import checked_out


def git(folder: Path, *words: str) -> str:
    """What git says, whatever the settings of whoever runs the tests."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    who = ["-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "protocol.file.allow=always"]
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path) -> str:
    """A new commit; its first digits."""
    git(folder, "commit", "--allow-empty", "-m", "more")
    return git(folder, "rev-parse", "--short=12", "HEAD")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a commit on `main`, entered."""
    made = tmp_path / "work"
    made.mkdir()
    git(made, "init", "-b", "main")
    commit(made)
    monkeypatch.chdir(made)
    return made


def packed(repository: Path) -> str:
    expected = commit(repository)
    git(repository, "tag", "v1")
    git(repository, "branch", "main2")
    git(repository, "pack-refs", "--all")
    assert not (repository / ".git/refs/heads/main").exists()
    return f"{expected} (main)"


def packed_and_moved_on(repository: Path) -> str:
    packed(repository)
    return f"{commit(repository)} (main)"


def branch_with_slash(repository: Path) -> str:
    git(repository, "checkout", "-b", "ann/try/2")
    return f"{commit(repository)} (ann/try/2)"


def detached(repository: Path) -> str:
    first = git(repository, "rev-parse", "HEAD")
    commit(repository)
    git(repository, "checkout", "--detach", first)
    return first[:12]


def folder_below(repository: Path) -> str:
    (repository / "a" / "b").mkdir(parents=True)
    os.chdir(repository / "a" / "b")
    return f"{git(repository, 'rev-parse', '--short=12', 'HEAD')} (main)"


def worktree(repository: Path) -> str:
    git(repository, "worktree", "add", "-b", "other", "../tree")
    (repository.parent / "tree" / "below").mkdir()
    os.chdir(repository.parent / "tree" / "below")
    return f"{commit(repository.parent / 'tree')} (other)"


def worktree_whose_branch_is_packed(repository: Path) -> str:
    expected = worktree(repository)
    git(repository, "pack-refs", "--all")
    return expected


def submodule(repository: Path) -> str:
    part = repository.parent / "part"
    part.mkdir()
    git(part, "init", "-b", "trunk")
    expected = commit(part)
    git(repository, "submodule", "add", str(part), "part")
    os.chdir(repository / "part")
    commit(repository)
    return f"{expected} (trunk)"


def sha256(repository: Path) -> str:
    shutil.rmtree(repository / ".git")
    git(repository, "init", "-b", "main", "--object-format=sha256")
    return f"{commit(repository)} (main)"


@pytest.mark.parametrize(
    "arranged",
    [
        packed, packed_and_moved_on, branch_with_slash, detached, folder_below, worktree, worktree_whose_branch_is_packed,
        submodule, sha256,
    ],
)  # fmt: skip
def test_it_is_what_git_says(repository: Path, arranged: Callable[[Path], str]) -> None:
    expected = arranged(repository)
    assert git(Path.cwd(), "rev-parse", "--short=12", "HEAD") == expected.split()[0]
    assert checked_out() == expected


def pipe_for_head(repository: Path) -> None:
    (repository / ".git/HEAD").unlink()
    os.mkfifo(repository / ".git/HEAD")


def pipe_for_branch(repository: Path) -> None:
    (repository / ".git/refs/heads/main").unlink()
    os.mkfifo(repository / ".git/refs/heads/main")


def flood_for_head(repository: Path) -> None:
    (repository / ".git/HEAD").unlink()
    (repository / ".git/HEAD").symlink_to("/dev/zero")


def file_of_others(repository: Path) -> None:
    (repository.parent / "secret").write_text("a" * 40)
    (repository / ".git/HEAD").write_text("ref: refs/../../../secret\n")


def no_commit(repository: Path) -> None:
    (repository / ".git/refs/heads/main").write_text("what somebody typed\n")


def nul_byte(repository: Path) -> None:
    (repository / ".git/HEAD").write_bytes(b"ref: refs/heads/\0\n")


def unborn(repository: Path) -> None:
    git(repository, "checkout", "--orphan", "new")


def locked(repository: Path) -> None:
    shutil.rmtree(repository / ".git")
    (repository / ".git").symlink_to(".git")


def worktree_that_is_gone(repository: Path) -> None:
    shutil.rmtree(repository / ".git")
    (repository / ".git").write_text("gitdir: /nowhere/at/all\n")


def folder_that_is_gone(repository: Path) -> None:
    gone = repository / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    shutil.rmtree(repository / ".git")


@pytest.mark.parametrize(
    "arranged",
    [
        pipe_for_head, pipe_for_branch, flood_for_head, file_of_others, no_commit, nul_byte, unborn, locked,
        worktree_that_is_gone, folder_that_is_gone,
    ],
)  # fmt: skip
def test_whatever_cannot_be_read_is_no_version_and_no_error(repository: Path, arranged: Callable[[Path], None]) -> None:
    assert checked_out().endswith(" (main)")
    arranged(repository)
    assert checked_out() == ""


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another disk than the tests' own."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="burnish-checkout-") as name:
        yield Path(name)


def test_another_disk_is_not_asked(repository: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert repository.stat().st_dev != elsewhere.stat().st_dev
    shutil.move(repository / ".git", elsewhere / "moved")
    (repository / ".git").write_text(f"gitdir: {elsewhere / 'moved'}\n")
    assert git(repository, "rev-parse", "HEAD")  # git goes there
    asked: list[bytes] = []
    plain = checkout._read
    monkeypatch.setattr(checkout, "_read", lambda path: asked.append(path) or plain(path))
    assert checked_out() == ""
    assert not [path for path in asked if os.fsencode(elsewhere) in path]


def test_folders_above_are_asked_up_to_the_edge_of_the_disk_as_by_git(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    plain = checkout._read
    monkeypatch.setattr(checkout, "_read", lambda path: seen.append(path) or plain(path))
    (elsewhere / "a").mkdir()
    monkeypatch.chdir(elsewhere / "a")
    assert checked_out() == ""
    assert seen == [b".git/HEAD", b"../.git/HEAD", b"../../.git/HEAD"]  # the last in /dev/shm itself, and none in /dev


def test_it_costs_a_start_two_small_files(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    plain = os.open
    monkeypatch.setattr(os, "open", lambda path, *how: opened.append(path) or plain(path, *how))
    monkeypatch.setattr(os, "stat", lambda path: pytest.fail(f"looked at {path}"))
    assert checked_out()
    assert opened == [b".git/HEAD", b".git/refs/heads/main"]


def test_many_short_jobs_ask_the_disk_once_a_second(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(surroundings.time, "monotonic", lambda: now[0])
    around = surroundings.Surroundings("here")
    before = around.version.of(str(repository))
    after = commit(repository)
    now[0] += surroundings.HOLDS / 2
    assert around.version.of(str(repository)) == before
    assert around.version.of("another folder").startswith(after)
    now[0] += surroundings.HOLDS
    assert around.version.of(str(repository)).startswith(after)
