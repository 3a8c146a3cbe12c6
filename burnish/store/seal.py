"""A checksum in the first line of a file of JSON lines, so that what the disk did to it is noticed and not believed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BytesIO

_KEY = b'{"crc32":"'
MARK = len(_KEY) + 8 + len('",')  # where what is summed begins


def seal(text: str) -> bytes:
    """`text`, ASCII, with the CRC-32 of all of it as the first key of the JSON object that is its first line."""
    summed = text[1:].encode("ascii")
    return b'%s%08x",%s' % (_KEY, zlib.crc32(summed), summed)


def unseal(data: bytes) -> Iterator[str]:
    """The lines of a sealed file, one after the other: one may have many MiB. Raises ValueError for what is not sealed."""
    if not data:
        raise ValueError("it is empty")
    if data[:MARK] != b'%s%08x",' % (_KEY, zlib.crc32(memoryview(data)[MARK:])):
        raise ValueError("its checksum is not that of its content")
    return (line.decode("ascii").removesuffix("\n") for line in BytesIO(data))
