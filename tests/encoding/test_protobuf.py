from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.encoding.protobuf import bytes_field, iter_fields, uint_field
from datfs.errors import EncodingError

VECTORS = Path(__file__).parents[1] / "reference" / "vectors"
PROTOBUFS = json.loads((VECTORS / "protobufs.json").read_text())

STAT_FIELDS = {
    name: number
    for number, name in enumerate(
        ["mode", "uid", "gid", "size", "blocks", "offset", "byteOffset", "mtime", "ctime"], 1
    )
}

field_numbers = st.integers(1, 2**29 - 1)
integers = st.integers(0, 2**53 - 1)
fields = st.lists(st.tuples(field_numbers, integers | st.binary(max_size=300)))


def encode(values: list[tuple[int, int | bytes]]) -> bytes:
    return b"".join(
        uint_field(number, value) if isinstance(value, int) else bytes_field(number, value)
        for number, value in values
    )


def decode(message: bytes) -> list[tuple[int, int | bytes]]:
    return [
        (number, value if isinstance(value, int) else bytes(value))
        for number, value in iter_fields(message)
    ]


@pytest.mark.parametrize("row", PROTOBUFS["stats"], ids=lambda row: row["encoded"][:12])
def test_stats_as_javascript_writes_them(row: dict[str, dict[str, int] | str]) -> None:
    given_fields, encoded = row["fields"], row["encoded"]
    assert isinstance(given_fields, dict)
    assert isinstance(encoded, str)
    values: list[tuple[int, int | bytes]] = [
        (number, given_fields[name]) for name, number in STAT_FIELDS.items() if name in given_fields
    ]
    assert encode(values).hex() == encoded
    assert decode(bytes.fromhex(encoded)) == values


def test_a_header_as_javascript_writes_it() -> None:
    row = PROTOBUFS["index"]
    values: list[tuple[int, int | bytes]] = [
        (1, row["fields"]["type"].encode()),
        (2, bytes.fromhex(row["fields"]["content"])),
    ]
    assert encode(values).hex() == row["encoded"]
    assert decode(bytes.fromhex(row["encoded"])) == values


@given(fields)
def test_what_is_written_is_read_back(values: list[tuple[int, int | bytes]]) -> None:
    assert decode(encode(values)) == values


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_encoding_error(message: bytes) -> None:
    try:
        values = decode(message)
    except EncodingError:
        return
    assert decode(encode(values)) == values


@given(fields, st.data())
def test_a_cut_message_never_decodes_to_more_than_it_holds(
    values: list[tuple[int, int | bytes]], data: st.DataObject
) -> None:
    message = encode(values)
    cut = message[: data.draw(st.integers(0, len(message)))]
    try:
        got = decode(cut)
    except EncodingError:
        return
    assert got == values[: len(got)]


def test_fixed_fields_of_unknown_numbers_are_skipped() -> None:
    fixed64, fixed32 = b"\x79" + bytes(8), b"\x7d" + bytes(4)
    assert decode(fixed64 + uint_field(1, 7) + fixed32 + bytes_field(2, b"x")) == [
        (1, 7),
        (2, b"x"),
    ]


@pytest.mark.parametrize(
    "message",
    [
        b"\x08",  # a tag without its value
        b"\x08\x80",  # a cut varint
        b"\x0a\x05abcd",  # fewer bytes than the length says
        b"\x0a",
        b"\x80",  # a cut tag
        b"\x09" + bytes(7),  # cut fixed64
        b"\x0d" + bytes(3),  # cut fixed32
        b"\x0b\x0c",  # a group
        b"\x0e",  # no such kind
        b"\x08" + b"\xff" * 7 + b"\x7f",  # more than 2**53
        b"\x0a" + b"\xff" * 7 + b"\x7f",  # a length of more than 2**53
        b"\x08" + b"\x80" * 200,
    ],
    ids=lambda message: message[:12].hex(),
)
def test_bad_messages_raise(message: bytes) -> None:
    with pytest.raises(EncodingError):
        list(iter_fields(message))


def test_byte_values_are_views_that_share_the_message() -> None:
    message = bytearray(bytes_field(1, b"abc"))
    ((_, value),) = iter_fields(message)
    assert isinstance(value, memoryview)
    message[-1:] = b"d"
    assert bytes(value) == b"abd"
