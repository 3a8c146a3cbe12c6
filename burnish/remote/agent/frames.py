"""Messages between a coordinator and an agent: a header of JSON and a body of bytes, each with its length before it.

Both ends use this very module. docs/protocol.md says what the headers mean.
"""

from __future__ import annotations

import json
import struct

from .compact_json import encode_json, json_depth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, Tuple

    Header = Dict[str, Any]

PROTOCOL = 1
PREAMBLE = "\nburnish-agent %s\n"
HEADER_LIMIT = 4 << 20  # bytes
BODY_LIMIT = 1 << 20  # bytes
DEPTH_LIMIT = 64  # levels of a header
_PREFIX = struct.Struct(">II")


class ProtocolError(Exception):
    """Bytes that no peer of ours sends. The link ends."""


def encode_frame(header: Header, body: bytes = b"", encode: Callable[[Header], str] = encode_json) -> bytes:
    """One frame. `header` needs a key `type`; raises ProtocolError when a part is over its limit."""
    return frame_of(encode(header), body)


def frame_of(header: str, body: bytes = b"") -> bytes:
    """The same of a header that is a text of JSON already, in ASCII."""
    text = header.encode("ascii")
    if len(text) > HEADER_LIMIT or len(body) > BODY_LIMIT or json_depth(text) > DEPTH_LIMIT:
        raise ProtocolError("a frame of %d + %d bytes is over the limit" % (len(text), len(body)))
    return _PREFIX.pack(len(text), len(body)) + text + body


class FrameReader:
    """Cuts a stream of bytes into frames, whatever the pieces it comes in. `decode` reads JSON as `json.loads` does."""

    def __init__(self, decode: Callable[[str], Any] = json.loads) -> None:
        self._buffer = bytearray()
        self._decode = decode

    def feed(self, data: bytes) -> Iterator[Tuple[Header, bytes]]:
        """Yield (header, body) of each frame that is complete now. Raises ProtocolError; the stream is then of no use."""
        self._buffer += data
        while len(self._buffer) >= _PREFIX.size:
            header_size, body_size = _PREFIX.unpack_from(self._buffer)
            if header_size > HEADER_LIMIT or body_size > BODY_LIMIT:
                raise ProtocolError("a frame of %d + %d bytes is over the limit" % (header_size, body_size))
            middle = _PREFIX.size + header_size
            end = middle + body_size
            if len(self._buffer) < end:
                return
            text, body = bytes(self._buffer[_PREFIX.size : middle]), bytes(self._buffer[middle:end])
            del self._buffer[:end]
            yield self._header(text), body

    def _header(self, text: bytes) -> Header:
        if json_depth(text) > DEPTH_LIMIT:
            raise ProtocolError("a header nests more than %d levels" % DEPTH_LIMIT)
        try:
            header = self._decode(text.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ProtocolError("a header is no JSON: %s" % error) from None
        if not isinstance(header, dict) or not isinstance(header.get("type"), str):
            raise ProtocolError("a header is no object with a type")
        return header
