"""What a lobby's directory shows: the host's archive and the writers', laid over each other.

Follows design section 8: a name comes from the one archive whose owner it belongs to (`names`), and
from no other, so the union never has two files for one name. Which archive writes for whom is told
by the carrier. Paths are relative to the lobby, "" is the lobby itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from datfs.errors import BlockMissing, InvalidExtent, InvalidSignal
from datfs.lobby.names import (
    BEACON_NAME,
    DAEMON_NAMES,
    SignalKind,
    owner_of,
    parse_signal_name,
)
from datfs.lobby.signal import SIGNAL_LIMIT_BYTES, parse_beacon, parse_offer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from datfs.hyperdrive.entry import Entry
    from datfs.hyperdrive.stat import Stat


class ReadableArchive(Protocol):
    """The part of an archive that the union needs; paths are absolute there."""

    @property
    def key(self) -> bytes:
        """The archive's public key."""

    def lookup(self, path: str) -> Entry | None:
        """Return what lies at a path."""

    def list_directory(self, path: str) -> Iterator[tuple[str, Entry]]:
        """Give the names in a directory, nothing if it is none."""

    def read(self, stat: Stat, offset: int, size: int) -> bytes:
        """Read what is here of a file.

        Raises:
            BlockMissing: a block is not.
            InvalidExtent: the archive claims bytes that it does not have.
        """


ArchiveT = TypeVar("ArchiveT", bound=ReadableArchive)


@dataclass(frozen=True, slots=True, kw_only=True)
class Location(Generic[ArchiveT]):
    """Where a name of the union really lies.

    Attributes:
        archive: in which archive.
        entry: what it is there, with its absolute path.
    """

    archive: ArchiveT
    entry: Entry


class Union(Generic[ArchiveT]):
    """The directory of one lobby."""

    def __init__(self, host: ArchiveT, writers: Callable[[], Mapping[bytes, ArchiveT]]) -> None:
        """Lay archives over each other.

        Args:
            host: the lobby archive.
            writers: tells the archives that count now, by the identity key of their guests.
        """
        self._host = host
        self._writers = writers
        self._beacon_ids: dict[bytes, tuple[int, bytes | None]] = {}

    def locate(self, path: str) -> Location[ArchiveT] | None:
        """Return where a path lies, None if it is not there or does not count."""
        if path.partition("/")[0] in DAEMON_NAMES:
            return None
        owner = owner_of(path)
        archive = self._host if owner is None else self._writers().get(owner)
        if archive is None:
            return None
        entry = archive.lookup(f"/{path}")
        if entry is None or not self._counts(archive, owner, path, entry):
            return None
        return Location(archive=archive, entry=entry)

    def list_directory(self, path: str) -> Iterator[tuple[str, Location[ArchiveT]]]:
        """Give the names in a directory of the union; nothing if it is none."""
        if path:
            found = self.locate(path)
            if found is not None:
                for name, entry in found.archive.list_directory(found.entry.path):
                    yield name, Location(archive=found.archive, entry=entry)
            return
        contributions: list[tuple[bytes | None, ArchiveT]] = [(None, self._host)]
        contributions += self._writers().items()
        for owner, archive in contributions:
            for name, entry in archive.list_directory("/"):
                if (
                    name not in DAEMON_NAMES
                    and owner_of(name) == owner
                    and self._counts(archive, owner, name, entry)
                ):
                    yield name, Location(archive=archive, entry=entry)

    def _counts(self, archive: ArchiveT, owner: bytes | None, path: str, entry: Entry) -> bool:
        """Tell whether an entry of the right archive is one that the union shows."""
        if owner is None:
            return True
        if path == owner.hex():
            return entry.stat.is_directory
        return not self._is_for_older_beacon(archive, owner, path, entry)

    def _is_for_older_beacon(
        self, archive: ArchiveT, owner: bytes, path: str, entry: Entry
    ) -> bool:
        """Tell whether an offer names a beacon that is not the host's present one.

        What cannot be seen (blocks not here, no beacon named) hides nothing.
        """
        signal = parse_signal_name(path)
        if signal is None or signal.kind is not SignalKind.OFFER:
            return False
        offered_to = self._beacon_id(owner, archive, entry)
        if offered_to is None:
            return False
        beacon = self._host.lookup(f"/{BEACON_NAME}")
        present = None if beacon is None else self._beacon_id(b"", self._host, beacon)
        return present is not None and present != offered_to

    def _beacon_id(self, whose: bytes, archive: ArchiveT, entry: Entry) -> bytes | None:
        """Return the beacon that a signal names: the beacon its own, an offer the one it is for."""
        known = self._beacon_ids.get(whose)
        if known is not None and known[0] == entry.seq:
            return known[1]
        beacon_id: bytes | None = None
        try:
            data = archive.read(entry.stat, 0, SIGNAL_LIMIT_BYTES + 1)
            beacon_id = parse_offer(data).beacon_id if whose else parse_beacon(data).id
        except BlockMissing:
            return None
        except (InvalidSignal, InvalidExtent):
            pass  # it names none
        self._beacon_ids[whose] = (entry.seq, beacon_id)
        return beacon_id
