from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.errors import EncodingError
from datfs.staging.records import (
    BaseVersion,
    Moved,
    Record,
    Settled,
    Staged,
    decode_records,
    encode_record,
)

NUMBERS = st.integers(0, 2**53 - 1)
PATHS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
BASES = st.one_of(
    st.none(),
    NUMBERS,
    st.builds(BaseVersion, size=NUMBERS, blocks=NUMBERS, offset=NUMBERS, byte_offset=NUMBERS),
)
RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        Staged,
        content_id=NUMBERS,
        path=PATHS,
        written=st.booleans(),
        mtime_set=st.booleans(),
        mode=st.integers(0, 0o177777),
        mtime_ms=NUMBERS,
        base=BASES,
        base_limit=NUMBERS,
        lowest_size=NUMBERS,
        size=NUMBERS,
        in_file=st.booleans(),
        extents=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3).map(tuple),
        data=st.binary(max_size=40),
    ),
    st.builds(Moved, content_id=NUMBERS, path=PATHS, metadata_length=NUMBERS),
    st.builds(Settled, content_id=NUMBERS, metadata_length=NUMBERS, content_length=NUMBERS),
)


@given(st.lists(RECORDS, max_size=5))
def test_round_trip(records: list[Record]) -> None:
    journal = b"".join(map(encode_record, records))
    assert decode_records(journal) == (records, len(journal))


@given(st.lists(RECORDS, min_size=1, max_size=3), st.data())
def test_a_torn_or_damaged_tail_ends_the_journal(
    records: list[Record], data: st.DataObject
) -> None:
    whole = b"".join(map(encode_record, records[:-1]))
    last = encode_record(records[-1])
    torn = last[: data.draw(st.integers(0, len(last) - 1))]
    assert decode_records(whole + torn) == (records[:-1], len(whole))
    flipped = bytearray(last)
    flipped[data.draw(st.integers(8, len(last) - 1))] ^= 0x10
    assert decode_records(whole + flipped) == (records[:-1], len(whole))


def test_a_whole_frame_of_something_else_is_an_error() -> None:
    payload = b"X from the future"
    frame = len(payload).to_bytes(4, "big") + zlib.crc32(payload).to_bytes(4, "big") + payload
    with pytest.raises(EncodingError, match="byte 0"):
        decode_records(frame)
