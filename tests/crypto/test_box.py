from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.crypto.box import BoxKeyPair, open_box, seal_box
from datfs.errors import InvalidBox, InvalidKey

ALICE = BoxKeyPair.from_secret_key(b"\x01" * 32)
BOB = BoxKeyPair.from_secret_key(b"\x02" * 32)
EVE = BoxKeyPair.from_secret_key(b"\x03" * 32)
NONCE = b"n" * 24


@given(st.binary(max_size=200))
def test_either_end_opens_a_box_and_nobody_else(text: bytes) -> None:
    box = seal_box(text, nonce=NONCE, ours=ALICE, theirs=BOB.public_key)
    assert open_box(box, nonce=NONCE, ours=BOB, theirs=ALICE.public_key) == text
    assert open_box(box, nonce=NONCE, ours=ALICE, theirs=BOB.public_key) == text
    for other in (ALICE, BOB):
        with pytest.raises(InvalidBox):
            open_box(box, nonce=NONCE, ours=EVE, theirs=other.public_key)


def test_a_changed_box_or_nonce_opens_nothing() -> None:
    box = seal_box(b"text", nonce=NONCE, ours=ALICE, theirs=BOB.public_key)
    spoilt = [box[:-1], box[1:], b"", box + b"\0", bytes([box[0] ^ 1]) + box[1:]]
    for bytes_ in spoilt:
        with pytest.raises(InvalidBox):
            open_box(bytes_, nonce=NONCE, ours=BOB, theirs=ALICE.public_key)
    with pytest.raises(InvalidBox):
        open_box(box, nonce=b"m" * 24, ours=BOB, theirs=ALICE.public_key)


@pytest.mark.parametrize("theirs", [bytes(32), b"\x01" + bytes(31), b"short"])
def test_keys_that_make_no_secret_are_refused(theirs: bytes) -> None:
    with pytest.raises(InvalidKey):
        seal_box(b"text", nonce=NONCE, ours=ALICE, theirs=theirs)
    with pytest.raises(InvalidBox):
        open_box(b"x" * 40, nonce=NONCE, ours=ALICE, theirs=theirs)


def test_a_pair_is_that_of_its_secret_key_and_does_not_show_it() -> None:
    pair = BoxKeyPair.generate()
    assert BoxKeyPair.from_secret_key(pair.secret_key) == pair
    assert pair.secret_key.hex() not in repr(pair)
    assert repr(pair.secret_key) not in repr(pair)
    with pytest.raises(InvalidKey):
        BoxKeyPair.from_secret_key(b"short")
