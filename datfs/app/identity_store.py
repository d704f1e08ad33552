"""The identity of a store: made once, found again at each mount (design section 7).

The identity is an archive like any other; its key names the person. The store remembers which of
its archives it is, and the archive's secret key lies where the layout wants it (0600).
"""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING

from datfs.crypto.keys import KeyPair
from datfs.encoding.dat_url import parse_dat_url
from datfs.errors import IdentityError, InvalidUrl, StorageDamaged
from datfs.hyperdrive.archive import Archive, Put
from datfs.hyperdrive.folder import raw_storage
from datfs.hyperdrive.stat import Stat
from datfs.identity.profile import PROFILE_NAME, Profile
from datfs.store.atomic import replace_file

if TYPE_CHECKING:
    from datfs.store.home import Home

_PLAIN_FILE = 0o100644


def default_name() -> str:
    """The name of a profile that nobody named: the user's login name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without an entry
        return "somebody"


def create_identity(home: Home, name: str) -> bytes:
    """Make the identity archive with its profile.json.

    Args:
        home: The store, locked by the caller.
        name: The person's name.

    Returns:
        The identity key.

    Raises:
        IdentityError: There is an identity already, or the name is empty.
    """
    existing = load_identity(home)
    if existing is not None:
        raise IdentityError(
            f"this store has the identity {existing.hex()} already; change its name in "
            "me/profile.json, or choose another DATFS_HOME"
        )
    if not name.strip():
        raise IdentityError("a name has at least one letter")
    home.prepare()
    pair = KeyPair.generate()
    now_ms = time.time_ns() // 1_000_000
    archive = Archive.create(raw_storage(home.archive_folder(pair.public_key)), pair)
    try:
        writer = archive.content_writer()
        writer.write(Profile(name=name.strip(), created_ms=now_ms).encode())
        run = writer.finish()
        stat = Stat(
            mode=_PLAIN_FILE,
            uid=0,
            gid=0,
            size=run.size,
            blocks=run.blocks,
            offset=run.offset,
            byte_offset=run.byte_offset,
            mtime_ms=now_ms,
            ctime_ms=now_ms,
        )
        archive.commit([Put(f"/{PROFILE_NAME}", stat)])
        archive.sync()
    finally:
        archive.close()
    replace_file(home.identity_file, f"{pair.public_key.hex()}\n".encode())
    return pair.public_key


def load_identity(home: Home) -> bytes | None:
    """The key of the store's identity archive; None before one was made.

    Raises:
        StorageDamaged: The file that names it holds something else.
    """
    try:
        text = home.identity_file.read_text()
    except FileNotFoundError:
        return None
    try:
        return parse_dat_url(text.strip()).key
    except InvalidUrl as error:
        raise StorageDamaged(str(home.identity_file), str(error)) from error
