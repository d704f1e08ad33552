"""Run-length encoded bitfields, as Have messages carry them (DEP-0010; npm bitfield-rle 2).

A sequence of parts, each a varint head: odd heads are a run of `head >> 2` bytes, 0xff if bit 1 of
the head is set and 0x00 otherwise; even heads are followed by `head >> 1` bytes as they are. Zero
bytes at the end are not written. The encoder makes the same choices as the JavaScript one, byte for
byte; the decoder takes any mix.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from datfs.encoding.varint import decode_varint, encode_varint
from datfs.errors import EncodingError

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer

_RUN: Final = re.compile(rb"\x00+|\xff+")


def encode(bits: Buffer) -> bytes:
    """Return the run-length form of `bits` (any number of bytes; trailing zero bytes are lost)."""
    plain = bytes(bits).rstrip(b"\0")
    encoded = bytearray()
    done = 0
    for match in _RUN.finditer(plain):
        start, end = match.span()
        literal_head = encode_varint(2 * (start - done)) if start > done else b""
        run_head = encode_varint((end - start) << 2 | (plain[start] & 2) | 1)
        # A run is written only where that is shorter than carrying its bytes along.
        cost_as_run = len(literal_head) + (start - done) + len(run_head)
        cost_as_bytes = len(encode_varint(2 * (end - done))) + (end - done)
        if cost_as_run < cost_as_bytes:
            encoded += literal_head
            encoded += plain[done:start]
            encoded += run_head
            done = end
    if done < len(plain):
        encoded += encode_varint(2 * (len(plain) - done))
        encoded += plain[done:]
    return bytes(encoded)


def decode(encoded: Buffer, *, limit_byte_length: int, alignment: int = 1) -> bytearray:
    """Return the bits of a run-length form.

    Args:
        encoded: What a peer sent.
        limit_byte_length: The most bytes that the result may have before alignment; a few bytes of
            input can stand for any number of them.
        alignment: The result is filled up with zero bytes to a multiple of this; hypercore reads
            Have bitfields with 4.

    Raises:
        EncodingError: A part is cut short or the result would pass `limit_byte_length`.
    """
    bits = bytearray()
    offset = 0
    end = len(encoded)
    while offset < end:
        head, offset = decode_varint(encoded, offset)
        size = head >> 2 if head & 1 else head >> 1
        if len(bits) + size > limit_byte_length:
            raise EncodingError(f"run-length bitfield is longer than {limit_byte_length} bytes")
        if head & 1:
            bits += (b"\xff" if head & 2 else b"\0") * size
        else:
            if offset + size > end:
                raise EncodingError("run-length bitfield is cut short")
            bits += encoded[offset : offset + size]
            offset += size
    bits += bytes(-len(bits) % alignment)
    return bits
