"""Frames: varint length, then varint header (channel << 4 | type) and message (DEP-0010, "Wire").

The length counts header and message; 0 is a keep-alive. This file cuts a byte stream into frames
and heads messages for sending. Encryption is for `cipher`, what a frame means for `connection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datfs.encoding.varint import encode_varint
from datfs.errors import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer

MAX_FRAME_BYTE_LENGTH: Final = 8 * 1024 * 1024
"""The original ends a stream that announces more (DEP-0002 speaks of 10 MB)."""

KEEP_ALIVE: Final = b"\0"

_TYPE_BITS: Final = 4
_MAX_LENGTH_BYTES: Final = 4  # as many as a varint of MAX_FRAME_BYTE_LENGTH takes
_LEAST_CAPACITY: Final = 64 * 1024
_RETAINED_CAPACITY: Final = 512 * 1024


def header(channel_number: int, message_type: int) -> int:
    """Return the number that stands in front of a message."""
    return channel_number << _TYPE_BITS | message_type


def split_header(value: int) -> tuple[int, int]:
    """Return channel number and message type of a frame's header."""
    return value >> _TYPE_BITS, value & (1 << _TYPE_BITS) - 1


def frame_head(header_value: int, body_byte_length: int) -> bytes:
    """Return what stands in front of a message's body: the frame's length and its header.

    Raises:
        LocalProtocolError: the frame would be longer than a peer accepts.
    """
    encoded = encode_varint(header_value)
    byte_length = len(encoded) + body_byte_length
    if byte_length > MAX_FRAME_BYTE_LENGTH:
        raise LocalProtocolError(
            f"a frame of {byte_length} bytes cannot be sent; {MAX_FRAME_BYTE_LENGTH} are the limit"
        )
    return encode_varint(byte_length) + encoded


class FrameDecoder:
    """Cuts what is received, in any slicing, into frames.

    All bytes go through one buffer that is filled at its end and read from its start. It moves or
    grows only after at least as many bytes were received as are copied, so that the whole is linear
    for any slicing; it grows with what has come, never with what a length promises.
    """

    __slots__ = ("_buffer", "_end", "_start")

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray())
        self._start = 0
        self._end = 0

    @property
    def unread_byte_length(self) -> int:
        """Bytes that were received and not yet handed out."""
        return self._end - self._start

    def append(self, data: Buffer) -> memoryview:
        """Take received bytes.

        Returns:
            A writable view of them in the buffer, to decrypt them in place before `next_frame`.
        """
        if self._start == self._end:
            self._start = self._end = 0
            if len(self._buffer) > _RETAINED_CAPACITY:
                self._buffer = memoryview(bytearray())
        if self._end + len(data) > len(self._buffer):
            self._make_room(len(data))
        start = self._end
        self._end = end = start + len(data)
        received = self._buffer[start:end]
        received[:] = data
        return received

    def unread(self) -> memoryview:
        """Return a writable view of all bytes not yet handed out."""
        return self._buffer[self._start : self._end]

    def next_frame(self) -> memoryview | None:
        """Take the next frame off the stream.

        Returns:
            Header and message, empty for a keep-alive; None if more bytes must come first. The view
            holds until the next `append`.

        Raises:
            RemoteProtocolError: the frame is longer than `MAX_FRAME_BYTE_LENGTH`.
        """
        buffer = self._buffer
        offset, end = self._start, self._end
        byte_length = shift = 0
        while True:
            if offset == end:
                return None
            byte = buffer[offset]
            offset += 1
            byte_length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift == 7 * _MAX_LENGTH_BYTES:
                raise RemoteProtocolError("the peer sent a frame length of more than 4 bytes")
        if byte_length > MAX_FRAME_BYTE_LENGTH:
            raise RemoteProtocolError(
                f"the peer sent a frame of {byte_length} bytes; "
                f"{MAX_FRAME_BYTE_LENGTH} are the limit"
            )
        frame_end = offset + byte_length
        if frame_end > end:
            return None
        self._start = frame_end
        return buffer[offset:frame_end]

    def _make_room(self, byte_length: int) -> None:
        unread = self.unread()
        needed = len(unread) + byte_length
        if 2 * needed <= len(self._buffer):
            self._buffer[: len(unread)] = unread
        else:
            grown = memoryview(bytearray(max(2 * needed, _LEAST_CAPACITY)))
            grown[: len(unread)] = unread
            self._buffer = grown
        self._start, self._end = 0, len(unread)
