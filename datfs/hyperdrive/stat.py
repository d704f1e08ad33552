"""What an archive says of one file or directory: the Stat of hyperdrive 9 (`schema.proto`).

    1 mode  2 uid  3 gid  4 size  5 blocks  6 offset  7 byteOffset  8 mtime  9 ctime    (varints)

Type bits are compared as POSIX does, masked by S_IFMT; hyperdrive's own `lib/stat.js` tests single
bits and takes a symlink for a file. What of a foreign Stat may be shown is decided by `tamed`; how
much content there really is belongs to `extent`.
"""

from __future__ import annotations

import stat as posix
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from datfs.encoding.protobuf import iter_fields, uint_field
from datfs.encoding.varint import JAVASCRIPT_LIMIT
from datfs.errors import EncodingError

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer

DEFAULT_FILE_MODE: Final = posix.S_IFREG | 0o644
DEFAULT_DIRECTORY_MODE: Final = posix.S_IFDIR | 0o755
MAX_TIME_MS: Final = (2**63 - 1) // 1_000_000
"""The last millisecond that fits into 64 bits of nanoseconds, as the kernel's interfaces count."""

# The function S_IFMT refuses numbers past 32 bits, which a hostile Stat may hold.
_TYPE_BITS: Final = 0o170000
_PERMISSIONS: Final = 0o7777
_HARMLESS_PERMISSIONS: Final = _PERMISSIONS & ~(posix.S_ISUID | posix.S_ISGID)
_FIELD_COUNT: Final = 9
_LAST_SHIFT: Final = 49  # of the eighth byte, with which a varint below 2**53 ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """Attributes of a file or directory and where its content lies.

    Attributes:
        mode: Type and permission bits, as in st_mode.
        uid: Owner that the writer recorded; never applied to a mounted file.
        gid: Group, likewise.
        size: Bytes of the file.
        blocks: Blocks of the content feed that hold the file, one run.
        offset: First of these blocks (for an empty file: the feed's length when it was written).
        byte_offset: Bytes of content before that block.
        mtime_ms: Last change, milliseconds since 1970.
        ctime_ms: Last change of the attributes, likewise.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    blocks: int = 0
    offset: int = 0
    byte_offset: int = 0
    mtime_ms: int = 0
    ctime_ms: int = 0

    @property
    def is_directory(self) -> bool:
        """Whether the type bits say directory; everything else is shown as a file."""
        return self.mode & _TYPE_BITS == posix.S_IFDIR

    @property
    def end(self) -> int:
        """The block after the last one of the file."""
        return self.offset + self.blocks

    @property
    def byte_end(self) -> int:
        """The content byte after the last one of the file."""
        return self.byte_offset + self.size

    def tamed(self, *, foreign: bool) -> Stat:
        """Return this Stat with only what may appear in a mounted tree.

        A path is a directory or a regular file: no archive brings devices, sockets, pipes or
        links. Directories have no content. Times fit into the kernel's nanoseconds.

        Args:
            foreign: The archive is somebody else's, so that setuid and setgid count for nothing.
        """
        kept = _HARMLESS_PERMISSIONS if foreign else _PERMISSIONS
        directory = self.is_directory
        mode = (posix.S_IFDIR if directory else posix.S_IFREG) | self.mode & kept
        size = 0 if directory else self.size
        mtime_ms = min(self.mtime_ms, MAX_TIME_MS)
        ctime_ms = min(self.ctime_ms, MAX_TIME_MS)
        if (mode, size, mtime_ms, ctime_ms) == (
            self.mode,
            self.size,
            self.mtime_ms,
            self.ctime_ms,
        ):
            return self
        return replace(self, mode=mode, size=size, mtime_ms=mtime_ms, ctime_ms=ctime_ms)


IMPLICIT_DIRECTORY: Final = Stat(mode=DEFAULT_DIRECTORY_MODE)
"""How a directory shows that exists only because something lies below it (hyperdrive `lstat`)."""


def encode_stat(stat: Stat) -> bytes:
    """Write a Stat with the fields that hyperdrive 9 writes: all nine for a file.

    For a directory (`mkdir`) size and blocks are left out, and uid and gid unless they are set.

    Raises:
        EncodingError: A field is negative or 2**53 or more, which no reader would take.
    """
    values = (
        stat.mode,
        stat.uid,
        stat.gid,
        stat.size,
        stat.blocks,
        stat.offset,
        stat.byte_offset,
        stat.mtime_ms,
        stat.ctime_ms,
    )
    if min(values) < 0 or max(values) >= JAVASCRIPT_LIMIT:
        raise EncodingError(f"{stat} has a field that no archive can hold")
    left_out: set[int] = set()
    if stat.is_directory:
        left_out = {4, 5} | {number for number in (2, 3) if not values[number - 1]}
    return b"".join(
        uint_field(number, value)
        for number, value in enumerate(values, start=1)
        if number not in left_out
    )


def decode_stat(encoded: Buffer) -> Stat:
    """Read a Stat as it was written; absent fields are 0.

    Raises:
        EncodingError: It is cut, a field is no integer below 2**53, or the mode is missing.
    """
    values = _plain_fields(encoded) or _fields(encoded)
    mode, uid, gid, size, blocks, offset, byte_offset, mtime_ms, ctime_ms = values
    return Stat(
        mode=mode,
        uid=uid,
        gid=gid,
        size=size,
        blocks=blocks,
        offset=offset,
        byte_offset=byte_offset,
        mtime_ms=mtime_ms,
        ctime_ms=ctime_ms,
    )


def _plain_fields(encoded: Buffer) -> list[int] | None:
    """Read a Stat of known fields only in one loop, for listings decode one for each name.

    Returns:
        The fields in order; None for anything unusual, of which `_fields` knows what it is.
    """
    values = [-1] + [0] * (_FIELD_COUNT - 1)
    offset, end = 0, len(encoded)
    try:
        while offset < end:
            tag = encoded[offset]
            value = encoded[offset + 1]
            offset += 2
            if value >= 0x80:
                value &= 0x7F
                shift = 7
                while (byte := encoded[offset]) >= 0x80:
                    value |= (byte & 0x7F) << shift
                    shift += 7
                    offset += 1
                    if shift > _LAST_SHIFT:
                        return None
                value |= byte << shift
                offset += 1
            if tag & 7 or not tag:
                return None
            values[(tag >> 3) - 1] = value
    except IndexError:  # cut, or a field of another number
        return None
    return values if values[0] >= 0 and max(values) < JAVASCRIPT_LIMIT else None


def _fields(encoded: Buffer) -> list[int]:
    values = [0] * _FIELD_COUNT
    has_mode = False
    for number, value in iter_fields(encoded):
        if not 1 <= number <= _FIELD_COUNT:
            continue
        if not isinstance(value, int):
            raise EncodingError(f"field {number} of a Stat is no integer")
        values[number - 1] = value
        has_mode = has_mode or number == 1
    if not has_mode:
        raise EncodingError("a Stat has no mode")
    return values
