"""Secret files of the store: readable by their owner alone, on disk before they count.

The secret keys of feeds lie where the hypercore layout wants them; here are the others, such as a
session's DTLS certificate and the seal key of a lobby.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from datfs.errors import StoreError
from datfs.store.atomic import PRIVATE_FOLDER, replace_file, sync_folder

if TYPE_CHECKING:
    from pathlib import Path


def write_secret(path: Path, secret: bytes) -> None:
    """Keeps a secret in a file of mode 0600, making its folder (0700) if need be."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    replace_file(path, secret)


def read_secret(path: Path) -> bytes | None:
    """The secret kept in a file, or None if there is none.

    Raises:
        StoreError: Others could read or change the file, so it may be known or forged.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file:
        facts = os.fstat(file.fileno())
        if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
            raise StoreError(
                f"{path} holds a secret and others can get at it; "
                f"if you trust it still: chown to yourself, chmod 600 {path}"
            )
        return file.read()


def delete_secret(path: Path) -> None:
    """Removes a secret file; none there is fine."""
    path.unlink(missing_ok=True)
    if path.parent.exists():
        sync_folder(path.parent)
