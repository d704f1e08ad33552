"""The entries of a lobby's logs: carrier 2's records and their bytes (design section 8).

A log is one hypercore. Its block 0 is a DEP-0007 header of the type `datfs-lobby-log`, each later
block one record, and the index of its block is the record's sequence number:

    message Record {
      required uint32 kind   = 1;  // 1 host, 2 offer, 3 answer, 4 writer, 5 gone
      optional bytes  guest  = 2;  // identity key, 32 bytes
      optional Cause  cause  = 3;
      optional bytes  signal = 4;  // the file's bytes as they are stored, see `seal`
    }
    message Cause {
      required bytes  log = 1;     // key of the log, 32 bytes
      required uint64 seq = 2;     // of the entry in it, from 1
    }

Later fields are skipped; a kind that a reader does not know is ignored with its entry. Which record
may stand in whose log, and which of them count, is said in `log_reading` and `log_carrier`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from datfs.crypto.keys import PUBLIC_KEY_SIZE
from datfs.encoding.protobuf import as_bytes, as_uint, as_view, bytes_field, iter_fields, uint_field
from datfs.errors import EncodingError
from datfs.hyperdrive.header import feed_type
from datfs.lobby.seal import STORED_LIMIT_BYTES

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer

LOG_TYPE: Final = "datfs-lobby-log"

ENVELOPE_LIMIT_BYTES: Final = 256
"""Room for a record's fields beside the signal, later ones too."""

RECORD_LIMIT_BYTES: Final = STORED_LIMIT_BYTES + ENVELOPE_LIMIT_BYTES
"""The largest block of a log that is looked at."""

_KIND, _GUEST, _CAUSE, _SIGNAL = 1, 2, 3, 4
_LOG, _SEQUENCE = 1, 2


class RecordKind(IntEnum):
    """What a record says."""

    HOST = 1
    OFFER = 2
    ANSWER = 3
    WRITER = 4
    GONE = 5


class Position(NamedTuple):
    """Where an entry stands.

    Attributes:
        log: key of the log, 32 bytes.
        sequence: index of its block, from 1.
    """

    log: bytes
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One entry of a log.

    Attributes:
        kind: what it says.
        guest: identity key of the guest that it concerns; empty if it concerns the beacon.
        cause: the entry that it follows from: an offer's beacon, an answer's offer, and what is
            gone.
        signal: the signal file, sealed where it is, or the line of `.writers/HASH`; empty where
            something is gone.
    """

    kind: RecordKind
    guest: bytes = b""
    cause: Position | None = None
    signal: bytes = b""

    def encode(self) -> bytes:
        """Return the block."""
        parts = [uint_field(_KIND, self.kind)]
        if self.guest:
            parts.append(bytes_field(_GUEST, self.guest))
        if self.cause is not None:
            log, sequence = self.cause
            cause = bytes_field(_LOG, log) + uint_field(_SEQUENCE, sequence)
            parts.append(bytes_field(_CAUSE, cause))
        if self.signal:
            parts.append(bytes_field(_SIGNAL, self.signal))
        return b"".join(parts)


def encode_log_header() -> bytes:
    """Return block 0 of a log."""
    return bytes_field(1, LOG_TYPE.encode())


def is_log_header(block: Buffer) -> bool:
    """Tell whether block 0 of a feed says that it is a lobby's log."""
    return feed_type(block) == LOG_TYPE


def decode_record(block: Buffer) -> Record:
    """Read a block after the first.

    Raises:
        EncodingError: it is no record, or of a kind that this version does not know.
    """
    if len(block) > RECORD_LIMIT_BYTES:
        raise EncodingError(f"a record of {len(block)} bytes is too long")
    kind: RecordKind | None = None
    guest = signal = b""
    cause: Position | None = None
    for number, value in iter_fields(block):
        match number:
            case 1:
                kind = _known_kind(as_uint(value))
            case 2:
                guest = _key(as_bytes(value))
            case 3:
                cause = _decode_cause(as_view(value))
            case 4:
                signal = as_bytes(value)
    if kind is None:
        raise EncodingError("a record lacks its kind")
    return Record(kind=kind, guest=guest, cause=cause, signal=signal)


def _decode_cause(message: memoryview) -> Position:
    log = b""
    sequence = 0
    for number, value in iter_fields(message):
        match number:
            case 1:
                log = _key(as_bytes(value))
            case 2:
                sequence = as_uint(value)
    if not log or sequence < 1:
        raise EncodingError("a record's cause lacks its log or its sequence number")
    return Position(log, sequence)


def _known_kind(number: int) -> RecordKind:
    try:
        return RecordKind(number)
    except ValueError:
        raise EncodingError(f"records of the kind {number} are not known") from None


def _key(value: bytes) -> bytes:
    if len(value) != PUBLIC_KEY_SIZE:
        raise EncodingError(f"a key in a record has {len(value)} bytes, not {PUBLIC_KEY_SIZE}")
    return value
