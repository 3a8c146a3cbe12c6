"""Lengths of time and times of day as a person reads them, at a constant few characters."""

from __future__ import annotations

import time

MINUTE, HOUR, DAY = 60, 3600, 86400


def short(seconds: float | None) -> str:
    """`0.4s`, `42s`, `3m12s`, `2h05m`, `3d04h`; empty for None. A negative length (clocks differ) is shown as `0s`."""
    if seconds is None:
        return ""
    if 0 < seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = max(0, round(seconds))
    if whole < MINUTE:
        return f"{whole}s"
    if whole < HOUR:
        return f"{whole // MINUTE}m{whole % MINUTE:02}s"
    if whole < DAY:
        return f"{whole // HOUR}h{whole % HOUR // MINUTE:02}m"
    return f"{whole // DAY}d{whole % DAY // HOUR:02}h"


def clock(at: float, now: float) -> str:
    """`at` in local time: `10:41` within twelve hours of `now`, `2026-11-22 10:41` otherwise. Both in seconds since 1970."""
    form = "%H:%M" if abs(now - at) < DAY / 2 else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(at))
