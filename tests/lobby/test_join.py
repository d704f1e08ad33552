from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.crypto.keys import KeyPair, sign
from datfs.encoding.protobuf import bytes_field
from datfs.errors import EncodingError, LobbyError
from datfs.lobby.join import MAGIC, Join, is_join, make_join, parse_join

IDENTITY = KeyPair.from_seed(b"\x01" * 32)
OTHER = KeyPair.from_seed(b"\x02" * 32)
LOBBY = b"\x03" * 32
WRITER = b"\x04" * 32
RECEIVER = b"\x05" * 32
JOIN = make_join(IDENTITY, writer=WRITER, lobby_key=LOBBY, receiver_id=RECEIVER)


def test_a_join_has_138_bytes_and_fits_into_session_data() -> None:
    payload = JOIN.encode()
    assert len(payload) == 138
    assert payload.startswith(b"dfj1")
    assert is_join(payload)
    assert not is_join(b"hello")
    assert parse_join(payload) == JOIN


def test_what_is_signed_is_the_design_s_text() -> None:
    text = b"datfs lobby join 1" + LOBBY + WRITER + RECEIVER
    assert len(text) == 114
    assert JOIN.signature == sign(text, IDENTITY.secret_key)


def test_a_join_holds_for_one_lobby_one_writer_one_receiver_and_one_identity() -> None:
    assert JOIN.is_signed(lobby_key=LOBBY, receiver_id=RECEIVER)
    assert not JOIN.is_signed(lobby_key=WRITER, receiver_id=RECEIVER)
    assert not JOIN.is_signed(lobby_key=LOBBY, receiver_id=LOBBY)
    stolen = Join(identity=IDENTITY.public_key, writer=OTHER.public_key, signature=JOIN.signature)
    assert not stolen.is_signed(lobby_key=LOBBY, receiver_id=RECEIVER)
    posing = Join(identity=OTHER.public_key, writer=WRITER, signature=JOIN.signature)
    assert not posing.is_signed(lobby_key=LOBBY, receiver_id=RECEIVER)


def test_a_receiver_with_an_odd_id_gets_no_signature() -> None:
    with pytest.raises(LobbyError, match="31 bytes"):
        make_join(IDENTITY, writer=WRITER, lobby_key=LOBBY, receiver_id=b"\x05" * 31)


def test_later_fields_are_skipped_and_wrong_ones_refused() -> None:
    assert parse_join(JOIN.encode() + bytes_field(4, b"later")) == JOIN
    with pytest.raises(EncodingError, match="lacks"):
        parse_join(MAGIC + bytes_field(1, IDENTITY.public_key))
    with pytest.raises(EncodingError, match="field 1"):
        parse_join(MAGIC + bytes_field(1, b"short"))
    with pytest.raises(EncodingError, match="field 2"):
        parse_join(MAGIC + b"\x10\x05")


@given(st.binary(max_size=252))
def test_no_payload_does_anything_worse_than_be_refused(body: bytes) -> None:
    with pytest.raises(EncodingError):
        parse_join(MAGIC + body)
