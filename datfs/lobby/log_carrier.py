"""Carrier 2: a lobby as the host's log and one log for each guest (design section 8).

The logs are read together by reference: a record names its cause, and counts once the log that the
cause stands in reaches so far. A reference into the future is thus ignored until the future is
here, and never counts if it would make an entry follow from itself. Out of what counts come the
names of carrier 1 (`host.offer.bin`, `HASH.offer.bin`, `HASH.answer.bin`, `.writers/HASH`) and one
order of all entries. Getting the logs, writing them and clearing blocks belong to the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.lobby.log_order import causal_order
from datfs.lobby.log_reading import GUEST_LIMITS, HOST_LIMITS, Entry, LogReading
from datfs.lobby.log_records import Position, Record, RecordKind
from datfs.lobby.names import (
    BEACON_NAME,
    WRITERS_FOLDER,
    SignalKind,
    offer_name,
    owner_of,
    parse_signal_name,
)
from datfs.lobby.writers import WriterState, parse_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from datfs.lobby.log_reading import ReadableLog


class LogCarrier:
    """The logs of one lobby.

    Attributes:
        version: raised by `update` whenever there is something new.
    """

    def __init__(
        self,
        host: ReadableLog,
        *,
        open_log: Callable[[bytes], ReadableLog | None],
        own: tuple[bytes, ReadableLog] | None = None,
    ) -> None:
        """Read a lobby; `update` takes in what is here.

        Args:
            host: the host's log, whose key is the lobby's.
            open_log: gives a guest's log by its key, None as long as it is not to be had.
            own: for a guest its identity key and its log, which it sees before the host has let
                it in.
        """
        self.version = 0
        self._open_log = open_log
        self._host = LogReading(host, None, HOST_LIMITS)
        self._guests: dict[bytes, LogReading] = {}  # by log
        self._own: bytes | None = None
        self._live: dict[bytes, bytes] = {}
        self._shown: dict[str, Entry] = {}
        self._waiting: set[str] = set()  # names of entries whose cause is not reached yet
        self._length = 0  # of all logs, as of the last update
        self._to_clear: list[Position] = []
        self._cleared: set[Position] = set()
        if own is not None:
            self.join(*own)

    def join(self, identity: bytes, log: ReadableLog) -> None:
        """See an own log from now on, whether the host has let us in or not."""
        self._own = log.key
        self._guests[log.key] = LogReading(log, identity, GUEST_LIMITS)

    # --- reading -------------------------------------------------------------------------------

    def update(self) -> list[str]:
        """Take in what has come in any log, and open those of guests that were let in.

        Returns:
            The names that look otherwise now.
        """
        new = self._host.read()
        if any(entry.record.kind is RecordKind.WRITER for entry in new) or not self._live:
            self._live = self._read_writers()
        for guest, log in self._live.items():
            self._follow(guest, log)
        touched = {self._host.name(entry.record) for entry in new}
        if BEACON_NAME in touched:
            touched.update(offer_name(reading.guest or b"") for reading in self._guests.values())
        # Who is heard may change with a writer's record, what follows from itself with an answer.
        touched.update(
            offer_name(entry.record.guest)
            for entry in new
            if entry.record.kind in (RecordKind.WRITER, RecordKind.ANSWER)
        )
        for reading in self._guests.values():
            touched.update(reading.name(entry.record) for entry in reading.read())
        length = self._host.length + sum(reading.length for reading in self._guests.values())
        if length != self._length:
            self._length = length
            touched |= self._waiting
        if touched:
            self.version += 1
        return [name for name in touched if self._look_at(name)]

    @property
    def knows_host(self) -> bool:
        """Whether it is known where the host is: its beacon has been seen, or that it is gone."""
        return self._host.knows(BEACON_NAME)

    def writers(self) -> dict[bytes, bytes]:
        """Return the keys of the guests' logs that count, by identity key."""
        return dict(self._live)

    def names(self, folder: str) -> list[str]:
        """Return the full names of what lies in a folder ("" for the top)."""
        found = [name for name in self._shown if name.rpartition("/")[0] == folder]
        if not folder and any(name.startswith(f"{WRITERS_FOLDER}/") for name in self._shown):
            found.append(WRITERS_FOLDER)
        return found

    def find(self, name: str) -> Entry | None:
        """Return the entry that counts for a name; None if there is no such file."""
        return self._shown.get(name)

    def latest(self, name: str) -> Entry | None:
        """Return what was written last under a name and not taken back, whether it counts or not.

        An offer for an earlier beacon does not count any more and is still there.
        """
        reading = self._reading_for(name)
        sequence = None if reading is None else next(reading.sequences(name), None)
        if reading is None or sequence is None:
            return None
        return Entry(Position(reading.log.key, sequence), reading.entries[sequence])

    def entries(self) -> list[Entry]:
        """Return all entries that count or did once, in the one order that all members see."""
        readings = {reading.log.key: reading for reading in (self._host, *self._guests.values())}
        logs = {
            key: [
                (sequence, record.cause)
                for sequence, record in sorted(reading.entries.items())
                if self._counts(reading, sequence)
            ]
            for key, reading in readings.items()
        }
        return [
            Entry(position, readings[position.log].entries[position.sequence])
            for position in causal_order(logs)
        ]

    def to_clear(self) -> list[Position]:
        """Return the signals that will never be read again, each once: their blocks can go."""
        found, self._to_clear = self._to_clear, []
        return found

    # --- writing -------------------------------------------------------------------------------

    def record_of(self, name: str, signal: bytes) -> Record:
        """Return the record that puts a signal under a name, with what is known as its cause.

        Args:
            name: one of the names of a lobby that hold signals or writers' records.
            signal: the file's bytes.
        """
        parsed = parse_signal_name(name)
        assert parsed is not None
        match parsed.kind:
            case SignalKind.BEACON:
                return Record(kind=RecordKind.HOST, signal=signal)
            case SignalKind.WRITER:
                return Record(kind=RecordKind.WRITER, guest=parsed.guest, signal=signal)
            case SignalKind.OFFER:
                kind, cause = RecordKind.OFFER, self.find(BEACON_NAME)
            case SignalKind.ANSWER:
                kind, cause = RecordKind.ANSWER, self.find(offer_name(parsed.guest))
        position = None if cause is None else cause.position
        return Record(kind=kind, guest=parsed.guest, cause=position, signal=signal)

    def removal_of(self, name: str) -> Record | None:
        """Return the record that takes back what was written under a name; None if nothing was."""
        entry = self.latest(name)
        if entry is None or entry.record.kind is RecordKind.WRITER:
            return None
        return Record(kind=RecordKind.GONE, guest=entry.record.guest, cause=entry.position)

    # --- within --------------------------------------------------------------------------------

    def _read_writers(self) -> dict[bytes, bytes]:
        """Read who writes for whom; of two records that name one log, the older one counts."""
        found: dict[int, tuple[bytes, bytes]] = {}
        for name in self._host.names():
            parsed = parse_signal_name(name)
            if parsed is None or parsed.kind is not SignalKind.WRITER:
                continue
            sequence = next(self._host.sequences(name))
            record = parse_record(self._host.entries[sequence].signal)
            if record.state is WriterState.LIVE:
                found[sequence] = (record.writer, parsed.guest)
        guests: dict[bytes, bytes] = {}
        for _, (log, guest) in sorted(found.items()):
            guests.setdefault(log, guest)
        return {guest: log for log, guest in guests.items()}

    def _follow(self, guest: bytes, key: bytes) -> None:
        if key in self._guests or key == self._host.log.key:
            return
        log = self._open_log(key)
        if log is not None:
            self._guests[key] = LogReading(log, guest, GUEST_LIMITS)

    def _reading_for(self, name: str) -> LogReading | None:
        """Return the log that a name belongs to, if it is heard."""
        owner = owner_of(name)
        if owner is None:
            return self._host
        own = None if self._own is None else self._guests[self._own]
        if own is not None and own.guest == owner:
            return own
        reading = self._guests.get(self._live.get(owner, b""))
        return reading if reading is not None and reading.guest == owner else None

    def _look_at(self, name: str) -> bool:
        """Find out anew which entry stands for a name; tell whether it is another."""
        reading = self._reading_for(name)
        before = self._shown.pop(name, None)
        self._waiting.discard(name)
        entry = None
        for sequence in () if reading is None else reading.sequences(name):
            assert reading is not None
            if not self._counts(reading, sequence):
                self._waiting.add(name)
                continue
            record = reading.entries[sequence]
            if not self._is_for_older_beacon(record):
                entry = Entry(Position(reading.log.key, sequence), record)
            break
        if entry is not None:
            self._shown[name] = entry
        if reading is not None:
            self._clear(reading, name)
        return before != entry

    def _clear(self, reading: LogReading, name: str) -> None:
        """Note which signals of a name are over; who wrote for whom stays readable."""
        if name.startswith(f"{WRITERS_FOLDER}/"):
            return
        for sequence in reading.superseded(name):
            position = Position(reading.log.key, sequence)
            if position not in self._cleared:
                self._cleared.add(position)
                self._to_clear.append(position)

    def _counts(self, reading: LogReading, sequence: int) -> bool:
        """Tell whether an entry's cause is in the past: reached, and not a result of the entry."""
        cause = reading.entries[sequence].cause
        if cause is None or cause.log == reading.log.key:
            return True
        if reading is not self._host:
            return (
                cause.log == self._host.log.key
                and cause.sequence < self._host.length
                and not any(
                    later <= cause.sequence and cited >= sequence
                    for later, cited in self._host.answers_to(reading.log.key, reading.guest)
                )
            )
        other = self._guests.get(cause.log)
        return (
            other is not None
            and other.guest == reading.entries[sequence].guest
            and cause.sequence < other.length
        )

    def _is_for_older_beacon(self, record: Record) -> bool:
        """Tell whether an offer follows from a beacon that is not the host's present one."""
        if record.kind is not RecordKind.OFFER or record.cause is None:
            return False
        beacons: Iterable[int] = self._host.sequences(BEACON_NAME)
        return record.cause.sequence < next(iter(beacons), 0)
