"""Inputs made of real ones: bytes, lines and pieces of other inputs changed at random; and JSON changed by its structure.

Everything is drawn from one `Random`, so an input is named by its reader and a number.
"""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

# What parsers trip over, whatever the language.
TOKENS = (
    *b'\0 \t \r \n \r\n " "" \' \\ , ; : # - --- ... & * ! | > % @ ` { } [ ] ? ~ = << '.split(b" "),
    *b"null true false yes NaN Infinity -Infinity 1e999 -0 010 0x1F 1_000 1:30 9999999999999999999999 0.1e-4 '".split(b" "),
    *b'{} [] "" {{ }} {0} %s $HOME ../.. * gpu[01:04] range(1e9) linspace(0,1,5) <<<<<<< ======= JOB_ID STATE GPUS'.split(b" "),
    *("\ufeff", "\u2028", "\x85", "é", "😀", "\x1b[2J", "\u202e", "\u0663"),
    b"\xff", b"\xfe\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan"),
    "", "x", "0", "-1", "1e999", "12.1-9f86d081", "../../etc", "\0", "\udcff", "\x1b[2J", "x" * 3000, [], {}, [[]], [None],
    {"": None}, {"x": {"x": 1}}, [1, 2, 3], ["a", "b"],
)  # fmt: skip
LONGEST = 20_000  # bytes of an input


def of_bytes(random: Random, seeds: Sequence[bytes], tokens: Sequence[bytes | str] = ()) -> bytes:
    """One of `seeds`, changed in a few places; `tokens`: pieces of the language."""
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        data = random.choice(_CHANGES)(random, data, seeds, (*TOKENS, *tokens))
    return bytes(data[:LONGEST])


def of_json(random: Random, values: list[Any], others: Sequence[Any]) -> list[Any]:
    """`values`, some JSON, with a few places changed: dropped, repeated, or put for others that stand elsewhere in `others`."""
    values = copy.deepcopy(values)
    for _ in range(random.choice((1, 1, 2, 4))):
        _change_inside(random, values, others)
    return values


def _change_inside(random: Random, root: list[Any], others: Sequence[Any]) -> None:
    holder, key = random.choice(list(_places(root)) or [(root, None)])
    if key is None:
        return
    match random.randrange(6):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(random.randrange(len(holder) + 1), copy.deepcopy(holder[key]))
        case 1:
            holder[random.choice(("", "extra", str(key).upper(), "fact", "type"))] = holder.pop(key)
        case 2:
            donor, place = random.choice(list(_places(list(others))))
            holder[key] = copy.deepcopy(donor[place])
        case 3 if isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] += random.choice((-1, 1, 10**6))
        case 3 if isinstance(holder[key], str):
            text = of_bytes(random, [holder[key].encode("utf-8", "surrogatepass")])
            holder[key] = text.decode("utf-8", "surrogateescape")
        case _:
            holder[key] = copy.deepcopy(random.choice(VALUES))


def _places(root: Any) -> list[tuple[Any, Any]]:
    """(list or object, index or key) of everything in `root`."""
    found: list[tuple[Any, Any]] = []
    queue = [root]
    while queue:
        holder = queue.pop()
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            found.append((holder, key))
            if isinstance(holder[key], list | dict):
                queue.append(holder[key])
    return found


def framed(headers: Sequence[Any], random: Random) -> bytes:
    """Frames of these headers, some with a body, some with a length that is not true."""
    stream = b""
    for header in headers:
        text, body = json.dumps(header).encode(), random.choice((b"", b"", b"log\n", b"\xff" * 100))
        lie = random.choice((0,) * 20 + (-1, 1, 2**20, 2**31))
        stream += struct.pack(">II", max(0, len(text) + lie), len(body)) + text + body
    return stream


# -- changes of bytes ----------------------------------------------------------------------------------------------


def _flip(random: Random, data: bytearray, seeds: Sequence[bytes], tokens: Sequence[bytes | str]) -> bytearray:
    if data:
        data[random.randrange(len(data))] = random.randrange(256)
    return data


def _cut(random: Random, data: bytearray, seeds: Sequence[bytes], tokens: Sequence[bytes | str]) -> bytearray:
    begin, end = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
    del data[begin : min(end, begin + random.choice((1, 4, 30, 10**6)))]
    return data


def _end(random: Random, data: bytearray, seeds: Sequence[bytes], tokens: Sequence[bytes | str]) -> bytearray:
    return data[: random.randint(0, len(data))]


def _repeat(random: Random, data: bytearray, seeds: Sequence[bytes], tokens: Sequence[bytes | str]) -> bytearray:
    begin = random.randint(0, len(data))
    piece = data[begin : begin + random.choice((1, 3, 20, 200))]
    data[begin:begin] = piece * random.choice((1, 1, 2, 50))
    return data


def _insert(random: Random, data: bytearray, seeds: Sequence[bytes], tokens: Sequence[bytes | str]) -> bytearray:
    token = random.choice(tokens)
    place = random.randint(0, len(data))
    data[place:place] = token.encode("utf-8", "surrogatepass") if isinstance(token, str) else token
    return data


def _splice(random: Random, data: bytearray, seeds: Sequence[bytes], tokens: Sequence[bytes | str]) -> bytearray:
    other = random.choice(seeds)
    begin = random.randint(0, len(other))
    place = random.randint(0, len(data))
    data[place:place] = other[begin : begin + random.choice((2, 20, 300))]
    return data


def _lines(random: Random, data: bytearray, seeds: Sequence[bytes], tokens: Sequence[bytes | str]) -> bytearray:
    """Lines dropped, repeated, moved, or indented."""
    lines = bytes(data).splitlines(keepends=True)
    if not lines:
        return data
    line = lines.pop(random.randrange(len(lines)))
    for made in random.choice(([], [line, line], [b"  " + line], [line.lstrip()], [line.rstrip()])):
        lines.insert(random.randint(0, len(lines)), made)
    return bytearray(b"".join(lines))


_CHANGES: tuple[Callable[..., bytearray], ...] = (_flip, _cut, _end, _repeat, _insert, _insert, _splice, _lines)
