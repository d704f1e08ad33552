"""Boxes from one X25519 key to another: libsodium's crypto_box, through PyNaCl.

The key of a box is shared by its two ends, so either of them opens it, the one who sealed it too;
which of the two did is not told by the box.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from nacl.bindings import crypto_box, crypto_box_keypair, crypto_box_open, crypto_scalarmult_base
from nacl.exceptions import CryptoError as NaclError

from datfs.errors import InvalidBox, InvalidKey

BOX_KEY_SIZE: Final = 32
BOX_NONCE_SIZE: Final = 24
BOX_OVERHEAD: Final = 16  # the authenticator before the ciphertext


@dataclass(frozen=True, slots=True)
class BoxKeyPair:
    """An X25519 key pair.

    Attributes:
        public_key: 32 bytes.
        secret_key: 32 bytes; left out of `repr`.
    """

    public_key: bytes
    secret_key: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> BoxKeyPair:
        """Make a new pair from the system's random source."""
        return cls(*crypto_box_keypair())

    @classmethod
    def from_secret_key(cls, secret_key: bytes) -> BoxKeyPair:
        """Return the pair of a 32-byte secret key.

        Raises:
            InvalidKey: it has another size.
        """
        if len(secret_key) != BOX_KEY_SIZE:
            raise InvalidKey(f"a box key has {BOX_KEY_SIZE} bytes, not {len(secret_key)}")
        return cls(crypto_scalarmult_base(secret_key), secret_key)


def seal_box(text: bytes, *, nonce: bytes, ours: BoxKeyPair, theirs: bytes) -> bytes:
    """Return a box that only the two ends can open.

    Args:
        text: what goes into it.
        nonce: 24 random bytes, never used before between these two keys.
        ours: the key pair of one end.
        theirs: the public key of the other.

    Raises:
        InvalidKey: their key is one with which everybody could open the box.
    """
    try:
        return crypto_box(text, nonce, theirs, ours.secret_key)
    except (NaclError, ValueError) as error:
        raise InvalidKey("nothing can be sealed to this key") from error


def open_box(box: bytes, *, nonce: bytes, ours: BoxKeyPair, theirs: bytes) -> bytes:
    """Return what is in a box between these two keys.

    Raises:
        InvalidBox: it is not between these keys, not with this nonce, or not as it was sealed.
    """
    try:
        return crypto_box_open(box, nonce, theirs, ours.secret_key)
    except (NaclError, ValueError) as error:
        raise InvalidBox("the box cannot be opened with these keys") from error
