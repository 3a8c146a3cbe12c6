"""What goes before the rest of a sweep, as a person types it after `--canary`: `30m`, `hosts`, `hosts,30m`. Pure."""

from __future__ import annotations

from msgspec import Struct

from burnish.core import durations

EXPECTED = "nothing, a duration such as 30m, hosts (one job on each host), or both: hosts,30m"
EACH_HOST = "hosts"


class Canary(Struct, frozen=True):
    """One job goes first, or one on each host, and halts the sweep if it fails. One that `lives` so many s has proved enough."""

    lives: float = 600.0
    each_host: bool = False


def parse(text: str) -> Canary | None:
    """`` or `30m`, `hosts`, `hosts,30m` in any order; None for anything else."""
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    spans = [seconds for word in words if (seconds := durations.parse(word))]
    each = words.count(EACH_HOST)
    if len(spans) > 1 or each > 1 or len(spans) + each < len(words):
        return None
    return Canary(spans[0] if spans else Canary().lives, bool(each))
