from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.encoding.varint import JAVASCRIPT_LIMIT, UINT64_LIMIT, decode_varint, encode_varint
from datfs.errors import EncodingError


@pytest.mark.parametrize(
    ("value", "digits"),
    [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**53 - 1, "ffffffffffffff0f")],
)
def test_known_forms(value: int, digits: str) -> None:
    assert encode_varint(value).hex() == digits
    assert decode_varint(bytes.fromhex(digits)) == (value, len(digits) // 2)


@given(st.integers(0, UINT64_LIMIT - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_round_trip_inside_other_bytes(value: int, before: bytes, after: bytes) -> None:
    encoded = encode_varint(value)
    got = decode_varint(before + encoded + after, len(before), limit=UINT64_LIMIT)
    assert got == (value, len(before) + len(encoded))


@given(st.integers(128, UINT64_LIMIT - 1))
def test_every_cut_is_refused(value: int) -> None:
    encoded = encode_varint(value)
    for size in range(len(encoded)):
        with pytest.raises(EncodingError):
            decode_varint(encoded[:size], limit=UINT64_LIMIT)


def test_numbers_that_javascript_cannot_hold_are_refused() -> None:
    with pytest.raises(EncodingError):
        decode_varint(encode_varint(JAVASCRIPT_LIMIT))
    with pytest.raises(EncodingError):
        decode_varint(b"\xff" * 10 + b"\x01", limit=UINT64_LIMIT)
    with pytest.raises(EncodingError):
        decode_varint(b"\xff" * 9 + b"\x02", limit=UINT64_LIMIT)


@pytest.mark.parametrize("value", [-1, UINT64_LIMIT])
def test_what_does_not_fit_is_not_encoded(value: int) -> None:
    with pytest.raises(EncodingError):
        encode_varint(value)


def test_longer_forms_than_needed_are_read() -> None:
    assert decode_varint(b"\x81\x80\x00") == (1, 3)
