"""The messages of the replication protocol and their bytes (DEP-0010, hypercore-protocol 6.12).

Each message is a frozen value with `encode()` and `decode()` for its protobuf body; the frame
around it is for `framing`. JavaScript writes optional fields that hold their default (`bytes: 0,
hash: false, ack: false`), and so do these, byte for byte; absent fields decode as their defaults.
What a message may mean, and whether a peer may send it now, is for `connection` and those above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, TypeAlias

from datfs.encoding.protobuf import as_bytes, as_uint, as_view, bytes_field, iter_fields, uint_field
from datfs.encoding.varint import decode_varint, encode_varint
from datfs.errors import EncodingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from datfs.encoding.buffer import Buffer

DISCOVERY_KEY_BYTE_LENGTH: Final = 32
NONCE_BYTE_LENGTH: Final = 24  # DEP-0010 says 32; the original sends 24
MAX_EXTENSION_NAMES: Final = 256
"""Names read from a handshake; a frame could hold four million."""
MAX_PROOF_NODES: Final = 256
"""Nodes of one Data: a proof of 2**53 blocks has at most 106, a frame could hold a million."""

_HASH_BYTE_LENGTH: Final = 32
_NODE_INDEX_TAG: Final = uint_field(1, 0)[:1]
_NODE_HASH_HEAD: Final = bytes_field(2, bytes(_HASH_BYTE_LENGTH))[:2]  # tag and length
_NODE_SIZE_TAG: Final = uint_field(3, 0)[:1]
_VALUE_TAG: Final = bytes_field(2, b"")[:1]


@dataclass(frozen=True, slots=True)
class Feed:
    """Opens a feed on a channel; the first of a connection is sent in clear with the nonce.

    Attributes:
        discovery_key: 32 bytes.
        nonce: 24 bytes on the first Feed, else None.
    """

    discovery_key: bytes
    nonce: bytes | None = None

    TYPE: ClassVar[int] = 0

    def encode(self) -> bytes:
        """Return the protobuf body."""
        body = bytes_field(1, self.discovery_key)
        return body if self.nonce is None else body + bytes_field(2, self.nonce)

    @classmethod
    def decode(cls, body: Buffer) -> Feed:
        """Read a body; raises EncodingError, also for keys and nonces of other lengths."""
        discovery_key = nonce = None
        for number, value in iter_fields(body):
            if number == 1:
                discovery_key = as_bytes(value)
            elif number == 2:
                nonce = as_bytes(value)
        if discovery_key is None or len(discovery_key) != DISCOVERY_KEY_BYTE_LENGTH:
            raise EncodingError("a Feed message needs a discovery key of 32 bytes")
        if nonce is not None and len(nonce) != NONCE_BYTE_LENGTH:
            raise EncodingError(f"a Feed message's nonce has {len(nonce)} bytes, not 24")
        return cls(discovery_key, nonce)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """Says who speaks and what it can do; once a connection, after the first Feed.

    Attributes:
        id: Random bytes of the sender's choice (32), None if it sent none.
        live: Whether the sender wants to go on when everything is there.
        user_data: Anything, or None.
        extensions: Names in the order that Extension messages count in.
        ack: Whether each stored block is to be acknowledged by a Have.
    """

    id: bytes | None
    live: bool = False
    user_data: bytes | None = None
    extensions: tuple[str, ...] = ()
    ack: bool = False

    TYPE: ClassVar[int] = 1

    def encode(self) -> bytes:
        """Return the protobuf body."""
        return b"".join(
            (
                b"" if self.id is None else bytes_field(1, self.id),
                uint_field(2, self.live),
                b"" if self.user_data is None else bytes_field(3, self.user_data),
                *(bytes_field(4, name.encode()) for name in self.extensions),
                uint_field(5, self.ack),
            )
        )

    @classmethod
    def decode(cls, body: Buffer) -> Handshake:
        """Read a body; names past `MAX_EXTENSION_NAMES` are left out. Raises EncodingError."""
        identifier = user_data = None
        live = ack = False
        extensions: list[str] = []
        for number, value in iter_fields(body):
            if number == 1:
                identifier = as_bytes(value)
            elif number == 2:
                live = as_uint(value) != 0
            elif number == 3:
                user_data = as_bytes(value)
            elif number == 4:
                if len(extensions) < MAX_EXTENSION_NAMES:
                    extensions.append(as_bytes(value).decode(errors="replace"))
            elif number == 5:
                ack = as_uint(value) != 0
        return cls(
            id=identifier, live=live, user_data=user_data, extensions=tuple(extensions), ack=ack
        )


@dataclass(frozen=True, slots=True)
class Info:
    """Says whether the sender still serves and still wants blocks of a feed (see `Ending`).

    Attributes:
        uploading: Still answers requests.
        downloading: Still asks.
    """

    uploading: bool
    downloading: bool

    TYPE: ClassVar[int] = 2

    def encode(self) -> bytes:
        """Return the protobuf body."""
        return uint_field(1, self.uploading) + uint_field(2, self.downloading)

    @classmethod
    def decode(cls, body: Buffer) -> Info:
        """Read a body; absent fields are False. Raises EncodingError."""
        uploading = downloading = False
        for number, value in iter_fields(body):
            if number == 1:
                uploading = as_uint(value) != 0
            elif number == 2:
                downloading = as_uint(value) != 0
        return cls(uploading, downloading)


@dataclass(frozen=True, slots=True)
class Have:
    """Says which blocks the sender holds.

    Attributes:
        start: First block.
        length: Blocks from there; believe it no further than arithmetic on ranges goes.
        bitfield: Run-length encoded bits from `start` that replace what was known, or None: all
            blocks of the range are there.
        ack: The Have acknowledges a Data.
    """

    start: int
    length: int = 1
    bitfield: bytes | None = None
    ack: bool = False

    TYPE: ClassVar[int] = 3

    def encode(self) -> bytes:
        """Return the protobuf body; a plain announcement of one block leaves the length out."""
        body = uint_field(1, self.start)
        if self.length != 1 or self.bitfield is not None or self.ack:
            body += uint_field(2, self.length)
        if self.bitfield is not None:
            body += bytes_field(3, self.bitfield)
        if self.ack:
            body += uint_field(4, 1)
        return body

    @classmethod
    def decode(cls, body: Buffer) -> Have:
        """Read a body. Raises EncodingError."""
        start = bitfield = None
        length = 1
        ack = False
        for number, value in iter_fields(body):
            if number == 1:
                start = as_uint(value)
            elif number == 2:
                length = as_uint(value)
            elif number == 3:
                bitfield = as_bytes(value)
            elif number == 4:
                ack = as_uint(value) != 0
        if start is None:
            raise EncodingError("a Have message lacks its start")
        return cls(start, length, bitfield, ack)


def _decode_range(body: Buffer, default_length: int) -> tuple[int, int]:
    start = None
    length = default_length
    for number, value in iter_fields(body):
        if number == 1:
            start = as_uint(value)
        elif number == 2:
            length = as_uint(value)
    if start is None:
        raise EncodingError("a message about a range of blocks lacks its start")
    return start, length


@dataclass(frozen=True, slots=True)
class Unhave:
    """Says that the sender holds a range of blocks no more.

    Attributes:
        start: First block.
        length: Blocks from there; from 0 and at least as many as known means all.
    """

    start: int
    length: int = 1

    TYPE: ClassVar[int] = 4

    def encode(self) -> bytes:
        """Return the protobuf body; the length of one block is left out."""
        body = uint_field(1, self.start)
        return body if self.length == 1 else body + uint_field(2, self.length)

    @classmethod
    def decode(cls, body: Buffer) -> Unhave:
        """Read a body. Raises EncodingError."""
        return cls(*_decode_range(body, 1))


@dataclass(frozen=True, slots=True)
class Want:
    """Asks for Haves of a range of blocks, now and as they come.

    Attributes:
        start: First block, a multiple of 8192.
        length: Blocks from there, a multiple of 8192; 0 if the sender named none.
    """

    start: int
    length: int

    TYPE: ClassVar[int] = 5

    def encode(self) -> bytes:
        """Return the protobuf body."""
        return uint_field(1, self.start) + uint_field(2, self.length)

    @classmethod
    def decode(cls, body: Buffer) -> Want:
        """Read a body. Raises EncodingError."""
        return cls(*_decode_range(body, 0))


@dataclass(frozen=True, slots=True)
class Unwant:
    """Takes a Want back.

    Attributes:
        start: First block.
        length: Blocks from there; 0 if the sender named none.
    """

    start: int
    length: int

    TYPE: ClassVar[int] = 6

    def encode(self) -> bytes:
        """Return the protobuf body."""
        return uint_field(1, self.start) + uint_field(2, self.length)

    @classmethod
    def decode(cls, body: Buffer) -> Unwant:
        """Read a body. Raises EncodingError."""
        return cls(*_decode_range(body, 0))


@dataclass(frozen=True, slots=True)
class Request:
    """Asks for one block.

    Attributes:
        block_index: The block; a fallback only if `byte_offset` is not 0.
        byte_offset: Not 0: the block that holds this byte of the feed is meant.
        hash_only: Only the proof is wanted, no value.
        digest: Which nodes the asker has (protobuf field `nodes`; formats.md, Request).
    """

    block_index: int
    byte_offset: int = 0
    hash_only: bool = False
    digest: int = 0

    TYPE: ClassVar[int] = 7

    def encode(self) -> bytes:
        """Return the protobuf body."""
        return b"".join(
            (
                uint_field(1, self.block_index),
                uint_field(2, self.byte_offset),
                uint_field(3, self.hash_only),
                uint_field(4, self.digest),
            )
        )

    @classmethod
    def decode(cls, body: Buffer) -> Request:
        """Read a body. Raises EncodingError."""
        block_index = None
        byte_offset = digest = 0
        hash_only = False
        for number, value in iter_fields(body):
            if number == 1:
                block_index = as_uint(value)
            elif number == 2:
                byte_offset = as_uint(value)
            elif number == 3:
                hash_only = as_uint(value) != 0
            elif number == 4:
                digest = as_uint(value)
        if block_index is None:
            raise EncodingError("a Request message lacks its index")
        return cls(block_index, byte_offset, hash_only, digest)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Takes a Request back.

    Attributes:
        block_index: As in the Request.
        byte_offset: As in the Request.
        hash_only: As in the Request.
    """

    block_index: int
    byte_offset: int = 0
    hash_only: bool = False

    TYPE: ClassVar[int] = 8

    def encode(self) -> bytes:
        """Return the protobuf body."""
        return b"".join(
            (
                uint_field(1, self.block_index),
                uint_field(2, self.byte_offset),
                uint_field(3, self.hash_only),
            )
        )

    @classmethod
    def decode(cls, body: Buffer) -> Cancel:
        """Read a body. Raises EncodingError."""
        request = Request.decode(body)  # the same fields, of which a Cancel lacks the last
        return cls(request.block_index, request.byte_offset, request.hash_only)


class ProofNode(NamedTuple):
    """One node of a proof, in the order of `hypercore.merkle.Node` (a block brings some twenty).

    Attributes:
        node_index: Position in the flat tree.
        hash: 32 bytes.
        byte_length: Number of data bytes below the node (protobuf field `size`).
    """

    node_index: int
    hash: bytes
    byte_length: int

    def encode(self) -> bytes:
        """Return the protobuf body."""
        return b"".join(
            (
                _NODE_INDEX_TAG,
                encode_varint(self.node_index),
                bytes_field(2, self.hash),
                _NODE_SIZE_TAG,
                encode_varint(self.byte_length),
            )
        )

    @classmethod
    def decode(cls, body: Buffer) -> ProofNode:
        """Read a body; raises EncodingError, also for hashes of other lengths."""
        # Everybody writes the three fields in this order; reading it so takes half the time, and a
        # sparse reader's blocks bring a dozen nodes each.
        raw = bytes(body)
        if raw[:1] == _NODE_INDEX_TAG:
            node_index, start = decode_varint(raw, 1)
            end = start + len(_NODE_HASH_HEAD) + _HASH_BYTE_LENGTH
            if raw.startswith(_NODE_HASH_HEAD, start) and raw[end : end + 1] == _NODE_SIZE_TAG:
                byte_length, past = decode_varint(raw, end + 1)
                if past == len(raw):
                    return cls(node_index, raw[end - _HASH_BYTE_LENGTH : end], byte_length)
        return cls._decode_any_order(raw)

    @classmethod
    def _decode_any_order(cls, body: bytes) -> ProofNode:
        node_index = node_hash = byte_length = None
        for number, value in iter_fields(body):
            if number == 1:
                node_index = as_uint(value)
            elif number == 2:
                node_hash = as_bytes(value)
            elif number == 3:
                byte_length = as_uint(value)
        if node_index is None or node_hash is None or byte_length is None:
            raise EncodingError("a node of a proof lacks index, hash or size")
        if len(node_hash) != _HASH_BYTE_LENGTH:
            raise EncodingError(f"a node's hash has {len(node_hash)} bytes, not 32")
        return cls(node_index, node_hash, byte_length)


@dataclass(frozen=True, slots=True)
class Data:
    """Gives one block with its proof.

    Attributes:
        block_index: The block.
        value: Its bytes (empty is a value too), None if only the proof is given.
        nodes: The proof's nodes: uncles bottom-up, then the other roots left to right.
        signature: Of the root hash, 64 bytes; None if the proof ends at a node the asker has.
    """

    block_index: int
    value: bytes | None = None
    nodes: tuple[ProofNode, ...] = ()
    signature: bytes | None = None

    TYPE: ClassVar[int] = 9

    def encode_parts(self) -> tuple[bytes, bytes, bytes]:
        """Return the protobuf body as what lies before the value, the value itself, and the rest.

        Joined they are the body; apart, a block of 64 KiB is not copied on its way to the frame.
        """
        head = uint_field(1, self.block_index)
        rest = b"".join(bytes_field(3, node.encode()) for node in self.nodes)
        if self.signature is not None:
            rest += bytes_field(4, self.signature)
        if self.value is None:
            return head, b"", rest
        return head + _VALUE_TAG + encode_varint(len(self.value)), self.value, rest

    def encode(self) -> bytes:
        """Return the protobuf body."""
        return b"".join(self.encode_parts())

    @classmethod
    def decode(cls, body: Buffer) -> Data:
        """Read a body; the value is copied out of it once. Raises EncodingError."""
        block_index = value = signature = None
        nodes: list[ProofNode] = []
        for number, field in iter_fields(body):
            if number == 1:
                block_index = as_uint(field)
            elif number == 2:
                value = as_bytes(field)
            elif number == 3:
                if len(nodes) == MAX_PROOF_NODES:
                    raise EncodingError(f"a Data message has more than {MAX_PROOF_NODES} nodes")
                nodes.append(ProofNode.decode(as_view(field)))
            elif number == 4:
                signature = as_bytes(field)
        if block_index is None:
            raise EncodingError("a Data message lacks its index")
        return cls(block_index, value, tuple(nodes), signature)


@dataclass(frozen=True, slots=True)
class Extension:
    """A message of an extension (DEP-0010, "Extension"): no protobuf, a number and a payload.

    Attributes:
        index: Place of the extension's name in the list of the *sender's* Handshake.
        payload: The extension's own bytes.
    """

    index: int
    payload: bytes

    TYPE: ClassVar[int] = 15

    def encode(self) -> bytes:
        """Return the body."""
        return encode_varint(self.index) + self.payload

    @classmethod
    def decode(cls, body: Buffer) -> Extension:
        """Read a body. Raises EncodingError."""
        index, offset = decode_varint(body)
        return cls(index, bytes(body[offset:]))


FeedMessage: TypeAlias = Info | Have | Unhave | Want | Unwant | Request | Cancel | Data
"""What is said about one feed once its channel is open."""

FEED_MESSAGE_DECODERS: Final[Mapping[int, Callable[[Buffer], FeedMessage]]] = MappingProxyType(
    {
        message.TYPE: message.decode
        for message in (Info, Have, Unhave, Want, Unwant, Request, Cancel, Data)
    }
)
"""From a message's type number to the function that reads its body."""
