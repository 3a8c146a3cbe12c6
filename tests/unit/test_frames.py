"""Frames: whatever the pieces they come in, all of them and nothing else; anything over a limit ends the link."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from burnish.remote.agent.compact_json import RESULT_DEPTH, json_depth
from burnish.remote.agent.frames import BODY_LIMIT, DEPTH_LIMIT, HEADER_LIMIT, FrameReader, ProtocolError, encode_frame
from burnish.remote.agent.starts import request_of

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
headers = st.dictionaries(texts, values, max_size=4).map(lambda header: {**header, "type": "status"})
frames = st.lists(st.tuples(headers, st.binary(max_size=50)), max_size=5)


def raw(text: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">II", len(text), len(body)) + text + body


@given(frames, st.data())
def test_any_pieces_give_the_same_frames(sent: list[tuple[dict[str, Any], bytes]], data: st.DataObject) -> None:
    stream = b"".join(encode_frame(header, body) for header, body in sent)
    reader, heard = FrameReader(), []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        heard += reader.feed(stream[:cut])
        stream = stream[cut:]
    assert heard == sent


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_garbage_is_a_protocol_error_or_nothing(pieces: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for piece in pieces:
            for header, _ in reader.feed(piece):
                assert isinstance(header["type"], str)
    except ProtocolError:
        pass


@pytest.mark.parametrize("decode", [json.loads, request_of])
@example(text=b"[]")
@given(text=st.binary(max_size=60))
def test_garbage_header_of_the_right_length_is_a_protocol_error_or_a_header(
    decode: Callable[[str], Any], text: bytes
) -> None:
    try:
        ((header, body),) = FrameReader(decode).feed(raw(text))
    except ProtocolError:
        return
    assert isinstance(header, dict) and body == b""


def test_bytes_that_are_no_text_travel_as_surrogate_escapes() -> None:
    argv = [bytes(range(1, 256)).decode("utf-8", "surrogateescape")]
    ((header, _),) = FrameReader().feed(encode_frame({"type": "start", "argv": argv}))
    assert header["argv"] == argv


def nested(levels: int) -> dict[str, Any]:
    inner: Any = 0
    for _ in range(levels - 1):
        inner = [inner]
    return {"type": inner} if levels == 0 else {"type": "status", "in": inner}


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack(">II", HEADER_LIMIT + 1, 0),
        struct.pack(">II", 2, BODY_LIMIT + 1),
        struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF),
        raw(b"[" * 100_000),
        raw(b'{"type": "x", "in": ' + b"[" * 64 + b"]" * 64 + b"}"),
        raw(b"{}"),
        raw(b'{"type": 1}'),
        raw(b'["type"]'),
        raw(b""),
        raw(b'{"type": "\xff"}'),
        raw(b'{"type": "x", "n": ' + b"9" * 5000 + b"}"),
    ],
)
def test_what_is_over_a_limit_or_no_header_ends_the_link(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(FrameReader().feed(stream))


def test_limits_hold_when_sending_and_are_just_allowed() -> None:
    longest = {"type": "x", "pad": "y" * (HEADER_LIMIT - len('{"type":"x","pad":""}'))}
    full = b"z" * BODY_LIMIT
    assert list(FrameReader().feed(encode_frame(longest, full))) == [(longest, full)]
    with pytest.raises(ProtocolError):
        encode_frame({**longest, "pad": longest["pad"] + "y"})
    with pytest.raises(ProtocolError):
        encode_frame({"type": "x"}, full + b"z")
    with pytest.raises(ProtocolError):
        encode_frame(nested(DEPTH_LIMIT + 1))
    deepest = nested(DEPTH_LIMIT)
    assert list(FrameReader().feed(encode_frame(deepest))) == [(deepest, b"")]


def test_frames_before_a_bad_one_are_delivered() -> None:
    heard = []
    with pytest.raises(ProtocolError):
        for header, _ in FrameReader().feed(encode_frame({"type": "pong"}) + raw(b"no")):
            heard.append(header)
    assert heard == [{"type": "pong"}]


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        (b"1", 0),
        (b"[]", 1),
        (b"[[" + b"[]," * 40 + b"[[1]]]]", 4),
        (b'"' + b"[" * 50 + b'"', 0),
        (b'["\\"' + b"[" * 50 + b'"]', 1),
        (b'{"a\\\\": [' + b"{}," * 40 + b"{}]}", 3),
    ],
)
def test_depth_counts_brackets_outside_of_texts(text: bytes, depth: int) -> None:
    padded = text if text.count(b"[") + text.count(b"{") > RESULT_DEPTH else None
    assert json_depth(text) == depth if padded else json_depth(text) >= depth
