"""What a user types in a folder and sees there: a case is a folder of files, with the exact screens in its file `screen`.

    $ mkfifo burnish.db
    $ burnish status
    error: burnish.db: this is a named pipe; expected a CSV file. Nothing was started.
    [exit 2, nothing written]

`$` is typed by an ordinary user, `#` by root. Below a burnish command stands what it wrote to stdout and stderr, then its exit
code and which entries of the folder it changed; `…` stands for anything within a line, and the folder is called /here. Other
commands go to a shell and prepare the ground: they print nothing. Each burnish command is a process of its own, forked from
this one, which has burnish loaded already, so that a hundred of them cost seconds. A case may mount what it likes: it does so in
a mount namespace of its own, where its folder is left as it was.
"""

from __future__ import annotations

import codecs
import ctypes
import importlib
import os
import pkgutil
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import burnish
from burnish.cli.main import outcome
from support.deadline import within

NOBODY = 65534
DEADLINE = 60.0  # s for one command
HERE = "/here"
MOUNT = "mount "
CLONE_NEWNS = 0x20000
PACKAGE = os.path.dirname(burnish.__file__)
LONG_AGO = 3600  # s: no table that was just saved is waited for
# What burnish and Python import only where it is used.
LATE_MODULES = ("difflib", "shlex", "filelock", "getpass", "rich.console")
LATE_ENCODINGS = ("utf-8-sig", "unicode_escape", "latin-1", "idna")
_CARETS = re.compile(r"\s+[~^]+")  # of a traceback, where Python is new enough
_BURNISH = re.compile(r"(?:env -u (?P<unset>\w+) )?(?P<set>(?:\w+=(?:'[^']*'|[^' ])* )*)burnish\b(?P<arguments>.*)")


@dataclass
class Screen:
    """A command with its prompt, and the lines below it."""

    prompt: str
    command: str
    shown: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([f"{self.prompt} {self.command}", *self.shown])


def read(case: Path) -> list[Screen]:
    """The screens of a case, in order."""
    screens: list[Screen] = []
    for line in (case / "screen").read_text(encoding="utf-8").splitlines():
        if line.startswith(("$ ", "# ")):
            screens.append(Screen(line[0], line[2:]))
        else:
            screens[-1].shown.append(line)
    return screens


def play(case: Path) -> list[Screen]:
    """Type the commands of `case` in a copy of its files, and give each with what it really shows."""
    load()
    with tempfile.TemporaryDirectory(prefix="burnish-screens-") as name:  # pytest's own folders are closed to others
        Path(name).chmod(0o755)
        folder = Path(name) / "here"
        (Path(name) / "home").mkdir(mode=0o777)
        shutil.copytree(case, folder, ignore=shutil.ignore_patterns("screen"))
        if os.geteuid() == 0:
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)
        there = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        mounts = any(screen.command.startswith(MOUNT) for screen in read(case))
        if mounts:
            _leave_mounts_of_others()
        try:
            return [Screen(screen.prompt, screen.command, _typed(screen, there, folder)) for screen in read(case)]
        finally:
            os.close(there)
            if mounts:
                subprocess.run(["umount", "--lazy", str(folder)], check=True)


def alike(expected: Screen, came: Screen) -> bool:
    """True if what came is what was expected."""
    pattern = re.escape("\n".join(expected.shown)).replace("…", ".*")
    return re.fullmatch(pattern, "\n".join(came.shown)) is not None


def load() -> None:
    """Import all of burnish: an ordinary user may not read this Python's files, and a fork has no time for them."""
    for module in pkgutil.walk_packages(burnish.__path__, "burnish."):
        if module.name not in ("burnish.__main__", "burnish.runners.function_child"):
            importlib.import_module(module.name)
    for name in LATE_MODULES:
        importlib.import_module(name)
    for encoding in LATE_ENCODINGS:
        codecs.lookup(encoding)


def _typed(screen: Screen, there: int, folder: Path) -> list[str]:
    found = _BURNISH.fullmatch(screen.command)
    if found is None:
        _prepare(screen, there)
        if screen.command.startswith(MOUNT):
            os.dup2(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), there)  # what is mounted there now
        else:
            _age(folder)
        return []
    before = _entries(folder)
    with (folder.parent / f"{folder.name}.screen").open("w+b", buffering=0) as file:
        pid = os.fork()
        if pid == 0:
            _become(screen.prompt, there, file.fileno(), found, str(folder.parent / "home"))
        code = _ended(pid)
        file.seek(0)
        text = file.read().decode(errors="replace").replace(str(folder), HERE)
    after = _entries(folder)
    changed = sorted({path.split("/")[0] for path in before.keys() | after if before.get(path) != after.get(path)})
    written = f"written: {', '.join(changed)}" if changed else "nothing written"
    return [*(line for line in text.splitlines() if not _CARETS.fullmatch(line)), f"[exit {code}, {written}]"]


def _leave_mounts_of_others() -> None:
    """From now on, what this process and its children mount is seen by nobody else."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def _prepare(screen: Screen, there: int) -> None:
    as_user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if _drops(screen.prompt) else []
    command = [*as_user, "sh", "-c", screen.command]
    done = subprocess.run(command, preexec_fn=lambda: os.fchdir(there), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), f"{screen.command}: {done}"


def _drops(prompt: str) -> bool:
    assert prompt == "$" or os.geteuid() == 0, "this is typed by root: run the tests as root"
    return prompt == "$" and os.geteuid() == 0


def _become(prompt: str, there: int, screen: int, command: re.Match[str], home: str) -> NoReturn:
    """This process becomes a burnish that somebody typed."""
    code = 70
    try:
        os.fchdir(there)
        os.umask(0o022)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(screen, 1)
        os.dup2(screen, 2)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(fd), "w", buffering=1, encoding="utf-8") for fd in (1, 2))
        if _drops(prompt):
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        os.environ["HOME"] = home
        for name in (command["unset"] or "", "VISUAL", "EDITOR"):
            os.environ.pop(name, None)
        os.environ.update(word.split("=", 1) for word in shlex.split(command["set"]))
        code = outcome(shlex.split(command["arguments"]))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _ended(pid: int) -> int:
    """The exit code of our child `pid`."""
    try:
        with within(DEADLINE):
            _, status = os.waitpid(pid, 0)
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return os.waitstatus_to_exitcode(status)


def _age(folder: Path) -> None:
    """What was prepared was there long before."""
    at = time.time() - LONG_AGO
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_file() and not path.is_symlink():
            os.utime(path, (at, at))


def _entries(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything in `folder` but what Python itself keeps beside a module: its kind and mode, and what it holds."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts):
        status = path.lstat()
        held: object = None
        if path.is_symlink():
            held = os.readlink(path)
        elif path.is_file():
            held = path.read_bytes() if status.st_size < 1 << 20 else (status.st_size, status.st_mtime_ns)
        found[str(path.relative_to(folder))] = (status.st_mode, held)
    return found


def main(cases: list[str]) -> None:
    """Write into each case what its commands show now, to be read by a person before it is believed."""
    for case in map(Path, cases):
        text = "".join(f"{screen}\n" for screen in play(case))
        (case / "screen").write_text(text, encoding="utf-8")
        sys.stdout.write(f"-- {case}\n{text}")


if __name__ == "__main__":
    main(sys.argv[1:])
