"""The archives of one lobby in the running daemon, and their files under the lobby's names.

The carrier says which archive counts for a name; here the archives are opened, followed, read and
written. It is the lobby services' `SignalFiles`, and the mounted directory finds its files by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from datfs.app.lobbies.changed_names import ChangedNames
from datfs.app.lobbies.rules import LobbyRules
from datfs.lobby.archive_carrier import ArchiveCarrier
from datfs.lobby.names import WRITERS_FOLDER, owner_of
from datfs.lobby.signal import SIGNAL_LIMIT_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from datfs.app.archives import Archives
    from datfs.app.own_archive import OwnArchive
    from datfs.crypto.keys import KeyPair
    from datfs.hypercore.feed import Feed
    from datfs.hyperdrive.archive import Archive
    from datfs.hyperdrive.entry import Change
    from datfs.swarm.archive_replica import ArchiveReplica


class LobbyArchives:
    """The host's archive and the writers'.

    Args:
        key: of the lobby.
        archives: opens them.

    Attributes:
        own: the archive that we write in this lobby: the host's, or a guest's writer archive.
    """

    def __init__(self, key: bytes, archives: Archives) -> None:
        self.key = key
        self._archives = archives
        self._host = archives.lobby_replica(key)
        self._guest: bytes | None = None
        self._follow_writers = key in archives.own
        self._readers: list[ChangedNames] = []
        self.own: OwnArchive | None = archives.own.get(key)
        self.carrier: ArchiveCarrier[Archive] = ArchiveCarrier(
            self._host.archive, open_writer=self._open_writer
        )
        if self.own is not None:
            self._follow_own(self.own)

    @property
    def is_hosted(self) -> bool:
        """Whether the lobby is ours."""
        return self.key in self._archives.own

    @property
    def own_key(self) -> bytes | None:
        """The key of the archive that we write in this lobby."""
        return None if self.own is None else self.own.key

    def create_writer(self, identity: bytes, pair: KeyPair) -> None:
        """Write in this lobby from now on, as a guest, into a new archive."""
        own = self._archives.create_own(pair, rules=LobbyRules(), topic_key=self.key)
        self._join(identity, own)

    async def open_writer(self, identity: bytes, key: bytes) -> None:
        """Write in this lobby from now on, as a guest, into the archive that we had there.

        Raises:
            DatfsError: it cannot be opened.
        """
        own = await self._archives.open_own(key, rules=LobbyRules(), topic_key=self.key)
        self._join(identity, own)

    def _join(self, identity: bytes, own: OwnArchive) -> None:
        self.own = own
        self._guest = identity
        self.carrier = ArchiveCarrier(
            self._host.archive, open_writer=self._open_writer, own=(identity, own.archive)
        )
        self._follow_own(own)

    def follow_writers(self) -> None:
        """Replicate the archives of all writers, because somebody looks at the directory."""
        if not self._follow_writers:
            self._follow_writers = True
            self.carrier.writers()

    async def ready(self) -> None:
        """Wait for the host's archive; raises ArchiveUnreachable."""
        await self._host.ready()

    def replica(self, name: str) -> ArchiveReplica | None:
        """The archive whose file counts for a name; None if there is no such file."""
        location = self.carrier.union.locate(name)
        return None if location is None else self._replica_of(location.archive)

    # --- SignalFiles ---------------------------------------------------------------------------

    async def read(self, name: str) -> bytes | None:
        """A file of the union, None if it is not there; waits for its blocks."""
        location = self.carrier.union.locate(name)
        if location is None or location.entry.stat.is_directory:
            return None
        replica = self._replica_of(location.archive)
        return await replica.read(location.entry.stat, 0, SIGNAL_LIMIT_BYTES + 1)

    async def write(self, name: str, data: bytes) -> None:
        """Write a file of one's own."""
        assert self.own is not None
        path = f"/{name}"
        folder = path.rpartition("/")[0]
        if folder and self.own.working.lookup(folder) is None:
            self.own.working.mkdir(folder)
        await self.own.write(path, data)

    async def remove(self, name: str) -> None:
        """Remove a file of one's own."""
        await trio.lowlevel.checkpoint()
        if self.own is not None:
            self.own.remove(f"/{name}")

    def names(self, folder: str) -> Sequence[str]:
        """The full names in a folder of the union."""
        prefix = f"{folder}/" if folder else ""
        return [f"{prefix}{name}" for name, _ in self.carrier.union.list_directory(folder)]

    def changes(self) -> AsyncIterator[str]:
        """The names that change from now on."""
        reader = ChangedNames(self._readers)
        self._readers.append(reader)
        return reader

    # --- within --------------------------------------------------------------------------------

    def archive_changed(self, key: bytes, changes: Sequence[Change]) -> None:
        """One of the lobby's archives has a new version."""
        names = self.carrier.changed_names(key, changes)
        if any(name.startswith(f"{WRITERS_FOLDER}/") for name in names) and self._follow_writers:
            self.carrier.writers()
        for reader in self._readers:
            reader.put(names)

    def writer_keys(self) -> dict[bytes, bytes]:
        """The writer archives that count, by the identity key of their guests."""
        return self.carrier.writers()

    def writer_feeds(self, key: bytes) -> list[Feed]:
        """The feeds of a writer archive that is open."""
        replica = self._archives.foreign.get(key)
        return [] if replica is None else [part.feed for part in replica.feeds]

    def _follow_own(self, own: OwnArchive) -> None:
        own.on_commit.append(lambda changes: self.archive_changed(own.key, changes))

    def _open_writer(self, key: bytes) -> Archive | None:
        if self.own is not None and key == self.own.key:
            return self.own.archive
        if not self._follow_writers:
            return None
        return self._archives.writer_replica(key, self.key).archive

    def _replica_of(self, archive: Archive) -> ArchiveReplica:
        if archive.key == self.key:
            return self._host
        return self._archives.writer_replica(archive.key, self.key)

    def is_ours(self, name: str) -> bool:
        """Whether the archive we write is the one that this name belongs to."""
        if self.own is None:
            return False
        if self.is_hosted:
            return owner_of(name) is None
        return self._guest is not None and owner_of(name) == self._guest
