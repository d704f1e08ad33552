from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.encoding.protobuf import bytes_field, uint_field
from datfs.errors import EncodingError
from datfs.wire import messages as m
from datfs.wire.framing import frame_head, header
from tests.wire.transcripts import VECTORS, message_from_fields

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer

ROWS = json.loads((VECTORS / "protobufs.json").read_text())["messages"]
KINDS = (
    m.Feed,
    m.Handshake,
    m.Info,
    m.Have,
    m.Unhave,
    m.Want,
    m.Unwant,
    m.Request,
    m.Cancel,
    m.Data,
    m.Extension,
)

uints = st.integers(0, 2**53 - 1)
nodes = st.builds(m.ProofNode, uints, st.binary(min_size=32, max_size=32), uints)
any_message = st.one_of(
    st.builds(
        m.Feed,
        st.binary(min_size=32, max_size=32),
        st.none() | st.binary(min_size=24, max_size=24),
    ),
    st.builds(
        m.Handshake,
        id=st.none() | st.binary(max_size=40),
        live=st.booleans(),
        user_data=st.none() | st.binary(max_size=40),
        extensions=st.lists(st.text(max_size=20), max_size=5).map(tuple),
        ack=st.booleans(),
    ),
    st.builds(m.Info, st.booleans(), st.booleans()),
    st.builds(m.Have, uints, uints, st.none() | st.binary(max_size=40), st.booleans()),
    st.builds(m.Unhave, uints, uints),
    st.builds(m.Want, uints, uints),
    st.builds(m.Unwant, uints, uints),
    st.builds(m.Request, uints, uints, st.booleans(), uints),
    st.builds(m.Cancel, uints, uints, st.booleans()),
    st.builds(
        m.Data,
        uints,
        st.none() | st.binary(max_size=400),
        st.lists(nodes, max_size=5).map(tuple),
        st.none() | st.binary(min_size=64, max_size=64),
    ),
    st.builds(m.Extension, uints, st.binary(max_size=40)),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['name']}-{row['body'][:16]}")
def test_messages_are_written_and_read_as_javascript_does(row: dict[str, Any]) -> None:
    message = message_from_fields(row["name"], row["fields"])
    body = bytes.fromhex(row["body"])
    assert message.encode().hex() == row["body"]
    assert type(message).decode(body) == message
    assert message_from_fields(row["name"], row["decoded"]) == message
    head = frame_head(header(row["channel"], row["type"]), len(body))
    assert (head + body).hex() == row["frame"]
    assert row["type"] == message.TYPE


@given(any_message)
def test_what_is_written_is_read_back(message: m.Handshake | m.FeedMessage | m.Extension) -> None:
    body = message.encode()
    assert type(message).decode(body) == message
    assert type(message).decode(memoryview(bytearray(body))) == message


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(body=st.binary(max_size=80))
def test_any_bytes_decode_or_raise_encoding_error(kind: type[m.FeedMessage], body: bytes) -> None:
    try:
        message = kind.decode(body)
    except EncodingError:
        return
    assert kind.decode(message.encode()) == message


@given(any_message)
def test_unknown_fields_are_skipped(message: m.Handshake | m.FeedMessage | m.Extension) -> None:
    if not isinstance(message, m.Extension):
        later = bytes_field(100, b"from a later version") + uint_field(101, 1)
        assert type(message).decode(message.encode() + later) == message


def test_absent_fields_have_the_defaults_of_the_schema() -> None:
    start = uint_field(1, 5)
    assert m.Have.decode(start) == m.Have(5, 1, None, ack=False)
    assert m.Unhave.decode(start) == m.Unhave(5, 1)
    assert m.Want.decode(start) == m.Want(5, 0)
    assert m.Unwant.decode(start) == m.Unwant(5, 0)
    assert m.Request.decode(start) == m.Request(5, 0, hash_only=False, digest=0)
    assert m.Data.decode(start) == m.Data(5, None, (), None)
    assert m.Info.decode(b"") == m.Info(uploading=False, downloading=False)
    assert m.Handshake.decode(b"") == m.Handshake(id=None)


def test_an_empty_value_is_a_value() -> None:
    assert m.Data.decode(m.Data(1, b"").encode()).value == b""
    assert m.Data.decode(m.Data(1, None).encode()).value is None


@pytest.mark.parametrize(
    "kind", [m.Have, m.Unhave, m.Want, m.Unwant, m.Request, m.Cancel, m.Data, m.Feed]
)
def test_a_missing_required_field_is_an_error(kind: type[m.FeedMessage]) -> None:
    with pytest.raises(EncodingError):
        kind.decode(b"")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (m.Have, bytes_field(1, b"x")),
        (m.Have, uint_field(1, 1) + uint_field(3, 1)),
        (m.Data, uint_field(1, 1) + uint_field(3, 1)),
        (m.Feed, bytes_field(1, bytes(31))),
        (m.Feed, bytes_field(1, bytes(32)) + bytes_field(2, bytes(32))),
    ],
)
def test_fields_of_a_wrong_kind_or_size_are_errors(kind: type[m.Have], body: Buffer) -> None:
    with pytest.raises(EncodingError):
        kind.decode(body)


def test_a_node_needs_all_three_fields_and_a_hash_of_32_bytes_in_any_order() -> None:
    index, size = uint_field(1, 300), uint_field(3, 65536)
    digest = bytes_field(2, b"h" * 32)
    node = m.ProofNode(300, b"h" * 32, 65536)
    assert m.ProofNode.decode(index + digest + size) == node
    assert m.ProofNode.decode(size + digest + index) == node
    assert m.ProofNode.decode(index + digest + size + uint_field(9, 1)) == node
    for body in (index + digest, index + size, digest + size, b"", index + digest + b"\x18"):
        with pytest.raises(EncodingError):
            m.ProofNode.decode(body)
    with pytest.raises(EncodingError, match="31 bytes"):
        m.ProofNode.decode(index + bytes_field(2, b"h" * 31) + size)


def test_a_proof_of_a_million_nodes_is_refused() -> None:
    node = bytes_field(3, m.ProofNode(0, bytes(32), 0).encode())
    most = uint_field(1, 1) + node * m.MAX_PROOF_NODES
    assert len(m.Data.decode(most).nodes) == m.MAX_PROOF_NODES
    with pytest.raises(EncodingError, match="nodes"):
        m.Data.decode(most + node)


def test_extension_names_past_the_limit_are_left_out() -> None:
    body = bytes_field(4, b"x") * (m.MAX_EXTENSION_NAMES + 5)
    assert len(m.Handshake.decode(body).extensions) == m.MAX_EXTENSION_NAMES


def test_data_parts_joined_are_the_body_and_the_value_is_not_copied() -> None:
    value = bytes(70_000)
    data = m.Data(7, value, (m.ProofNode(1, bytes(32), 5),), bytes(64))
    assert b"".join(data.encode_parts()) == data.encode()
    assert data.encode_parts()[1] is value
