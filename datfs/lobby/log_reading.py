"""One log of a lobby as a reader knows it: its entries that mean something by themselves.

Logs come from anybody. What is too long, does not decode, stands in the wrong log or speaks of
somebody else's name is ignored entry by entry and costs no more than its block; blocks that are not
here (not yet, or cleared for good) are holes, and nothing waits for them. Whether an entry counts
beside the other logs is decided in `log_carrier`.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from datfs.errors import EncodingError
from datfs.lobby.log_records import (
    RECORD_LIMIT_BYTES,
    Position,
    Record,
    RecordKind,
    decode_record,
)
from datfs.lobby.names import BEACON_NAME, answer_name, offer_name, writer_name
from datfs.lobby.writers import parse_record

if TYPE_CHECKING:
    from collections.abc import Iterator


class ReadableLog(Protocol):
    """The part of a feed that reading needs; `hypercore.Feed` is one."""

    key: bytes
    length: int

    def has(self, block_index: int) -> bool:
        """Tell whether a block is here."""

    def get(self, block_index: int) -> bytes:
        """Return a block that is here."""

    def block_extent(self, block_index: int) -> tuple[int, int] | None:
        """Return byte offset and byte length of a block, None if not known."""


@dataclass(frozen=True, slots=True)
class LogLimits:
    """How much of one log is read; what lies behind is as if it were not there.

    Attributes:
        entries: blocks.
        byte_length: bytes from the log's beginning.
    """

    entries: int
    byte_length: int


HOST_LIMITS: Final = LogLimits(entries=50_000, byte_length=64 * 1024 * 1024)
GUEST_LIMITS: Final = LogLimits(entries=1_000, byte_length=1024 * 1024)


class Entry(NamedTuple):
    """A record in its place."""

    position: Position
    record: Record


class LogReading:
    """What is known of one log.

    Attributes:
        log: the feed.
        guest: identity key of the guest whose log it is; None for the host's.
        entries: records that are here and mean something in this log, by sequence number.
    """

    def __init__(self, log: ReadableLog, guest: bytes | None, limits: LogLimits) -> None:
        self.log = log
        self.guest = guest
        self.entries: dict[int, Record] = {}
        self._limits = limits
        self._seen = 1  # block 0 is the header
        self._missing: set[int] = set()
        self._by_name: dict[str, list[int]] = {}
        self._gone: dict[str, int] = {}
        self._answers: dict[tuple[bytes, bytes | None], list[tuple[int, int]]] = {}

    @property
    def length(self) -> int:
        """The blocks of the log that are looked at."""
        return min(self.log.length, self._limits.entries)

    def read(self) -> list[Entry]:
        """Take in what has come since the last call.

        Returns:
            The entries that are new, in order.
        """
        self._missing.update(range(self._seen, self.length))
        self._seen = max(self._seen, self.length)
        new: list[Entry] = []
        for sequence in sorted(filter(self.log.has, self._missing)):
            self._missing.discard(sequence)
            record = self._record(sequence)
            if record is not None:
                self._take(sequence, record)
                new.append(Entry(Position(self.log.key, sequence), record))
        return new

    def name(self, record: Record) -> str:
        """Return the name of the lobby that a record of this log is about."""
        match record.kind:
            case RecordKind.HOST:
                return BEACON_NAME
            case RecordKind.OFFER:
                return offer_name(record.guest)
            case RecordKind.ANSWER:
                return answer_name(record.guest)
            case RecordKind.WRITER:
                return writer_name(record.guest)
            case RecordKind.GONE if self.guest is not None:
                return offer_name(record.guest)
            case RecordKind.GONE:
                return answer_name(record.guest) if record.guest else BEACON_NAME

    def names(self) -> Iterator[str]:
        """Give the names that something here is, or was, about."""
        yield from self._by_name

    def knows(self, name: str) -> bool:
        """Tell whether anything here is, or was, about a name."""
        return name in self._by_name or name in self._gone

    def sequences(self, name: str) -> Iterator[int]:
        """Give the entries that may stand for a name, the newest first; none that is gone."""
        gone = self._gone.get(name, 0)
        for sequence in reversed(self._by_name.get(name, [])):
            if sequence <= gone:
                return
            yield sequence

    def superseded(self, name: str) -> Iterator[int]:
        """Give the entries of a name that can never stand for it again."""
        known = self._by_name.get(name, [])
        gone = self._gone.get(name, 0)
        for sequence in known:
            if sequence <= gone or sequence < known[-1]:
                yield sequence

    def answers_to(self, log: bytes, guest: bytes | None) -> list[tuple[int, int]]:
        """Return the answers to a guest and to which entries of its log: own and other sequence."""
        return self._answers.get((log, guest), [])

    def _take(self, sequence: int, record: Record) -> None:
        self.entries[sequence] = record
        name = self.name(record)
        cause = record.cause
        if record.kind is RecordKind.GONE:
            assert cause is not None  # `_belongs` has seen to it
            self._gone[name] = max(self._gone.get(name, 0), cause.sequence)
        else:
            insort(self._by_name.setdefault(name, []), sequence)
        if record.kind is RecordKind.ANSWER and cause is not None:
            answers = self._answers.setdefault((cause.log, record.guest), [])
            answers.append((sequence, cause.sequence))

    def _record(self, sequence: int) -> Record | None:
        extent = self.log.block_extent(sequence)
        if extent is None or extent[1] > RECORD_LIMIT_BYTES:
            return None
        if sum(extent) > self._limits.byte_length:
            return None
        try:
            record = decode_record(self.log.get(sequence))
            if record.kind is RecordKind.WRITER:
                parse_record(record.signal)
        except EncodingError:
            return None
        return record if self._belongs(sequence, record) else None

    def _belongs(self, sequence: int, record: Record) -> bool:
        """Tell whether whoever writes this log may say this here, for the reason that it gives."""
        cause = record.cause
        is_own = cause is not None and cause.log == self.log.key
        if cause is not None and is_own and cause.sequence >= sequence:
            return False
        if self.guest is not None and record.guest != self.guest:
            return False
        match record.kind:
            case RecordKind.GONE:
                return is_own
            case RecordKind.OFFER:
                return self.guest is not None and not is_own
            case RecordKind.ANSWER:
                return self.guest is None and record.guest != b"" and not is_own
            case RecordKind.WRITER:
                return self.guest is None and record.guest != b"" and (cause is None or is_own)
            case RecordKind.HOST:
                return self.guest is None and record.guest == b"" and (cause is None or is_own)
