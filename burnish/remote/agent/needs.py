"""What has to be on the host before a command can run: its folder, its program, the script that Python is to read."""

from __future__ import annotations

import errno
import os
import stat

from .files import as_bytes
from .refusals import Lacking, Unstartable, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Sequence, Tuple

    from .records import Record


def search_path(environment: Dict[bytes, bytes]) -> bytes:
    """Where programs without a slash are sought."""
    return environment.get(b"PATH") or os.defpath.encode()


def find_program(name: bytes, path: bytes, folder: bytes = b"") -> bytes:
    """What `name` runs in `folder` (default: the current one), as called there, sought as a shell would. Raises Unstartable."""
    if b"/" in name:
        found = os.path.join(folder, name)
        try:
            is_folder = stat.S_ISDIR(os.stat(found).st_mode)
        except (OSError, ValueError):
            raise Unstartable("%s does not exist" % printable(name)) from None
        if is_folder or not os.access(found, os.X_OK):
            raise Unstartable("%s is not executable" % printable(name))
        return name
    for place in path.split(b":"):
        candidate = os.path.join(place, name)
        found = os.path.join(folder, candidate)
        if os.path.isfile(found) and os.access(found, os.X_OK):
            return candidate
    raise Unstartable("no program %s in PATH (%s)" % (printable(name), printable(path)))


def need_of(spec: Record, environment: Dict[bytes, bytes]) -> Record:
    """What `lack_of` is to look for. What `setup` lines bring about is not known before they have run."""
    if spec.get("setup"):
        return {"cwd": spec["cwd"]}
    return {
        "cwd": spec["cwd"],
        "programs": spec.get("programs") or spec["argv"][:1],
        "path": search_path(environment).decode("utf-8", "surrogateescape"),
        "script": spec.get("script"),
    }


def can_be_sought(need: Record) -> bool:
    """False for what `setup` lines did not bring about: only the next attempt can tell whether they do."""
    return "setup" not in need


def require(need: Record) -> bytes:
    """The program that was sought, as it is called in the folder; b"" if none was. Raises Lacking where `need` is not met.

    With the folder alone where that is missing, for then nothing can be started.
    """
    why, program = _look(need)
    if why:
        folder = {"cwd": need["cwd"]}
        raise Lacking(why, folder if lack_of(folder) else need)
    return program


def lack_of(need: Record) -> str:
    """Why a command with this need cannot be started on this host, a clause; "" if it can.

    `need`: the folder `cwd`; from there one of the `programs`, sought on `path`, and the file `script`.
    """
    return _look(need)[0]


def _look(need: Record) -> Tuple[str, bytes]:
    """Why it is not met, or "", and the program that was found."""
    folder = os.path.expanduser(need["cwd"])
    why, program = _lack_of_folder(folder), b""
    if not why:
        why, program = _look_for_programs(need.get("programs") or (), need.get("path") or "", as_bytes(folder))
    return why or _lack_of_script(need.get("script") or "", folder), program


def _lack_of_folder(folder: str) -> str:
    if os.access(as_bytes(folder) + b"/", os.X_OK):  # with the slash, only a folder
        return ""
    try:
        if not stat.S_ISDIR(os.stat(as_bytes(folder)).st_mode):
            return "%s is no folder" % printable(folder)
        if os.access(as_bytes(folder), os.X_OK):  # made since, or its name is as long as may be
            return ""
        why = os.strerror(errno.EACCES)
    except FileNotFoundError:
        return "%s does not exist" % printable(folder)
    except OSError as error:
        why = error.strerror or ""
    return "the folder %s cannot be entered: %s" % (printable(folder), why)


def _look_for_programs(programs: Sequence[str], path: str, folder: bytes) -> Tuple[str, bytes]:
    why = ""
    for program in programs:
        try:
            return "", find_program(as_bytes(program), as_bytes(path), folder)
        except Unstartable as error:
            why = str(error)
    if len(programs) > 1:
        why = "no program %s in PATH (%s)" % (printable(" or ".join(programs)), printable(path))
    return why, b""


def _lack_of_script(script: str, folder: str) -> str:
    """Only what is surely not there is lacking: the job says of anything else what it makes of it."""
    if not script:
        return ""
    try:
        os.stat(as_bytes(os.path.join(folder, script)))
    except (FileNotFoundError, NotADirectoryError):
        return "%s does not exist" % printable(os.path.join(folder, script))
    except OSError:
        pass
    return ""
