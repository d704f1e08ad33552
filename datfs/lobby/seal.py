"""The sealed form of offers and answers: what other members see of them (design section 9).

Offers and answers carry addresses, and all members replicate them. Stored is therefore

    magic `dfs1` | sender's seal key, 32 bytes | nonce, 24 bytes | crypto_box

between the seal keys (X25519) of the guest and the host, and in the box a protobuf message:

    message Sealed {
      required uint32 kind   = 1;  // 1 offer, 2 answer (or refusal)
      required bytes  lobby  = 2;  // key of the lobby, 32 bytes
      required bytes  guest  = 3;  // HASH, 32 bytes
      required bytes  beacon = 4;  // id of the beacon, 16 bytes
      required bytes  offer  = 5;  // SHA-256 of the offer's text, 32 bytes
      required bytes  text   = 6;  // the signal as it was written
    }

So a box copied to another name, lobby or time is known as such. The key of a box is shared by its
two ends: either opens what it has sealed itself, and `kind` with the sender's key tells who sealed.
What one end must find in a box before it acts upon it is in `host_sealing` and `guest_sealing`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

from datfs.crypto.box import (
    BOX_KEY_SIZE,
    BOX_NONCE_SIZE,
    BOX_OVERHEAD,
    open_box,
    seal_box,
)
from datfs.encoding.protobuf import bytes_field, iter_fields, uint_field
from datfs.errors import EncodingError, InvalidBox, InvalidKey, InvalidSignal
from datfs.lobby.signal import BEACON_ID_SIZE, IDENTITY_SIZE, OFFER_ID_SIZE, SIGNAL_LIMIT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.crypto.box import BoxKeyPair

MAGIC: Final = b"dfs1"
HEAD_SIZE: Final = len(MAGIC) + BOX_KEY_SIZE + BOX_NONCE_SIZE

_KIND, _LOBBY, _GUEST, _BEACON, _OFFER, _TEXT = 1, 2, 3, 4, 5, 6
_SIZES: Final = {
    _LOBBY: 32,
    _GUEST: IDENTITY_SIZE,
    _BEACON: BEACON_ID_SIZE,
    _OFFER: OFFER_ID_SIZE,
}
_FIELDS_LIMIT: Final = 256  # kind, sizes and tags of all fields, with room for later ones

STORED_LIMIT_BYTES: Final = SIGNAL_LIMIT_BYTES + HEAD_SIZE + BOX_OVERHEAD + _FIELDS_LIMIT
"""The largest signal file as it is stored, sealed."""


class SealedKind(IntEnum):
    """What is in a box."""

    OFFER = 1
    ANSWER = 2


_KINDS: Final = frozenset(SealedKind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What is in a box.

    Attributes:
        kind: offer, or answer and refusal.
        lobby: key of the lobby, 32 bytes.
        guest: identity key of the guest who offers or is answered, 32 bytes.
        beacon_id: of the beacon that the offer is for.
        offer_id: SHA-256 of the text of the offer, or of the offer that is answered.
        text: the signal as it was written.
    """

    kind: SealedKind
    lobby: bytes
    guest: bytes
    beacon_id: bytes
    offer_id: bytes
    text: bytes


@dataclass(frozen=True, slots=True)
class SignalForm:
    """How one signal is kept in an archive, and what its two ends see of it (a `StoredForm`).

    Attributes:
        stored: gives what is kept of a text. Raises NotYet if it cannot be sealed before something
            else has come, and InvalidSignal if it must not be kept at all.
        shown: gives the text of what is kept; what is not sealed, or not by us or to us, as it is.
        stored_limit: the largest signal file, sealed.
    """

    stored: Callable[[bytes], bytes]
    shown: Callable[[bytes], bytes]
    stored_limit: int = STORED_LIMIT_BYTES


class Sealing(Protocol):
    """One end of a lobby's sealed signals."""

    def form(self, name: str) -> SignalForm | None:
        """Return the form of the signal with this name; None if nobody seals it to us or for us."""


def is_sealed(stored: bytes) -> bool:
    """Tell whether a signal file is sealed and not plain JSON or SDP."""
    return stored.startswith(MAGIC)


def offer_id_of(text: bytes) -> bytes:
    """Return the id of an offer: SHA-256 of its text as it was written."""
    return hashlib.sha256(text).digest()


def sender_of(stored: bytes) -> bytes:
    """Return the seal key of whoever sealed this, as is claimed.

    Raises:
        InvalidSignal: it is cut short.
    """
    if len(stored) < HEAD_SIZE + BOX_OVERHEAD or not is_sealed(stored):
        raise InvalidSignal("this is no sealed signal, or is cut short")
    return stored[len(MAGIC) : len(MAGIC) + BOX_KEY_SIZE]


def seal(sealed: Sealed, *, ours: BoxKeyPair, theirs: bytes, nonce: bytes) -> bytes:
    """Return the bytes to store.

    Args:
        sealed: what goes into the box.
        ours: the sender's seal keys.
        theirs: the receiver's seal key.
        nonce: 24 random bytes.

    Raises:
        InvalidSignal: nothing can be sealed to their key.
    """
    message = b"".join(
        (
            uint_field(_KIND, sealed.kind),
            bytes_field(_LOBBY, sealed.lobby),
            bytes_field(_GUEST, sealed.guest),
            bytes_field(_BEACON, sealed.beacon_id),
            bytes_field(_OFFER, sealed.offer_id),
            bytes_field(_TEXT, sealed.text),
        )
    )
    try:
        box = seal_box(message, nonce=nonce, ours=ours, theirs=theirs)
    except InvalidKey as error:
        raise InvalidSignal(str(error)) from error
    return MAGIC + ours.public_key + nonce + box


def unseal(stored: bytes, *, ours: BoxKeyPair, theirs: bytes) -> Sealed:
    """Open what one of the two ends has sealed; later fields are skipped.

    Args:
        stored: the file's bytes.
        ours: our seal keys, whether we sealed or the other end did.
        theirs: the other end's seal key.

    Raises:
        InvalidSignal: it is no sealed signal between these two keys.
    """
    sender = sender_of(stored)
    if sender not in (ours.public_key, theirs):
        raise InvalidSignal("the signal was sealed by somebody else")
    nonce = stored[HEAD_SIZE - BOX_NONCE_SIZE : HEAD_SIZE]
    try:
        return _parse(open_box(stored[HEAD_SIZE:], nonce=nonce, ours=ours, theirs=theirs))
    except (InvalidBox, EncodingError) as error:
        raise InvalidSignal(f"the sealed signal cannot be opened: {error}") from error


def _parse(message: bytes) -> Sealed:
    found: dict[int, bytes] = {}
    kind: SealedKind | None = None
    for number, value in iter_fields(message):
        if number > _TEXT:
            continue
        if number == _KIND and isinstance(value, int) and kind is None and value in _KINDS:
            kind = SealedKind(value)
        elif number != _KIND and not isinstance(value, int) and number not in found:
            found[number] = bytes(value)
        else:
            raise EncodingError(f"field {number} is not what it must be")
    if kind is None or found.keys() != {*_SIZES, _TEXT}:
        raise EncodingError("a field is missing")
    if any(len(found[number]) != size for number, size in _SIZES.items()):
        raise EncodingError("a field has the wrong size")
    return Sealed(
        kind=kind,
        lobby=found[_LOBBY],
        guest=found[_GUEST],
        beacon_id=found[_BEACON],
        offer_id=found[_OFFER],
        text=found[_TEXT],
    )
