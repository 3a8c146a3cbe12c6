"""A checksum in the first line of a file of JSON lines, so that what the disk did to it is noticed and not believed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from io import BytesIO

_KEY = b'{"crc32":"'
MARK = len(_KEY) + 8 + len('",')  # where what is summed begins


def seal(lines: Iterable[str]) -> bytearray:
    """A file of these lines, ASCII without newlines. The first, a JSON object, gets the CRC-32 of all that follows it as a key.

    They are taken one after the other: together they may have many MiB.
    """
    sealed = bytearray(MARK)
    for line in lines:
        sealed += f"{line}\n".encode("ascii")
    del sealed[MARK]  # the brace that the first line began with
    sealed[:MARK] = b'%s%08x",' % (_KEY, zlib.crc32(memoryview(sealed)[MARK:]))
    return sealed


def unseal(data: bytes) -> Iterator[str]:
    """The lines of a sealed file, one after the other: one may have many MiB. Raises ValueError for what is not sealed."""
    if not data:
        raise ValueError("it is empty")
    if data[:MARK] != b'%s%08x",' % (_KEY, zlib.crc32(memoryview(data)[MARK:])):
        raise ValueError("its checksum is not that of its content")
    return (line.decode("ascii").removesuffix("\n") for line in BytesIO(data))
