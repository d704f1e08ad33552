"""The password of a protected session: its text, and what proving it is bound to (section 9).

What crosses the channel is told in `crypto.pake`, who may try when in `throttle`; `proving` is the
guest's side of it and `door` the host's.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from datfs.errors import InvalidPassword

PAKE_CHANNEL: Final = "datfs-pake"
"""Label of the data channel on which a guest proves the password."""

PAKE_VERSION: Final = 1
"""What an offer names in its field `pake`; nobody but datfs sets it."""

PASSWORD_LIMIT_BYTES: Final = 1024

PASSWORD_S: Final = 15.0
"""How long a guest may take for the password, its turn included, once its channel is open."""

WRONG_PASSWORD: Final = "wrong password"
"""The reason that a guest is given."""


def parse_password(written: bytes) -> bytes:
    """Read a password as a person or a script wrote it.

    One line end at its end does not belong to it, and letters that can be encoded in two ways are
    one letter (NFC), so that it is the same from every keyboard.

    Raises:
        InvalidPassword: it is empty, too long, not UTF-8, or more than a line.
    """
    try:
        text = unicodedata.normalize("NFC", written.decode())
    except UnicodeDecodeError:
        raise InvalidPassword("a password is UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    password = text.encode()
    if not password:
        raise InvalidPassword("a password has at least one letter")
    if len(password) > PASSWORD_LIMIT_BYTES:
        raise InvalidPassword(f"a password has at most {PASSWORD_LIMIT_BYTES} bytes")
    if any(char in text for char in "\n\r\0"):
        raise InvalidPassword("a password is one line of text")
    return password


def side_name(identity: bytes, lobby_key: bytes, fingerprint: bytes) -> bytes:
    """Return what names one side of an exchange, 96 bytes.

    Args:
        identity: its identity key.
        lobby_key: of the lobby.
        fingerprint: SHA-256 of the certificate that it showed in the live DTLS handshake.
    """
    return identity + lobby_key + fingerprint
