from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.encoding.varint import encode_varint
from datfs.errors import LocalProtocolError, RemoteProtocolError
from datfs.wire.framing import (
    KEEP_ALIVE,
    MAX_FRAME_BYTE_LENGTH,
    FrameDecoder,
    frame_head,
    header,
    split_header,
)


def frame(body: bytes) -> bytes:
    return encode_varint(len(body)) + body


def capacity(decoder: FrameDecoder) -> int:
    return memoryview(decoder.unread().obj).nbytes


def read_all(decoder: FrameDecoder) -> list[bytes]:
    frames = []
    while (got := decoder.next_frame()) is not None:
        frames.append(bytes(got))
    return frames


@given(st.lists(st.binary(max_size=400), max_size=20), st.data())
def test_frames_come_whole_and_in_order_in_any_slicing(
    bodies: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(map(frame, bodies))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    decoder = FrameDecoder()
    got = []
    for start, end in pairwise(sorted({0, len(stream), *cuts})):
        decoder.append(stream[start:end])
        got += read_all(decoder)
    assert got == bodies
    assert decoder.unread_byte_length == 0


def test_the_largest_frame_passes_and_one_byte_more_does_not() -> None:
    decoder = FrameDecoder()
    body = bytes(MAX_FRAME_BYTE_LENGTH)
    decoder.append(frame(body) + KEEP_ALIVE)
    assert read_all(decoder) == [body, b""]
    decoder.append(encode_varint(MAX_FRAME_BYTE_LENGTH + 1))
    with pytest.raises(RemoteProtocolError, match="8388609 bytes"):
        decoder.next_frame()


def test_a_length_that_never_ends_is_refused_at_once() -> None:
    decoder = FrameDecoder()
    decoder.append(b"\xff\xff\xff")
    assert decoder.next_frame() is None
    decoder.append(b"\xff")
    with pytest.raises(RemoteProtocolError, match="frame length"):
        decoder.next_frame()


def test_a_promised_length_takes_no_memory_before_the_bytes_come() -> None:
    decoder = FrameDecoder()
    decoder.append(encode_varint(MAX_FRAME_BYTE_LENGTH) + b"x")
    assert decoder.next_frame() is None
    assert capacity(decoder) <= 128 * 1024


def test_a_large_frame_does_not_keep_its_memory_for_ever() -> None:
    decoder = FrameDecoder()
    decoder.append(frame(bytes(4 * 1024 * 1024)))
    assert len(read_all(decoder)) == 1
    decoder.append(frame(b"x"))
    assert capacity(decoder) <= 128 * 1024
    assert read_all(decoder) == [b"x"]


class CountingDecoder(FrameDecoder):
    """Counts the bytes that were copied to make room."""

    copied_byte_length = 0

    def _make_room(self, byte_length: int) -> None:
        self.copied_byte_length += self.unread_byte_length
        super()._make_room(byte_length)


@pytest.mark.parametrize("slice_byte_length", [100, 512, 65536, 100_000])
def test_copying_is_in_proportion_to_what_comes_in_any_slicing(slice_byte_length: int) -> None:
    stream = frame(bytes(MAX_FRAME_BYTE_LENGTH)) + frame(bytes(65_600)) * 64
    decoder = CountingDecoder()
    count = 0
    for start in range(0, len(stream), slice_byte_length):
        decoder.append(stream[start : start + slice_byte_length])
        while decoder.next_frame() is not None:
            count += 1
    assert count == 65
    assert decoder.copied_byte_length < 2 * len(stream)


def test_heads_count_the_header_and_stop_at_the_limit() -> None:
    assert frame_head(header(0, 5), 6) == b"\x07\x05"
    assert frame_head(header(9, 5), 6) == b"\x08\x95\x01"
    assert frame_head(header(0, 9), MAX_FRAME_BYTE_LENGTH - 1)
    with pytest.raises(LocalProtocolError, match="cannot be sent"):
        frame_head(header(0, 9), MAX_FRAME_BYTE_LENGTH)


@given(st.integers(0, 255), st.integers(0, 15))
def test_headers_come_apart_as_they_were_put_together(number: int, message_type: int) -> None:
    assert split_header(header(number, message_type)) == (number, message_type)
