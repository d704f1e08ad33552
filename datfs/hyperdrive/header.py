"""The first block of a hyperdrive's metadata feed (DEP-0007): what this is, and where content lies.

    Index    1 string type = "hyperdrive"    2 bytes content = public key of the content feed

Other types of archives begin with other types of headers; they are nothing that this package reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from datfs.encoding.protobuf import bytes_field, iter_fields
from datfs.errors import EncodingError, NotAnArchive

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer

HYPERDRIVE_TYPE: Final = "hyperdrive"
_KEY_BYTE_LENGTH: Final = 32


@dataclass(frozen=True, slots=True)
class Header:
    """The index of a hyperdrive.

    Attributes:
        content_key: Public key of the content feed, 32 bytes.
    """

    content_key: bytes


def encode_header(header: Header) -> bytes:
    """Return block 0 of a metadata feed."""
    return bytes_field(1, HYPERDRIVE_TYPE.encode()) + bytes_field(2, header.content_key)


def feed_type(block: Buffer) -> str | None:
    """Return the type that a feed's first block names; None if it is no header at all."""
    found = None
    try:
        for number, value in iter_fields(block):
            if number == 1 and not isinstance(value, int):
                found = str(value, "utf-8", "replace")
    except EncodingError:
        return None
    return found


def decode_header(block: Buffer) -> Header:
    """Read block 0 of a metadata feed.

    Raises:
        NotAnArchive: The feed is of another type, or the block is no header at all.
    """
    feed_type = content_key = None
    try:
        for number, value in iter_fields(block):
            if isinstance(value, int):
                continue
            if number == 1:
                feed_type = str(value, "utf-8", "replace")
            elif number == 2:
                content_key = bytes(value)
    except EncodingError as error:
        raise NotAnArchive(f"the first block is no header: {error}") from error
    if feed_type != HYPERDRIVE_TYPE:
        found = "nothing" if feed_type is None else repr(feed_type[:64])
        raise NotAnArchive(f"the feed's header says {found} and not {HYPERDRIVE_TYPE!r}")
    if content_key is None or len(content_key) != _KEY_BYTE_LENGTH:
        raise NotAnArchive("the header names no content feed")
    return Header(content_key)
