"""Real editors, driven through a terminal of their own (tmux), as a person would type."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .waiting import wait_for

TRIES = 5  # of vim to write a file that others replace


class Terminal:
    """A screen with one program on it."""

    def __init__(self, socket: Path, command: Sequence[str]) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        environment.update(TERM="xterm", HOME=str(socket.parent), LC_ALL="C.UTF-8")
        size = ["-x", "120", "-y", "30"]
        subprocess.run([*self._tmux, "new-session", "-d", *size, *command], check=True, env=environment)

    def type(self, *keys: str) -> None:
        """Keys as tmux names them: text as it is, `Enter`, `Escape`, `C-o`."""
        for key in keys:
            subprocess.run([*self._tmux, "send-keys", *([key] if is_key(key) else ["-l", key])], check=True)

    @property
    def screen(self) -> str:
        """What it shows now; empty when the program has ended."""
        return subprocess.run([*self._tmux, "capture-pane", "-p"], capture_output=True, text=True).stdout

    @property
    def cursor_is_shown(self) -> bool:
        """False while a program hides it."""
        return self._told("cursor_flag") == "1"

    @property
    def pid(self) -> int:
        """The process that it was opened with."""
        return int(self._told("pane_pid"))

    def resize(self, columns: int) -> None:
        """Make it so many columns wide."""
        subprocess.run([*self._tmux, "resize-window", "-x", str(columns)], check=True)

    def shows(self, *fragments: str) -> None:
        """Wait until the screen shows one of these."""
        wait_for(lambda: any(fragment in self.screen for fragment in fragments), lambda: self.screen)

    def shows_row(self, job: int, last: str) -> None:
        """Wait until it shows the row of a job with this last cell."""
        row = re.compile(rf"^{job},.*,{last}\s*$", re.MULTILINE)
        wait_for(lambda: row.search(self.screen), lambda: self.screen)

    def hides(self, fragment: str) -> None:
        """Wait until it does not show this any more."""
        wait_for(lambda: fragment not in self.screen, lambda: self.screen)

    def end(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True)

    def _told(self, what: str) -> str:
        shown = subprocess.run([*self._tmux, "display", "-p", f"#{{{what}}}"], capture_output=True, text=True)
        return shown.stdout.strip()


def is_key(key: str) -> bool:
    return key in ("Enter", "Escape") or key.startswith(("C-", "M-"))


class Vim:
    """`how` are settings: by default vim writes a new inode unless that would lose something."""

    def __init__(self, path: Path, socket: Path, *how: str) -> None:
        settings = [argument for setting in how for argument in ("--cmd", f"set {setting}")]
        self._terminal = Terminal(socket, ["vim", "-u", "NONE", "-i", "NONE", "-n", *settings, str(path)])
        self._terminal.shows("JOB_ID,STATE")

    def replace(self, old: str, new: str) -> None:
        self._terminal.type(f":%s/{old}/{new}/e", "Enter")
        self._terminal.shows(new)

    def retype(self, job: int, new: str) -> None:
        """Type another text into the last cell of a job's row."""
        self._terminal.type(f":%s/^{job},.*,\\zs[^,]*$/{new}/", "Enter")
        self._terminal.shows_row(job, new)

    def save(self) -> None:
        """Write; yes, although the file has changed since it was read. Once more if it changed while vim asked (E949)."""
        for _ in range(TRIES):
            self._terminal.type(":w!", "Enter")
            self._terminal.shows("written", "(y/n)", "E949")
            if "(y/n)" in self._terminal.screen and "E949" not in self._terminal.screen:
                self._terminal.type("y")
                self._terminal.shows("written", "E949")
            refused = "E949" in self._terminal.screen
            self._terminal.type("Enter")
            self._terminal.hides("E949")
            if not refused:
                return
        raise AssertionError(f"vim wrote nothing in {TRIES} tries\n{self._terminal.screen}")

    def end(self) -> None:
        self._terminal.end()


class Nano:
    """`how` are options, such as -B for a backup."""

    def __init__(self, path: Path, socket: Path, *how: str) -> None:
        self._terminal = Terminal(socket, ["nano", "--ignorercfiles", *how, str(path)])
        self._terminal.shows("JOB_ID,STATE")

    def replace(self, old: str, new: str) -> None:
        self._terminal.type("M-\\", "C-\\")
        self._terminal.shows("Search (to replace)")
        self._terminal.type(old, "Enter")
        self._terminal.shows("Replace with")
        self._terminal.type(new, "Enter")
        self._terminal.shows("Replace this instance?")
        self._terminal.type("A")
        self._terminal.shows("Replaced")

    def retype(self, job: int, new: str) -> None:
        """Type another text into the last cell of a job's row."""
        self._terminal.type("M-\\", "C-\\")
        self._terminal.shows("(to replace)")
        if "[Regexp]" not in self._terminal.screen:  # it stays as it was chosen
            self._terminal.type("M-R")
            self._terminal.shows("[Regexp]")
        self._terminal.type(f"^({job},.*,)[^,]*$", "Enter")
        self._terminal.shows("Replace with")
        self._terminal.type(f"\\1{new}", "Enter")
        self._terminal.shows("Replace this instance?")
        self._terminal.type("A")
        self._terminal.shows("Replaced 1 occurrence")

    def save(self) -> None:
        """Write; yes, although the file has changed since it was read."""
        self._terminal.type("C-o")
        self._terminal.shows("File Name to Write", "Write to File")
        self._terminal.type("Enter")
        self._terminal.shows("Wrote", "File on disk has changed", "was modified")
        if "Wrote" not in self._terminal.screen:
            self._terminal.type("Y")
            self._terminal.shows("Wrote")

    def end(self) -> None:
        self._terminal.end()


Editor = Vim | Nano


@contextmanager
def editing(kind: type[Vim] | type[Nano], path: Path, *how: str) -> Iterator[Editor]:
    """An editor with `path` open, gone afterwards. vim and nano must be there: a test that needs them fails without."""
    assert shutil.which("tmux") and shutil.which(kind.__name__.lower())
    editor = kind(path, path.parent / f"tmux-{kind.__name__}", *how)
    try:
        yield editor
    finally:
        editor.end()
