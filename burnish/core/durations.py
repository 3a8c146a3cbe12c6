"""Durations as people write them: `90`, `90s`, `10m`, `2h`, `3d`, `1h30m`."""

from __future__ import annotations

import re

EXPECTED = "a duration such as 90, 90s, 10m, 2h or 3d"

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])", re.ASCII)
_BARE = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def parse(text: str) -> float | None:
    """Seconds, or None when `text` is no duration. A bare number is seconds."""
    word = text.strip()
    if _BARE.fullmatch(word):
        return float(word)
    if _WHOLE.fullmatch(word):
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(word))
    return None
