"""Records: small texts of JSON that are made whole or not at all, and most of them once. Also on a full disk.

A record is the target of a symbolic link: one call makes name and content, for the first who calls, and syncing the folder
keeps both (xfstests generic/348 holds file systems to that). What is too long for that, and what finds no room or no such links
on its disk, is a file, made under another name and then linked.
"""

from __future__ import annotations

import errno
import json
import os

from .compact_json import encode_json
from .files import read_bytes, unlink, write_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

    Record = Dict[str, Any]

FULL = (errno.ENOSPC, errno.EDQUOT)
LONGEST_TARGET = 1000  # bytes; XFS takes 1023


def write_once(path: str, record: Record, brief: Optional[Record] = None) -> bool:
    """Make `path` with the content `record`, unless it exists. True if this call made it. Raises OSError.

    On a full disk, `brief` is kept instead: where it is short enough, a link's target needs no block of its own.
    """
    return make_once(path, encode_json(record), brief)


def make_once(path: str, text: str, brief: Optional[Record] = None) -> bool:
    """`write_once` of a record that is a text already."""
    made = point_once(text, path)
    if made is not None:
        return made
    try:
        return write_file_once(path, text)
    except OSError as error:
        if brief is None or error.errno not in FULL:
            raise
        return _symlink_once(encode_json(brief), path)


def point_once(text: str, path: str) -> Optional[bool]:
    """Make `path` a link to `text`, unless it exists. True if this call made it; None if it must be a file."""
    if len(text) > LONGEST_TARGET:
        return None
    try:
        return _symlink_once(text, path)
    except FileNotFoundError:
        raise
    except OSError:
        return None  # the disk has no room for it, or no such links


def write_file_once(path: str, text: str, sync: bool = False) -> bool:
    """Make the file `path`, unless it exists; with `sync`, its content is on disk before. True if this call made it."""
    temporary = "%s.%s.tmp" % (path, os.urandom(4).hex())
    try:
        write_file(temporary, text.encode("ascii"), sync)
        return link_once(temporary, path)
    finally:
        unlink(temporary)


def replace_record(path: str, record: Record, brief: Record) -> None:
    """Make the record at `path` say `record`, whatever it said; `brief` as in `write_once`. Raises OSError."""
    temporary = "%s.%s.new" % (path, os.urandom(4).hex())
    try:
        write_once(temporary, record, brief)
        os.rename(temporary, path)
    finally:
        unlink(temporary)


def link_once(source: str, path: str) -> bool:
    """Give `source` the name `path` unless that is taken. True if this call did."""
    try:
        os.link(source, path)
    except FileExistsError:
        # NFS may repeat a request whose answer was lost, and then find its own link.
        return os.path.exists(path) and os.stat(source).st_nlink == 2 and os.path.samefile(source, path)
    return True


def read_record(path: str) -> Optional[Record]:
    """The record at `path`; None where there is none; {} for one that cannot be read."""
    try:
        text: Any = _read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _read(path: str) -> "str | bytes":
    try:
        return os.readlink(path)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return read_bytes(path)


def _symlink_once(text: str, path: str) -> bool:
    try:
        os.symlink(text, path)
    except OSError as error:
        # NFS may repeat a request whose answer was lost, and find that it was done, or give up though it was. Who made it
        # is told by the text: a `go` has the pid of its maker, and of other records it does not matter.
        if os.path.islink(path):
            return os.readlink(path) == text
        if not isinstance(error, FileExistsError):
            raise
        return False
    return True
