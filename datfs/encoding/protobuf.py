"""The part of protobuf's wire format that Dat v1 uses (proto2: varint and length-delimited fields).

Stat, append-tree nodes, headers, the messages of the wire protocol and the lobby's records are made
of these two kinds alone, so that a schema is no more than field numbers: each module that owns a
message reads it with `iter_fields` and writes it with `uint_field` and `bytes_field` in the order
of the numbers, as JavaScript's protocol-buffers does. What a message means, which fields it must
have and their defaults stay with its owner.

Google's protobuf (7.36, upb) was measured beside it on the messages of `wire`, both ending in our
message values; microseconds, ours first. A Data of 64 KiB alone: encode 1.2 and 5.1, decode 3.9 and
4.8; with two nodes and a signature: 4.0 and 6.1, 8.2 and 6.0; with twelve nodes: 16 and 12, 27 and
12. Have: 0.5 and 0.5, 1.7 and 1.1. Request: 1.3 and 0.8, 2.8 and 1.1. A stream of blocks, which
brings one or two nodes each, costs the same either way beside 27 for its cipher and 60 for its
hash, and this one needs neither generated code nor a dependency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datfs.encoding.varint import decode_varint, encode_varint
from datfs.errors import EncodingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datfs.encoding.buffer import Buffer

VARINT: Final = 0
LENGTH_DELIMITED: Final = 2
# Kinds that no message of Dat v1 has, with their sizes; a later version's unknown fields might.
_FIXED_BYTE_LENGTHS: Final = {1: 8, 5: 4}


def iter_fields(message: Buffer) -> Iterator[tuple[int, int | memoryview]]:
    """Read the fields of one message, in the order in which they lie there.

    A field may come several times: for a single value the last one counts, as everywhere in
    protobuf. Fixed-size fields (of unknown numbers, since no message has them) are skipped.

    Args:
        message: The whole message, nothing before or after it.

    Yields:
        The field's number and its value: an integer for a varint, a view into `message` for a
        length-delimited field.

    Raises:
        EncodingError: the message is cut short, holds a group or an unknown kind of field, or an
            integer of 2**53 or more. What came before the bad field was already yielded.
    """
    view = memoryview(message)
    end = len(view)
    offset = 0
    try:
        while offset < end:
            # One-byte varints are nearly all there are; a call for each would double the cost.
            tag = view[offset]
            offset += 1
            if tag >= 0x80:
                tag, offset = decode_varint(view, offset - 1)
            kind = tag & 7
            if kind in _FIXED_BYTE_LENGTHS:
                offset += _FIXED_BYTE_LENGTHS[kind]
                if offset > end:
                    raise EncodingError(f"protobuf field {tag >> 3} is cut short")
                continue
            value = view[offset]
            offset += 1
            if value >= 0x80:
                value, offset = decode_varint(view, offset - 1)
            if kind == VARINT:
                yield tag >> 3, value
            elif kind == LENGTH_DELIMITED:
                start = offset
                offset += value
                if offset > end:
                    raise EncodingError(f"protobuf field {tag >> 3} is cut short")
                yield tag >> 3, view[start:offset]
            else:
                raise EncodingError(f"protobuf field {tag >> 3} has the unknown kind {kind}")
    except IndexError:
        raise EncodingError("a protobuf message ends within a field") from None


def as_uint(value: int | memoryview) -> int:
    """Return a field's value where the schema says varint.

    Raises:
        EncodingError: the field is length-delimited.
    """
    if isinstance(value, int):
        return value
    raise EncodingError("a protobuf field holds bytes where a number belongs")


def as_view(value: int | memoryview) -> memoryview:
    """Return a field's value where the schema says embedded message, without a copy.

    Raises:
        EncodingError: the field is a varint.
    """
    if isinstance(value, int):
        raise EncodingError("a protobuf field holds a number where bytes belong")
    return value


def as_bytes(value: int | memoryview) -> bytes:
    """Return a copy of a field's value where the schema says bytes or string.

    Raises:
        EncodingError: the field is a varint.
    """
    if isinstance(value, int):
        raise EncodingError("a protobuf field holds a number where bytes belong")
    return bytes(value)


def uint_field(field_number: int, value: int) -> bytes:
    """Write an unsigned integer, or a bool as 0 or 1, with its tag.

    Args:
        field_number: as in the schema, from 1.
        value: 0 or more, below 2**53.
    """
    return encode_varint(field_number << 3 | VARINT) + encode_varint(value)


def bytes_field(field_number: int, value: Buffer) -> bytes:
    """Write bytes, a string's UTF-8 or an embedded message, with tag and length.

    Args:
        field_number: as in the schema, from 1.
        value: any bytes, copied.
    """
    head = encode_varint(field_number << 3 | LENGTH_DELIMITED) + encode_varint(len(value))
    return b"".join((head, value))
