"""The `key` and `secret_key` files: read at opening, and believed only if they fit together.

Where hypercore makes a new key pair if the file is missing, and so loses the archive, this refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.crypto.keys import PUBLIC_KEY_SIZE, SECRET_KEY_SIZE, KeyPair
from datfs.errors import InvalidKey, StorageDamaged
from datfs.hypercore.repair import Repair

if TYPE_CHECKING:
    from datfs.hypercore.feed_files import FeedFiles


def load_key(files: FeedFiles, wanted: bytes | None) -> tuple[bytes, tuple[Repair, ...]]:
    """Return the feed's key, never a new one.

    Only a feed without a single block whose secret key is here may get its key file now: that is
    how an interrupted creation looks.
    """
    path = files.path("key")
    key = files.key.read(0, PUBLIC_KEY_SIZE)
    repairs: tuple[Repair, ...] = ()
    if len(key) < PUBLIC_KEY_SIZE:
        stored_secret = files.secret_key.read(0, SECRET_KEY_SIZE + 1)
        if len(stored_secret) != SECRET_KEY_SIZE or not files.is_blank():
            state = (
                f"it has {len(key)} bytes instead of {PUBLIC_KEY_SIZE}" if key else "it is missing"
            )
            raise StorageDamaged(path, f"{state}; without it nothing here can be trusted")
        key = _pair(files, stored_secret).public_key
        files.key.write(0, key)
        repairs = (Repair(path, "written from the secret key: the feed was just being made"),)
    if wanted is not None and wanted != key:
        raise StorageDamaged(path, f"it is the key of another feed ({key.hex()})")
    return key, repairs


def load_secret_key(files: FeedFiles, key: bytes, given: bytes | None) -> bytes | None:
    """Return the secret key that was given or is stored, if it is this feed's."""
    if given is not None:
        if KeyPair.from_secret_key(given).public_key != key:
            raise StorageDamaged(files.path("key"), "the secret key given is for another feed")
        return given
    stored = files.secret_key.read(0, SECRET_KEY_SIZE + 1)
    if not stored:
        return None
    if _pair(files, stored).public_key != key:
        raise StorageDamaged(files.path("secret_key"), "it does not belong to the feed's key")
    return stored


def _pair(files: FeedFiles, secret_key: bytes) -> KeyPair:
    try:
        return KeyPair.from_secret_key(secret_key)
    except InvalidKey as error:
        raise StorageDamaged(files.path("secret_key"), str(error)) from error
