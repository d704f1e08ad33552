from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.encoding import rle
from datfs.errors import EncodingError
from tests import vectors

VECTORS = vectors.load("rle.json")
LIMIT = 1 << 20

runs = st.lists(
    st.one_of(
        st.binary(max_size=70),
        st.builds(lambda byte, n: byte * n, st.sampled_from([b"\0", b"\xff"]), st.integers(0, 300)),
    ),
    max_size=12,
).map(b"".join)


@pytest.mark.parametrize("row", VECTORS["encode"], ids=lambda row: row["name"])
def test_encodes_as_javascript_does(row: dict[str, str]) -> None:
    assert rle.encode(bytes.fromhex(row["bitfield"])).hex() == row["encoded"]


@pytest.mark.parametrize("row", VECTORS["decode"], ids=lambda row: row["encoded"][:20] or "empty")
def test_decodes_as_javascript_does(row: dict[str, Any]) -> None:
    encoded = bytes.fromhex(row["encoded"])
    if "error" in row:
        with pytest.raises(EncodingError):
            rle.decode(encoded, limit_byte_length=LIMIT)
        return
    assert rle.decode(encoded, limit_byte_length=LIMIT).hex() == row["align1"]
    assert rle.decode(encoded, limit_byte_length=LIMIT, alignment=4).hex() == row["align4"]


@given(runs)
def test_round_trip_is_never_longer_than_the_bytes_and_a_head(bits: bytes) -> None:
    encoded = rle.encode(bits)
    trimmed = bits.rstrip(b"\0")
    assert rle.decode(memoryview(encoded), limit_byte_length=LIMIT) == trimmed
    assert len(encoded) <= len(trimmed) + 3


def test_a_few_bytes_cannot_ask_for_gigabytes() -> None:
    bomb = b"\xff\xff\xff\xff\x7f"
    with pytest.raises(EncodingError, match="longer than 1024 bytes"):
        rle.decode(bomb, limit_byte_length=1024)
    with pytest.raises(EncodingError):
        rle.decode(b"\x07" * 1025, limit_byte_length=1024)
    assert len(rle.decode(b"\x07" * 1024, limit_byte_length=1024)) == 1024
