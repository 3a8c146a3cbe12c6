"""Disks that are full, refuse, or are closed, from one moment of a test to another; all of them need root.

A trouble is laid under a folder before anything is there, begins, and ends. Those that a file system can be in are real: a small
tmpfs, an ext4 in a file. A quota and a bad sector are told to processes by strace, which is attached to them, and let go of.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.sweeps import children
from tests.support.waiting import wait_for

IMAGE = 8 << 20  # bytes of an ext4


@dataclass(frozen=True)
class Target:
    """What a trouble begins at: a folder; the processes that use it, with or without what they start from now on, and the
    system calls by which they do, all of them or those on certain files."""

    folder: Path
    pids: Sequence[int] = ()
    follow: bool = True
    calls: str = ""
    files: Sequence[Path] = ()


class Trouble:
    """None at all; and what is common to the others. `words`: one of them is in a sentence about it."""

    words: tuple[str, ...] = ()
    injected = False  # needs the target's processes
    hit = True  # it has refused something; known of an injected one when it is over

    def lay(self, folder: Path, size: int) -> None:
        """Put what the trouble needs under the empty `folder`; `size` in bytes, if it matters."""

    def begin(self, target: Target) -> None:
        """Now."""

    def end(self) -> None:
        """It is over. Harmless if it never began."""

    def clear(self, folder: Path) -> None:
        """Take away what was laid."""
        self.end()
        subprocess.run(["umount", "-l", str(folder)], stderr=subprocess.DEVNULL)


class Full(Trouble):
    """No blocks are left, or no inodes, on a tmpfs or an ext4."""

    words = ("disk is full", "No space left")

    def __init__(self, kind: str, files: bool = False) -> None:
        self._kind = kind
        self._files = files
        self._ballast: list[Path] = []

    def lay(self, folder: Path, size: int) -> None:
        if self._kind == "tmpfs":
            mount("-t", "tmpfs", "-o", f"size={size},nr_inodes=400,mode=0700", "tmpfs", str(folder))
            return
        image = folder.parent / f"{folder.name}.ext4"
        with image.open("wb") as file:
            file.truncate(IMAGE)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", "400", str(image)], check=True)
        mount("-o", "loop", str(image), str(folder))
        (folder / "lost+found").rmdir()
        folder.chmod(0o700)

    def begin(self, target: Target) -> None:
        if self._files:
            for number in range(10_000):
                self._ballast.append(target.folder / f"ballast{number}")
                try:
                    self._ballast[-1].touch()
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    return
            raise AssertionError("it has room for any number of files")
        self._ballast = [target.folder / "ballast"]
        descriptor = os.open(self._ballast[0], os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while True:
                os.write(descriptor, bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC
        finally:
            os.close(descriptor)

    def end(self) -> None:
        while self._ballast:
            self._ballast.pop().unlink(missing_ok=True)


class ReadOnly(Trouble):
    """Mounted read-only: by a remount, or, where a file is open for writing and the kernel refuses that, for all that is opened
    from now on."""

    words = ("ead-only",)

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._over = False

    def lay(self, folder: Path, size: int) -> None:
        mount("-t", "tmpfs", "-o", "mode=0700", "tmpfs", str(folder))

    def begin(self, target: Target) -> None:
        self._folder = target.folder
        self._over = subprocess.run(["mount", "-o", "remount,ro", self._folder], capture_output=True).returncode != 0
        if self._over:
            mount("--bind", str(self._folder), str(self._folder))
            mount("-o", "remount,bind,ro", str(self._folder))

    def end(self) -> None:
        if self._folder is not None:
            if self._over:
                subprocess.run(["umount", "-l", str(self._folder)], check=True)
            else:
                mount("-o", "remount,rw", str(self._folder))
        self._folder = None


class Closed(Trouble):
    """Every folder has mode 0500. It keeps out whoever has not root's power over modes."""

    words = ("ermission",)

    def __init__(self) -> None:
        self._modes: dict[Path, int] = {}

    def begin(self, target: Target) -> None:
        for folder in (target.folder, *(path for path in target.folder.rglob("*") if path.is_dir())):
            self._modes[folder] = stat.S_IMODE(folder.stat().st_mode)
            folder.chmod(0o500)

    def end(self) -> None:
        while self._modes:
            folder, mode = self._modes.popitem()
            folder.chmod(mode)


class Refusing(Trouble):
    """Some calls of the target's processes end with an error: all of `calls`, or those of the target if that is empty."""

    injected = True

    def __init__(self, error: str, words: tuple[str, ...], calls: str = "") -> None:
        self.words = words
        self._error = error
        self._calls = calls
        self._tracer: subprocess.Popen[bytes] | None = None
        self._trace = Path()

    def begin(self, target: Target) -> None:
        calls = self._calls or target.calls
        self._trace = target.folder.parent / f"{target.folder.name}.trace"
        words = ["strace", "-qq", "-o", str(self._trace), "-e", f"trace={calls}"]
        words += ["-e", f"inject={calls}:error={self._error}"]
        words += ["-f"] if target.follow else []
        for file in target.files:
            words += ["-P", str(file)]
        for pid in target.pids:
            words += ["-p", str(pid)]
        self._tracer = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        wait_for(lambda: all(map(traced, target.pids)), f"strace does not trace {target.pids}")

    def end(self) -> None:
        if self._tracer is not None:
            self._tracer.send_signal(signal.SIGINT)
            self._tracer.wait(60)
            self.hit = "INJECTED" in self._trace.read_text()
        self._tracer = None


def mount(*words: str) -> None:
    """What needs root."""
    subprocess.run(["mount", *words], check=True)


def traced(pid: int) -> bool:
    """True if somebody traces this process, or it is gone."""
    try:
        return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def descendants(pid: int) -> Sequence[int]:
    """Pids of all that `pid` has started and that is still its child, and so on."""
    return [each for child in children(pid) for each in (child, *descendants(child))]
