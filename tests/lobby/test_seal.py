from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.crypto.box import BoxKeyPair, seal_box
from datfs.encoding.protobuf import bytes_field, uint_field
from datfs.errors import InvalidSignal
from datfs.lobby.seal import MAGIC, STORED_LIMIT_BYTES, Sealed, SealedKind, seal, sender_of, unseal
from datfs.lobby.signal import SIGNAL_LIMIT_BYTES

GUEST = BoxKeyPair.from_secret_key(b"\x01" * 32)
HOST = BoxKeyPair.from_secret_key(b"\x02" * 32)
NONCE = b"n" * 24
SEALED = Sealed(
    kind=SealedKind.OFFER,
    lobby=b"L" * 32,
    guest=b"G" * 32,
    beacon_id=b"B" * 16,
    offer_id=b"O" * 32,
    text=b"the text\0as it was written\n",
)
FIELDS = (
    uint_field(1, 1),
    bytes_field(2, SEALED.lobby),
    bytes_field(3, SEALED.guest),
    bytes_field(4, SEALED.beacon_id),
    bytes_field(5, SEALED.offer_id),
    bytes_field(6, SEALED.text),
)


def stored(sealed: Sealed = SEALED) -> bytes:
    return seal(sealed, ours=GUEST, theirs=HOST.public_key, nonce=NONCE)


def boxed(*fields: bytes) -> bytes:
    box = seal_box(b"".join(fields), nonce=NONCE, ours=GUEST, theirs=HOST.public_key)
    return MAGIC + GUEST.public_key + NONCE + box


@given(
    kind=st.sampled_from(SealedKind),
    lobby=st.binary(min_size=32, max_size=32),
    guest=st.binary(min_size=32, max_size=32),
    beacon_id=st.binary(min_size=16, max_size=16),
    offer_id=st.binary(min_size=32, max_size=32),
    text=st.binary(max_size=300),
)
def test_what_is_sealed_comes_out_at_both_ends(
    kind: SealedKind, lobby: bytes, guest: bytes, beacon_id: bytes, offer_id: bytes, text: bytes
) -> None:
    sealed = Sealed(
        kind=kind, lobby=lobby, guest=guest, beacon_id=beacon_id, offer_id=offer_id, text=text
    )
    bytes_ = stored(sealed)
    assert sender_of(bytes_) == GUEST.public_key
    assert unseal(bytes_, ours=HOST, theirs=GUEST.public_key) == sealed
    assert unseal(bytes_, ours=GUEST, theirs=HOST.public_key) == sealed


def test_the_largest_signal_fits_its_stored_limit() -> None:
    text = b"x" * SIGNAL_LIMIT_BYTES
    assert len(stored(replace(SEALED, text=text))) <= STORED_LIMIT_BYTES


def test_every_truncation_is_refused() -> None:
    whole = stored()
    for length in range(len(whole)):
        with pytest.raises(InvalidSignal):
            unseal(whole[:length], ours=HOST, theirs=GUEST.public_key)


def test_every_changed_byte_is_refused() -> None:
    whole = stored()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0x40
        with pytest.raises(InvalidSignal):
            unseal(bytes(changed), ours=HOST, theirs=GUEST.public_key)


def test_the_wrong_seal_keys_open_nothing() -> None:
    other = BoxKeyPair.from_secret_key(b"\x03" * 32)
    for ours, theirs in ((other, GUEST), (HOST, other), (GUEST, other)):
        with pytest.raises(InvalidSignal):
            unseal(stored(), ours=ours, theirs=theirs.public_key)


def test_nothing_is_sealed_to_a_key_that_makes_no_secret() -> None:
    with pytest.raises(InvalidSignal):
        seal(SEALED, ours=GUEST, theirs=bytes(32), nonce=NONCE)


def test_later_fields_are_skipped() -> None:
    later = boxed(*FIELDS, uint_field(7, 5), bytes_field(9, b"later"))
    assert unseal(later, ours=HOST, theirs=GUEST.public_key) == SEALED


@pytest.mark.parametrize("missing", range(len(FIELDS)))
def test_every_field_must_be_there_once(missing: int) -> None:
    fewer = [field for number, field in enumerate(FIELDS) if number != missing]
    for fields in (fewer, [*FIELDS, FIELDS[missing]]):
        with pytest.raises(InvalidSignal):
            unseal(boxed(*fields), ours=HOST, theirs=GUEST.public_key)


@pytest.mark.parametrize(
    ("number", "wrong"),
    [
        (0, uint_field(1, 0)),
        (0, uint_field(1, 3)),
        (0, bytes_field(1, b"\1")),
        (1, bytes_field(2, b"L" * 31)),
        (2, bytes_field(3, b"G" * 33)),
        (3, bytes_field(4, b"B" * 32)),
        (4, bytes_field(5, b"")),
        (4, uint_field(5, 1)),
        (5, uint_field(6, 1)),
    ],
)
def test_a_field_of_another_kind_or_size_is_refused(number: int, wrong: bytes) -> None:
    fields = [*FIELDS]
    fields[number] = wrong
    with pytest.raises(InvalidSignal):
        unseal(boxed(*fields), ours=HOST, theirs=GUEST.public_key)
