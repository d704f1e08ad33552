"""Joining a lobby of carrier 1: a guest asks by session data to be heard (design section 8).

The payload is the magic `dfj1` and a protobuf message, 138 bytes in all, so that it fits the 256 of
DEP-0006:

    message Join {
      required bytes identity  = 1;  // the guest's identity key, 32 bytes
      required bytes writer    = 2;  // the key of the guest's writer archive, 32 bytes
      required bytes signature = 3;  // by the identity, 64 bytes
    }

Signed is `"datfs lobby join 1"`, lobby key, writer key and the handshake id of the receiver, 114
bytes: never a bare 32-byte message, for the same key signs the root hashes of the identity archive.
The receiver's id keeps one member from handing another's join on to the host as its own. Whether a
valid join is granted is decided in `admission`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from datfs.crypto.keys import PUBLIC_KEY_SIZE, SIGNATURE_SIZE, sign, verify
from datfs.encoding.protobuf import bytes_field, iter_fields
from datfs.errors import EncodingError, LobbyError

if TYPE_CHECKING:
    from datfs.crypto.keys import KeyPair

MAGIC: Final = b"dfj1"
HANDSHAKE_ID_SIZE: Final = 32

_SIGNED_PREFIX: Final = b"datfs lobby join 1"
_IDENTITY, _WRITER, _SIGNATURE = 1, 2, 3
_SIZES: Final = {_IDENTITY: PUBLIC_KEY_SIZE, _WRITER: PUBLIC_KEY_SIZE, _SIGNATURE: SIGNATURE_SIZE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A request to write in a lobby, as it was sent.

    Attributes:
        identity: key of the guest's identity archive, 32 bytes.
        writer: key of the guest's writer archive, 32 bytes.
        signature: 64 bytes, not verified yet.
    """

    identity: bytes
    writer: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return the session-data payload."""
        return MAGIC + b"".join(
            (
                bytes_field(_IDENTITY, self.identity),
                bytes_field(_WRITER, self.writer),
                bytes_field(_SIGNATURE, self.signature),
            )
        )

    def is_signed(self, *, lobby_key: bytes, receiver_id: bytes) -> bool:
        """Tell whether the identity signed this very request to this very receiver.

        Args:
            lobby_key: key of the lobby, 32 bytes.
            receiver_id: handshake id of the side that received it, 32 bytes.
        """
        text = _signed_text(lobby_key, self.writer, receiver_id)
        return verify(text, self.signature, self.identity)


def make_join(identity: KeyPair, *, writer: bytes, lobby_key: bytes, receiver_id: bytes) -> Join:
    """Sign a request to write in a lobby.

    Args:
        identity: the guest's identity key pair.
        writer: key of the guest's writer archive.
        lobby_key: key of the lobby.
        receiver_id: the handshake id that the other side of the connection sent.

    Raises:
        LobbyError: the id has not the 32 bytes of a handshake id, so the text that would be signed
            could be read in two ways.
    """
    if len(receiver_id) != HANDSHAKE_ID_SIZE:
        raise LobbyError(f"the peer's handshake id has {len(receiver_id)} bytes, not 32")
    text = _signed_text(lobby_key, writer, receiver_id)
    signature = sign(text, identity.secret_key)
    return Join(identity=identity.public_key, writer=writer, signature=signature)


def is_join(payload: bytes) -> bool:
    """Tell whether session data is a join and not somebody's presence."""
    return payload.startswith(MAGIC)


def parse_join(payload: bytes) -> Join:
    """Read a payload that `is_join`; later fields are skipped.

    Raises:
        EncodingError: a field is missing or has the wrong size.
    """
    found: dict[int, bytes] = {}
    for number, value in iter_fields(payload[len(MAGIC) :]):
        if number in _SIZES:
            if isinstance(value, int) or len(value) != _SIZES[number]:
                raise EncodingError(f"field {number} of a join has the wrong size")
            found[number] = bytes(value)
    if len(found) != len(_SIZES):
        raise EncodingError("a join lacks identity, writer or signature")
    return Join(identity=found[_IDENTITY], writer=found[_WRITER], signature=found[_SIGNATURE])


def _signed_text(lobby_key: bytes, writer: bytes, receiver_id: bytes) -> bytes:
    return _SIGNED_PREFIX + lobby_key + writer + receiver_id
