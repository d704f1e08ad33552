"""Feed keys: Ed25519 pairs, signatures, discovery keys, and the content feed's derived pair.

DEP-0002 names the algorithms; formats.md section 1 gives the exact inputs. Ed25519 itself is
libsodium's, through PyNaCl.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from datfs.crypto.hashing import blake2b
from datfs.errors import InvalidKey

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer

PUBLIC_KEY_SIZE: Final = 32
SECRET_KEY_SIZE: Final = 64
SEED_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64

_CONTENT_SUBKEY: Final = (1).to_bytes(16, "little")
_CONTENT_CONTEXT: Final = b"hyperdri"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An Ed25519 key pair.

    Attributes:
        public_key: 32 bytes; the name of the feed.
        secret_key: 64 bytes, the seed followed by the public key; left out of `repr`.
    """

    public_key: bytes
    secret_key: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> KeyPair:
        """Make a new pair from the system's random source."""
        return cls.from_seed(os.urandom(SEED_SIZE))

    @classmethod
    def from_seed(cls, seed: bytes) -> KeyPair:
        """Return the pair of a 32-byte seed.

        Raises:
            InvalidKey: `seed` has another size.
        """
        if len(seed) != SEED_SIZE:
            raise InvalidKey(f"a key seed has {SEED_SIZE} bytes, not {len(seed)}")
        public_key, secret_key = crypto_sign_seed_keypair(seed)
        return cls(public_key, secret_key)

    @classmethod
    def from_secret_key(cls, secret_key: bytes) -> KeyPair:
        """Return the pair of a 64-byte secret key.

        Raises:
            InvalidKey: The size is wrong, or the public half is not that of the seed: signing with
                such a key gives signatures that nobody can verify.
        """
        if len(secret_key) != SECRET_KEY_SIZE:
            raise InvalidKey(f"a secret key has {SECRET_KEY_SIZE} bytes, not {len(secret_key)}")
        pair = cls.from_seed(secret_key[:SEED_SIZE])
        if pair.secret_key != secret_key:
            raise InvalidKey("the two halves of the secret key do not belong together")
        return pair


def discovery_key(public_key: bytes) -> bytes:
    """Return the 32 bytes by which peers find each other without telling the public key.

    The hashed word is written in small letters (DEP-0010 prints it in capitals).
    """
    return blake2b(b"hypercore", key=public_key)


def content_key_pair(metadata_secret_key: bytes) -> KeyPair:
    """Return the key pair of a hyperdrive's content feed.

    It is libsodium's crypto_kdf with context "hyperdri" and subkey 1 over the metadata feed's seed
    (hyperdrive v9 `index.js`), so the content secret key need not be stored.

    Args:
        metadata_secret_key: The metadata feed's secret key, 64 bytes.
    """
    seed = hashlib.blake2b(
        b"",
        digest_size=SEED_SIZE,
        key=metadata_secret_key[:SEED_SIZE],
        salt=_CONTENT_SUBKEY,
        person=_CONTENT_CONTEXT,
    ).digest()
    return KeyPair.from_seed(seed)


def sign(message: Buffer, secret_key: bytes) -> bytes:
    """Return the detached Ed25519 signature (64 bytes, deterministic) of `message`."""
    return crypto_sign(bytes(message), secret_key)[:SIGNATURE_SIZE]


def verify(message: Buffer, signature: Buffer, public_key: bytes) -> bool:
    """Tell whether `signature` is that of `message` under `public_key`.

    A signature or key of the wrong size is simply not valid: both may come from a peer.
    """
    if len(signature) != SIGNATURE_SIZE or len(public_key) != PUBLIC_KEY_SIZE:
        return False
    try:
        crypto_sign_open(bytes(signature) + bytes(message), public_key)
    except BadSignatureError:
        return False
    return True
