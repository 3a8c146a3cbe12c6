"""Which version of the code a job runs: what git has checked out in its folder, read from git's files.

No git is started: HEAD names a commit, or a branch whose commit stands in a file of its own or in packed-refs. As git does, this
looks in the folders above, up to the edge of the disk. What lies on another disk is let be: it may not answer, and a start waits
for nothing that it does not need. Whatever cannot be read is no version, and no error.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

MOST_FOLDERS = 64  # above the job's
LONGEST = 8 << 20  # bytes that are read of a file: a repository may have a hundred thousand refs
PIECE = 1 << 16  # bytes
SHOWN = 12  # digits of a commit: enough for the largest repositories
LONGEST_BRANCH = 100  # bytes of its name
DIGITS = (40, 64)  # of a commit, by the hash that a repository uses
BRANCHES = b"refs/heads/"


def checked_out() -> str:
    """`3f2a91c04d1e (main)`: commit and branch of the repository that the current folder is in; "" if there is none to read."""
    try:
        return _version()
    except (OSError, ValueError):
        return ""


def _version() -> str:
    up, here = b"", None
    for _ in range(MOST_FOLDERS):
        try:
            return _of_head(up + b".git", up + b".git", _read(up + b".git/HEAD"))
        except FileNotFoundError:
            pass
        except NotADirectoryError:
            return _of_worktree(up)
        below, up = here or os.stat(b"."), up + b"../"
        here = os.stat(up)
        if here.st_dev != below.st_dev or here.st_ino == below.st_ino:
            break  # another disk, or the root
    return ""


def _of_worktree(up: bytes) -> str:
    """Of a worktree or a submodule: `.git` is a file that says where its folder is."""
    here = os.path.normpath(os.path.join(os.getcwdb(), up))
    said = _read(os.path.join(here, b".git"))
    if not said.startswith(b"gitdir: "):
        return ""
    own = os.path.normpath(os.path.join(here, said[len(b"gitdir: ") :].rstrip(b"\r\n")))
    if not _on_one_disk(here, own):
        return ""
    try:
        common = os.path.normpath(os.path.join(own, _read(os.path.join(own, b"commondir")).rstrip(b"\r\n")))
    except FileNotFoundError:
        common = own
    return _of_head(own, common, _read(os.path.join(own, b"HEAD"))) if _on_one_disk(here, common) else ""


def _of_head(own: bytes, common: bytes, head: bytes) -> str:
    head = head.strip()
    if not head.startswith(b"ref: "):
        return _short(head)
    ref = head[len(b"ref: ") :].strip()
    if not ref.startswith(b"refs/") or b".." in ref:
        return ""
    commit = _short(_commit_of(ref, own, common))
    branch = ref[len(BRANCHES) :] if ref.startswith(BRANCHES) else ref
    return "%s (%s)" % (commit, branch[:LONGEST_BRANCH].decode("utf-8", "replace")) if commit else ""


def _commit_of(ref: bytes, own: bytes, common: bytes) -> bytes:
    for folder in (own, common) if own != common else (own,):
        try:
            return _read(os.path.join(folder, ref)).strip()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            pass
    packed = _read(os.path.join(common, b"packed-refs"))
    end = packed.find(b" %s\n" % ref)
    return packed[packed.rfind(b"\n", 0, max(0, end)) + 1 : end] if end >= 0 else b""


def _short(commit: bytes) -> str:
    """The first digits of a commit; "" for what is none."""
    if len(commit) not in DIGITS or commit.strip(b"0123456789abcdef"):
        return ""
    return commit[:SHOWN].decode("ascii")


def _read(path: bytes) -> bytes:
    """The content of a file that anybody may have put there: a pipe is not waited for, and a flood ends. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        data = piece = os.read(descriptor, PIECE)
        while len(piece) == PIECE and len(data) < LONGEST:
            piece = os.read(descriptor, PIECE)
            data += piece
        return data
    finally:
        os.close(descriptor)


def _on_one_disk(one: bytes, other: bytes) -> bool:
    """True if both paths are below the same mount point. Told by the kernel's list: no disk is asked."""
    mounts = [line.split(b" ")[4].replace(b"\\040", b" ") for line in _read(b"/proc/self/mountinfo").splitlines()]
    return _mount_of(one, mounts) == _mount_of(other, mounts)


def _mount_of(path: bytes, mounts: "list[bytes]") -> "Optional[bytes]":
    above = [mount for mount in mounts if mount == b"/" or path == mount or path.startswith(mount + b"/")]
    return max(above, key=len, default=None)
