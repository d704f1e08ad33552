from __future__ import annotations

import pytest

from datfs.encoding.protobuf import bytes_field, uint_field
from datfs.errors import NotAnArchive
from datfs.hyperdrive.header import Header, decode_header, encode_header
from tests import vectors


def test_the_header_of_javascript() -> None:
    vector = vectors.load("protobufs.json")["index"]
    block = bytes.fromhex(vector["encoded"])
    header = decode_header(block)
    assert header.content_key.hex() == vector["fields"]["content"]
    assert encode_header(header) == block


def test_unknown_fields_are_skipped() -> None:
    block = encode_header(Header(bytes(32))) + uint_field(9, 1) + bytes_field(10, b"x")
    assert decode_header(block) == Header(bytes(32))


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (b"", "nothing"),
        (b"\xff\xff", "no header"),
        (bytes_field(1, b"datfs-lobby-log") + bytes_field(2, bytes(32)), "datfs-lobby-log"),
        (bytes_field(1, b"hyperdrive"), "no content feed"),
        (bytes_field(1, b"hyperdrive") + bytes_field(2, bytes(31)), "no content feed"),
        (uint_field(1, 3), "nothing"),
        (bytes_field(1, b"\xff" * 5000), "hyperdrive"),
    ],
)
def test_what_is_no_hyperdrive_says_what_it_is(block: bytes, says: str) -> None:
    with pytest.raises(NotAnArchive, match=says) as caught:
        decode_header(block)
    assert len(str(caught.value)) < 300
