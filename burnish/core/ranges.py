"""`range(0, 10, 2)`, `linspace(0, 1, 5)`, `logspace(-5, -1, 5)`: lists that are computed instead of written."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

_CALL = re.compile(r"(range|linspace|logspace)\s*\((.*)\)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
# Steps such as 0.1 are not exact: range(0, 1, 0.1) has ten values, not eleven.
_SLACK = 1e-9


class RangeFault(ValueError):
    """The text looks like a range and is none. The message is a sentence."""


def values(text: str, most: int) -> tuple[str, ...] | None:
    """The texts that `text` stands for, or None when it is no range. Raises RangeFault; also above `most` values."""
    match = _CALL.fullmatch(text.strip())
    if match is None:
        return None
    name, arguments = match.group(1), [part.strip() for part in match.group(2).split(",")]
    wrong = next((part for part in arguments if not _NUMBER.fullmatch(part) or not math.isfinite(float(part))), None)
    if wrong is not None:
        raise RangeFault(f'"{wrong}" is not a number, in {text.strip()}.')
    made = _range(arguments, most) if name == "range" else _spaced(name, arguments, most)
    if not made:
        raise RangeFault(f"{text.strip()} is empty, so there would be no jobs.")
    return made


def _range(arguments: Sequence[str], most: int) -> tuple[str, ...]:
    if len(arguments) > 3:
        raise RangeFault("range takes a stop; a start and a stop; or a start, a stop and a step.")
    whole = all(_WHOLE.fullmatch(part) for part in arguments)
    numbers = [int(part) if whole else float(part) for part in arguments]
    start, stop, step = (0, numbers[0], 1) if len(numbers) == 1 else (*numbers, 1)[:3]
    if step == 0:
        raise RangeFault("range with a step of 0 never ends.")
    length = max(0, math.ceil((stop - start) / step - _SLACK))
    _check_length(length, most)
    if whole:
        return tuple(str(number) for number in range(int(start), int(stop), int(step)))
    return tuple(_text(start + index * step) for index in range(length))


def _spaced(name: str, arguments: Sequence[str], most: int) -> tuple[str, ...]:
    if len(arguments) != 3 or not _WHOLE.fullmatch(arguments[2]):
        raise RangeFault(f"{name} takes a first value, a last value and how many, such as {name}(0, 1, 5).")
    first, last, count = float(arguments[0]), float(arguments[1]), int(arguments[2])
    _check_length(count, most)
    points = [first + (last - first) * index / max(1, count - 1) for index in range(count)]
    if name == "linspace":
        return tuple(map(_text, points))
    try:
        return tuple(_text(10.0**point) for point in points)
    except OverflowError:
        raise RangeFault("logspace takes exponents of 10: logspace(-5, -1, 5) goes from 1e-05 to 0.1.") from None


def _check_length(length: int, most: int) -> None:
    if length > most:
        raise RangeFault(f"this range has {length} values; the limit is {most} (--max_jobs).")


def _text(number: float) -> str:
    """Twelve digits: 0.3, not 0.30000000000000004."""
    return f"{number:.12g}"
