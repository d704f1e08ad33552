"""The key pair of an own archive, out of its folder in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.crypto.keys import SECRET_KEY_SIZE, KeyPair
from datfs.errors import InvalidKey, NotAnArchive, StorageDamaged
from datfs.hyperdrive.folder import METADATA_FOLDER

if TYPE_CHECKING:
    from datfs.store.home import Home

SECRET_KEY_FILE = "secret_key"


def own_key_pair(home: Home, key: bytes) -> KeyPair:
    """The pair that signs an archive of the store.

    Args:
        home: the store.
        key: the archive's public key.

    Raises:
        NotAnArchive: the store has no such archive.
        StorageDamaged: the file with the secret key is missing or holds something else.
    """
    folder = home.archive_folder(key) / METADATA_FOLDER
    file = folder / SECRET_KEY_FILE
    try:
        with file.open("rb") as opened:
            pair = KeyPair.from_secret_key(opened.read(SECRET_KEY_SIZE + 1))
    except FileNotFoundError:
        if not folder.exists():
            raise NotAnArchive(f"the archive {key.hex()} is not in the store") from None
        raise StorageDamaged(str(file), "it is missing; put it back from a copy") from None
    except InvalidKey as error:
        raise StorageDamaged(str(file), str(error)) from error
    if pair.public_key != key:
        raise StorageDamaged(str(file), "it is the key of another archive")
    return pair
