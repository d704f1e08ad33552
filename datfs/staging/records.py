"""The journal's records and their bytes (a format of datfs's own; no other program reads it).

One record stands in a frame of be32 length, be32 CRC-32 of the payload, payload; the first frame
that is cut or does not match ends the journal, for a process may die within a write. Integers are
big-endian. What a record means when it is read again is `recovery`'s to say.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from datfs.errors import EncodingError

_FRAME = struct.Struct(">II")
_STAGED = struct.Struct(">cQBQQQQIIII")
_BASE = struct.Struct(">QQQQ")
_EXTENT = struct.Struct(">QQ")
_NUMBER = struct.Struct(">Q")
_MOVED = struct.Struct(">cQQ")
_SETTLED = struct.Struct(">cQQQ")

_WRITTEN = 1
_IN_FILE = 2
_BASE_VERSION = 4
_BASE_STAGED = 8
_MTIME_SET = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseVersion:
    """The committed version under a staged content, by its place in the content feed."""

    size: int  # bytes
    blocks: int
    offset: int  # first block
    byte_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """The state of a dirty file, as the difference to the record before with the same id."""

    content_id: int
    path: str
    written: bool  # by write, not only created or truncated: the rules are asked
    mtime_set: bool  # by utimens, not by writing
    mode: int
    mtime_ms: int
    base: BaseVersion | int | None  # a version; the id of another staged content; nothing
    base_limit: int  # bytes of the base that show
    lowest_size: int  # the shortest the content has been since the record before
    size: int
    in_file: bool  # the extents' data is in the spool file; else in `data`, end to end
    extents: tuple[tuple[int, int], ...]  # (start, end) written since the record before
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A staged file has another path, if the archive has got at least this long."""

    content_id: int
    path: str
    metadata_length: int  # blocks; 0: in any case


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A staged content is a version or was given up, if the feeds have got at least this long.

    The lengths make the record true whenever it reaches the disk: before the commit it speaks of
    it is void, and after a loss of power that cut the feeds it is void again.
    """

    content_id: int
    metadata_length: int  # blocks; 0: in any case
    content_length: int  # blocks; 0: in any case


Record = Staged | Moved | Settled


def encode_record(record: Record) -> bytes:
    """Return the record's frame."""
    match record:
        case Staged():
            payload = _encode_staged(record)
        case Moved():
            payload = (
                _MOVED.pack(b"M", record.content_id, record.metadata_length) + record.path.encode()
            )
        case Settled():
            payload = _SETTLED.pack(
                b"E", record.content_id, record.metadata_length, record.content_length
            )
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def decode_records(journal: bytes) -> tuple[list[Record], int]:
    """Return the records up to the end, or to the first frame that is not whole.

    Returns:
        The records, and the byte length of their frames.

    Raises:
        EncodingError: a whole frame holds no record (written by another version of datfs).
    """
    records = []
    position = 0
    while position + _FRAME.size <= len(journal):
        byte_length, checksum = _FRAME.unpack_from(journal, position)
        start = position + _FRAME.size
        payload = journal[start : start + byte_length]
        if len(payload) < byte_length or zlib.crc32(payload) != checksum:
            break
        try:
            records.append(_decode(payload))
        except (struct.error, UnicodeDecodeError) as error:
            raise EncodingError(f"the journal has no record at byte {position}") from error
        position = start + byte_length
    return records, position


def _encode_staged(record: Staged) -> bytes:
    flags = _WRITTEN * record.written | _IN_FILE * record.in_file | _MTIME_SET * record.mtime_set
    base = b""
    if isinstance(record.base, BaseVersion):
        flags |= _BASE_VERSION
        version = record.base
        base = _BASE.pack(version.size, version.blocks, version.offset, version.byte_offset)
    elif record.base is not None:
        flags |= _BASE_STAGED
        base = _NUMBER.pack(record.base)
    path = record.path.encode()
    head = _STAGED.pack(
        b"S",
        record.content_id,
        flags,
        record.base_limit,
        record.lowest_size,
        record.size,
        record.mtime_ms,
        len(record.extents),
        record.mode,
        len(path),
        len(record.data),
    )
    extents = b"".join([_EXTENT.pack(start, end) for start, end in record.extents])
    return b"".join((head, base, path, extents, record.data))


def _decode(payload: bytes) -> Record:
    kind = payload[:1]
    if kind == b"M":
        _, content_id, metadata_length = _MOVED.unpack_from(payload)
        path = payload[_MOVED.size :].decode()
        return Moved(content_id=content_id, path=path, metadata_length=metadata_length)
    if kind == b"E":
        _, content_id, metadata_length, content_length = _SETTLED.unpack(payload)
        return Settled(
            content_id=content_id, metadata_length=metadata_length, content_length=content_length
        )
    if kind != b"S":
        raise struct.error("unknown kind")
    return _decode_staged(payload)


def _decode_staged(payload: bytes) -> Staged:
    (
        _,
        content_id,
        flags,
        base_limit,
        lowest_size,
        size,
        mtime_ms,
        extent_count,
        mode,
        path_byte_length,
        data_byte_length,
    ) = _STAGED.unpack_from(payload)
    position = _STAGED.size
    base: BaseVersion | int | None = None
    if flags & _BASE_VERSION:
        base_size, blocks, offset, byte_offset = _BASE.unpack_from(payload, position)
        base = BaseVersion(size=base_size, blocks=blocks, offset=offset, byte_offset=byte_offset)
        position += _BASE.size
    elif flags & _BASE_STAGED:
        (base,) = _NUMBER.unpack_from(payload, position)
        position += _NUMBER.size
    path = payload[position : position + path_byte_length].decode()
    position += path_byte_length
    extents_end = position + extent_count * _EXTENT.size
    extents = tuple(
        (start, end) for start, end in _EXTENT.iter_unpack(payload[position:extents_end])
    )
    data = payload[extents_end:]
    if len(data) != data_byte_length:
        raise struct.error("wrong length")
    return Staged(
        content_id=content_id,
        path=path,
        written=bool(flags & _WRITTEN),
        mtime_set=bool(flags & _MTIME_SET),
        mode=mode,
        mtime_ms=mtime_ms,
        base=base,
        base_limit=base_limit,
        lowest_size=lowest_size,
        size=size,
        in_file=bool(flags & _IN_FILE),
        extents=extents,
        data=data,
    )
