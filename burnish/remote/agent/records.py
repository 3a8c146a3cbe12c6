"""Records: JSON files that are made whole or not at all, and most of them once. Also on a full disk."""

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


def write_once(path: str, record: Record, brief: Optional[Record] = None, sync: bool = False) -> bool:
    """Make `path` with the content `record`, unless it exists. True if this call made it. Raises OSError.

    On a full disk, `brief` is kept in a symbolic link's target instead, which needs no block of its own.
    """
    temporary = "%s.%s.tmp" % (path, os.urandom(4).hex())
    try:
        write_file(temporary, encode_json(record).encode("ascii"), sync)
        return link_once(temporary, path)
    except OSError as error:
        if brief is None or error.errno not in FULL:
            raise
        return _symlink_once(encode_json(brief), path)
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
        text: Any = read_bytes(path)
    except FileNotFoundError:
        try:
            text = os.readlink(path)
        except OSError:
            return None
    except NotADirectoryError:
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _symlink_once(text: str, path: str) -> bool:
    try:
        os.symlink(text, path)
    except FileExistsError:
        return False
    return True
