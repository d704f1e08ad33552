"""Dat URLs: `dat://KEY`, `dat://KEY/path`, `dat://KEY+VERSION/path`, or the bare 64 hex digits.

Host names (`dat://example.org`) are not resolved, here or anywhere in datfs. What a
path may be is left to the path rules of the archive it points into.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from datfs.encoding.varint import JAVASCRIPT_LIMIT
from datfs.errors import InvalidUrl

_FORM: Final = re.compile(
    r"(?:(?i:dat):(?://)?)?(?P<key>[0-9a-fA-F]{64})(?:\+(?P<version>[0-9]{1,16}))?(?P<path>/[^?#]*)?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatUrl:
    """What a Dat URL names; `str()` gives its usual spelling.

    Attributes:
        key: The archive's public key, 32 bytes.
        version: The version that is meant, below 2^53; None for the newest one.
        path: Path in the archive, decoded, beginning with a slash; "/" is the archive itself.
    """

    key: bytes
    version: int | None = None
    path: str = "/"

    def __str__(self) -> str:
        version = "" if self.version is None else f"+{self.version}"
        path = "" if self.path == "/" else quote(self.path)
        return f"dat://{self.key.hex()}{version}{path}"


def parse_dat_url(text: str) -> DatUrl:
    """Read a Dat URL or 64 hex digits.

    Percent escapes in the path are decoded as UTF-8.

    Raises:
        InvalidUrl: `text` is neither; the message says so in the user's words.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidUrl(f"{text!r} is not a Dat URL (dat:// and 64 hex digits)")
    version = None if match["version"] is None else int(match["version"])
    if version is not None and version >= JAVASCRIPT_LIMIT:
        raise InvalidUrl(f"{text!r} names a version that no archive can have")
    try:
        path = unquote_to_bytes(match["path"] or "/").decode()
    except UnicodeDecodeError as error:
        raise InvalidUrl(f"{text!r} has a path that is not UTF-8") from error
    return DatUrl(key=bytes.fromhex(match["key"]), version=version, path=path)
