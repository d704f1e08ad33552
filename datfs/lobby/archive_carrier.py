"""Carrier 1: a lobby as the host's archive and one small writer archive for each guest.

Follows design section 8. The host's archive says in `.writers/HASH` which archive writes for the
guest HASH; this module reads those records, builds the union from them, and translates between
names of the lobby and paths of archives, both ways. Opening and following the archives, and waiting
for blocks, belong to the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from datfs.errors import BlockMissing, EncodingError, InvalidExtent
from datfs.lobby.names import (
    BEACON_NAME,
    WRITERS_FOLDER,
    SignalKind,
    offer_name,
    owner_of,
    parse_signal_name,
    writer_name,
)
from datfs.lobby.union import ArchiveT, Union
from datfs.lobby.writers import RECORD_LIMIT_BYTES, WriterRecord, WriterState, parse_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from datfs.hyperdrive.entry import Change, Entry


class ArchiveCarrier(Generic[ArchiveT]):
    """The archives of one lobby.

    Attributes:
        union: the lobby's directory.
    """

    def __init__(
        self,
        host: ArchiveT,
        *,
        open_writer: Callable[[bytes], ArchiveT | None],
        own: tuple[bytes, ArchiveT] | None = None,
    ) -> None:
        """Read a lobby.

        Args:
            host: the lobby archive.
            open_writer: gives the writer archive with a key, None as long as it is not here.
            own: for a guest its identity key and its writer archive, which it sees before the host
                has let it in.
        """
        self._host = host
        self._open_writer = open_writer
        self._own = own
        self._records: dict[bytes, tuple[int, WriterRecord | None]] = {}
        self.union: Union[ArchiveT] = Union(host, self._archives)

    def writers(self) -> dict[bytes, bytes]:
        """Return the keys of the writer archives that count, by identity key.

        One writer serves one guest: of two records that name the same, the older one counts.
        Records whose block is not here are left out, see `unread_records`.
        """
        guests: dict[bytes, bytes] = {}
        for _, guest, record in sorted(self._read_records(), key=lambda read: read[0]):
            if record is not None and record.state is WriterState.LIVE:
                guests.setdefault(record.writer, guest)
        return {guest: writer for writer, guest in guests.items()}

    def unread_records(self) -> list[str]:
        """Return the names of records whose block has yet to be fetched."""
        read = {guest for _, guest, _ in self._read_records()}
        return [writer_name(guest) for guest, _ in self._entries() if guest not in read]

    def changed_names(self, archive_key: bytes, changes: Iterable[Change]) -> list[str]:
        """Translate the changes of one archive into names of the lobby that may look otherwise.

        Args:
            archive_key: of the archive that has a new version.
            changes: what is new in it.
        """
        paths = [change.path.removeprefix("/") for change in changes]
        if archive_key == self._host.key:
            return list(dict.fromkeys(name for path in paths for name in self._host_names(path)))
        guests = [
            guest for guest, archive in self._archives().items() if archive.key == archive_key
        ]
        return [path for path in paths if owner_of(path) in guests]

    def _host_names(self, path: str) -> list[str]:
        if owner_of(path) is not None:
            return []
        names = [path]
        signal = parse_signal_name(path)
        if signal is not None and signal.kind is SignalKind.WRITER:
            names += self._guest_names(signal.guest)  # they begin or cease to count
        if path == BEACON_NAME:
            names += map(offer_name, self._archives())  # those for another beacon are hidden
        return names

    def _guest_names(self, guest: bytes) -> list[str]:
        names = {offer_name(guest): None}  # also when the writer is not here any more
        archive = self._archives().get(guest)
        for name, _ in () if archive is None else archive.list_directory("/"):
            if owner_of(name) == guest:
                names[name] = None
        return list(names)

    def _archives(self) -> dict[bytes, ArchiveT]:
        archives = {
            guest: archive
            for guest, writer in self.writers().items()
            if (archive := self._open_writer(writer)) is not None
        }
        if self._own is not None:
            guest, archive = self._own
            archives[guest] = archive
        return archives

    def _entries(self) -> Iterator[tuple[bytes, Entry]]:
        for name, entry in self._host.list_directory(f"/{WRITERS_FOLDER}"):
            signal = parse_signal_name(f"{WRITERS_FOLDER}/{name}")
            if signal is not None and not entry.stat.is_directory:
                yield signal.guest, entry

    def _read_records(self) -> Iterator[tuple[int, bytes, WriterRecord | None]]:
        """Give sequence number, guest and record of each record that is here."""
        for guest, entry in self._entries():
            known = self._records.get(guest)
            if known is None or known[0] != entry.seq:
                try:
                    record = self._read_record(entry)
                except BlockMissing:
                    continue
                self._records[guest] = known = (entry.seq, record)
            yield known[0], guest, known[1]

    def _read_record(self, entry: Entry) -> WriterRecord | None:
        try:
            return parse_record(self._host.read(entry.stat, 0, RECORD_LIMIT_BYTES + 1))
        except (EncodingError, InvalidExtent):
            return None  # whatever it is, it lets nobody in
