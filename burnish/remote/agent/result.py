"""What a job reports of itself, in the file that BURNISH_RESULT names."""

from __future__ import annotations

import json
import os
import stat

from .compact_json import RESULT_DEPTH, json_depth
from .files import close
from .refusals import clause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .records import Record

RESULT_LIMIT = 64 << 10  # bytes


def read_result(path: str) -> Record:
    """{"result": object}, {"result_error": why}, or {} if the job reported nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return {}
    except OSError as error:
        return {"result_error": clause(error)}
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return {"result_error": "it is not a regular file"}
        text = b"".join(iter(lambda: os.read(descriptor, RESULT_LIMIT + 1), b""))
    except OSError as error:  # its file server does not know it any more
        return {"result_error": clause(error)}
    finally:
        close(descriptor)
    if len(text) > RESULT_LIMIT:
        return {"result_error": "it has %d bytes, and %d are allowed" % (len(text), RESULT_LIMIT)}
    if json_depth(text) > RESULT_DEPTH:
        return {"result_error": "it nests more than %d levels" % RESULT_DEPTH}
    try:
        result = json.loads(text.decode("utf-8"), parse_int=_short_int)
    except ValueError as error:
        return {"result_error": "it is no JSON: %s" % error}
    if not isinstance(result, dict):
        return {"result_error": "it is no JSON object"}
    return {"result": result}


def _short_int(digits: str) -> int:
    """Newer Pythons refuse to read longer ones, and a frame that cannot be read ends the link."""
    if len(digits) > 4000:
        raise ValueError("a number of %d digits" % len(digits))
    return int(digits)
