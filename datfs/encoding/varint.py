"""Unsigned LEB128 integers, as protobuf and every Dat v1 format writes them.

JavaScript counts exactly only below 2^53, so that is the limit of every length, index and offset of
Dat; a format that really holds 64 bits asks for more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datfs.errors import EncodingError

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer

JAVASCRIPT_LIMIT: Final = 1 << 53
"""First integer that a JavaScript number does not hold exactly."""

UINT64_LIMIT: Final = 1 << 64
"""First integer past protobuf's uint64."""

_SINGLE_BYTES: Final = tuple(bytes((value,)) for value in range(128))


def encode_varint(value: int) -> bytes:
    """Return `value` as a varint of 1 to 10 bytes.

    Raises:
        EncodingError: `value` is negative or needs more than 64 bits.
    """
    if 0 <= value < 128:
        return _SINGLE_BYTES[value]
    if not 0 <= value < UINT64_LIMIT:
        raise EncodingError(f"{value} does not fit into a varint")
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_varint(
    buffer: Buffer, offset: int = 0, *, limit: int = JAVASCRIPT_LIMIT
) -> tuple[int, int]:
    """Read the varint that starts at `offset`.

    Longer forms than needed (trailing zero groups) are accepted, as the JavaScript decoder does.

    Args:
        buffer: What holds the varint and possibly more.
        offset: Where it starts, in bytes.
        limit: First value that is refused; `UINT64_LIMIT` for fields of 64 bits.

    Returns:
        The value, and the offset of the byte after it.

    Raises:
        EncodingError: The buffer ends inside the varint, or the value reaches `limit`.
    """
    value = shift = 0
    end = len(buffer)
    while offset < end:
        byte = buffer[offset]
        offset += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value >= limit:
                raise EncodingError(f"varint {value} is too large")
            return value, offset
        shift += 7
        if shift > 63:
            raise EncodingError("varint is longer than 10 bytes")
    raise EncodingError("varint is cut short")
