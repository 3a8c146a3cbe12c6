"""JSON as it is written everywhere here, and how deep a text of it nests."""

from __future__ import annotations

import json
import re

RESULT_DEPTH = 32  # levels of a job's result, which travels inside a header
encode_json = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
_JSON_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKET = re.compile(rb"[^][{}]+")


def json_depth(text: bytes) -> int:
    """How many levels of lists and objects `text`, some JSON, nests."""
    brackets = text.count(b"[") + text.count(b"{")
    if brackets <= RESULT_DEPTH:
        return brackets  # an upper bound, within all limits
    depth = deepest = 0
    for bracket in _NO_BRACKET.sub(b"", _JSON_TEXT.sub(b"", text)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest
