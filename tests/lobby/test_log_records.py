"""Records as bytes and back, and bytes that are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.crypto.box import BoxKeyPair
from datfs.encoding.protobuf import bytes_field, uint_field
from datfs.errors import EncodingError, NotAnArchive
from datfs.hyperdrive.header import Header, decode_header, encode_header, feed_type
from datfs.lobby.log_records import (
    RECORD_LIMIT_BYTES,
    Position,
    Record,
    RecordKind,
    decode_record,
    encode_log_header,
    is_log_header,
)
from datfs.lobby.seal import Sealed, SealedKind, seal
from datfs.lobby.signal import SIGNAL_LIMIT_BYTES

KEYS = st.binary(min_size=32, max_size=32)
RECORDS = st.builds(
    Record,
    kind=st.sampled_from(RecordKind),
    guest=st.just(b"") | KEYS,
    cause=st.none() | st.builds(Position, KEYS, st.integers(1, 2**53 - 1)),
    signal=st.binary(max_size=200),
)


@given(RECORDS)
def test_a_record_survives_its_bytes(record: Record) -> None:
    assert decode_record(record.encode()) == record


@given(RECORDS, st.binary(max_size=20))
def test_later_fields_are_skipped(record: Record, later: bytes) -> None:
    assert decode_record(record.encode() + bytes_field(9, later)) == record


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else(block: bytes) -> None:
    try:
        record = decode_record(block)
    except EncodingError:
        return
    assert len(record.guest) in (0, 32)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        uint_field(1, 6),
        bytes_field(1, b"x"),
        uint_field(1, 2) + bytes_field(2, b"short"),
        uint_field(1, 2) + uint_field(3, 1),
        uint_field(1, 2) + bytes_field(3, bytes_field(1, b"k" * 32)),
        uint_field(1, 2) + bytes_field(3, bytes_field(1, b"k" * 32) + uint_field(2, 0)),
        uint_field(1, 2) + bytes_field(3, uint_field(2, 1)),
        Record(kind=RecordKind.OFFER, signal=b"x" * RECORD_LIMIT_BYTES).encode(),
    ],
)
def test_what_is_no_record(block: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_record(block)


def test_the_first_block_tells_a_log_from_an_archive() -> None:
    archive = encode_header(Header(b"c" * 32))
    assert is_log_header(encode_log_header())
    assert not is_log_header(archive)
    assert not is_log_header(b"\xff\xff")
    assert feed_type(archive) == "hyperdrive"
    with pytest.raises(NotAnArchive, match="datfs-lobby-log"):
        decode_header(encode_log_header())


def test_the_largest_signal_fits_sealed() -> None:
    ours, theirs = (BoxKeyPair.from_secret_key(bytes([seed]) * 32) for seed in (1, 2))
    sealed = Sealed(
        kind=SealedKind.OFFER,
        lobby=b"l" * 32,
        guest=b"g" * 32,
        beacon_id=b"b" * 16,
        offer_id=b"o" * 32,
        text=b"x" * SIGNAL_LIMIT_BYTES,
    )
    stored = seal(sealed, ours=ours, theirs=theirs.public_key, nonce=b"n" * 24)
    cause = Position(b"h" * 32, 2**53 - 1)
    record = Record(kind=RecordKind.OFFER, guest=sealed.guest, cause=cause, signal=stored)
    assert decode_record(record.encode()) == record
