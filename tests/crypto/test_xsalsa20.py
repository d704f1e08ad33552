from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.crypto.xsalsa20 import XSalsa20

VECTORS = Path(__file__).parents[1] / "reference" / "vectors"
CASES = json.loads((VECTORS / "cipher.json").read_text())["cases"]

KEY = bytes(range(32))
NONCE = bytes(range(24))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["key"][:4])
def test_reference_key_streams_taken_in_the_recorded_pieces(
    case: dict[str, str],
) -> None:
    cipher = XSalsa20(bytes.fromhex(case["key"]), bytes.fromhex(case["nonce"]))
    got = b"".join(cipher.process(bytes(int(size))) for size in case["updateSizes"])
    assert got == bytes.fromhex(case["keystream"])


@given(st.lists(st.integers(0, 300), max_size=20))
def test_any_slicing_gives_the_stream_of_one_call(sizes: list[int]) -> None:
    text = bytes(i % 251 for i in range(sum(sizes)))
    whole = XSalsa20(KEY, NONCE).process(text)

    cipher = XSalsa20(KEY, NONCE)
    pieces = bytearray(text)
    at = 0
    for size in sizes:
        cipher.process_in_place(pieces, at, at + size)
        at += size

    assert pieces == whole
    assert cipher.position == len(text)


def test_only_the_asked_range_is_touched_and_views_work() -> None:
    buffer = bytearray(300)
    cipher = XSalsa20(KEY, NONCE)
    cipher.process_in_place(memoryview(buffer)[10:20])
    cipher.process_in_place(buffer, 20, 200)
    assert buffer[:10] == bytes(10)
    assert buffer[200:] == bytes(100)
    assert buffer[10:200] == XSalsa20(KEY, NONCE).process(bytes(190))


def test_the_buffer_can_grow_again_afterwards() -> None:
    buffer = bytearray(100)
    XSalsa20(KEY, NONCE).process_in_place(buffer)
    buffer += b"more"
    assert len(buffer) == 104


def test_decrypting_gives_the_text_back_over_block_boundaries() -> None:
    text = b"dat" * 50_000
    sealed = XSalsa20(KEY, NONCE).process(text)
    assert sealed != text
    assert XSalsa20(KEY, NONCE).process(sealed) == text


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (6, 5), (0, 11), (11, 11)])
def test_a_range_outside_the_buffer_is_refused_and_moves_nothing(start: int, end: int) -> None:
    cipher = XSalsa20(KEY, NONCE)
    buffer = bytearray(10)
    with pytest.raises(ValueError, match="of a buffer of 10"):
        cipher.process_in_place(buffer, start, end)
    assert cipher.position == 0
    assert buffer == bytes(10)


@pytest.mark.parametrize(("key", "nonce"), [(bytes(31), NONCE), (KEY, bytes(32))])
def test_wrong_key_or_nonce_lengths_are_refused(key: bytes, nonce: bytes) -> None:
    # DEP-0010 speaks of a 32-byte nonce; what is spoken has 24.
    with pytest.raises(ValueError, match="bytes, not"):
        XSalsa20(key, nonce)
