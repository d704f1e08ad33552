"""The archives of one lobby in the running daemon, and their files under the lobby's names.

The carrier says which archive counts for a name; here the archives are opened, followed, read and
written. It is the lobby services' `SignalFiles`, and the mounted directory finds its files by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from datfs.app.lobbies.changed_names import ChangedNames
from datfs.app.lobbies.rules import LobbyRules
from datfs.app.lobbies.transient_blocks import TransientBlocks
from datfs.errors import BlockMissing, InvalidExtent
from datfs.lobby.archive_carrier import ArchiveCarrier
from datfs.lobby.names import BEACON_NAME, WRITERS_FOLDER, offer_name, owner_of
from datfs.lobby.seal import STORED_LIMIT_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from datfs.app.archives import Archives
    from datfs.app.own_archive import OwnArchive
    from datfs.crypto.keys import KeyPair
    from datfs.hypercore.feed import Feed
    from datfs.hyperdrive.archive import Archive
    from datfs.hyperdrive.entry import Change
    from datfs.lobby.guest_sealing import GuestSealing
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
        self._sealing: GuestSealing | None = None
        self._follow_writers = key in archives.own
        self._readers: list[ChangedNames] = []
        self._transient = TransientBlocks(archives.clearing)
        self._transient.look_at(self._host)
        self._opened: set[bytes] = set()
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

    def create_writer(self, identity: bytes, pair: KeyPair, sealing: GuestSealing) -> None:
        """Write in this lobby from now on, as a guest, into a new archive.

        Args:
            identity: ours.
            pair: the archive's keys.
            sealing: our end of sealed signals.
        """
        rules = LobbyRules(sealing, self.name_changed)
        own = self._archives.create_own(pair, rules=rules, topic_key=self.key)
        self._join(identity, own, sealing)

    async def open_writer(self, identity: bytes, key: bytes, sealing: GuestSealing) -> None:
        """Write in this lobby from now on, as a guest, into the archive that we had there.

        Raises:
            DatfsError: it cannot be opened.
        """
        rules = LobbyRules(sealing, self.name_changed)
        own = await self._archives.open_own(key, rules=rules, topic_key=self.key)
        self._join(identity, own, sealing)

    def _join(self, identity: bytes, own: OwnArchive, sealing: GuestSealing) -> None:
        self.own = own
        self._sealing = sealing
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
        waiting = self._waiting(name)
        if waiting is not None:
            return waiting
        location = self.carrier.union.locate(name)
        if location is None or location.entry.stat.is_directory:
            return None
        replica = self._replica_of(location.archive)
        return await replica.read(location.entry.stat, 0, STORED_LIMIT_BYTES + 1)

    async def write(self, name: str, data: bytes) -> None:
        """Write a file of one's own."""
        assert self.own is not None
        path = f"/{name}"
        folder = path.rpartition("/")[0]
        if folder and self.own.working.lookup(folder) is None:
            self.own.working.mkdir(folder)
        await self.own.write(path, data)

    async def write_waiting(self) -> None:
        """Store our offer if it could not be sealed before, or was for an older beacon."""
        if self.own is None:
            return
        await self.own.working.commit_closed()
        if self._guest is None or self._sealing is None:
            return
        name = offer_name(self._guest)
        stored = self.stored_here(name)
        if stored is not None and self._sealing.is_outdated(stored):
            text = self.own.working.read_file(f"/{name}")
            self.own.remove(f"/{name}")
            await self.own.write(f"/{name}", text)

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

    @property
    def offer_waits(self) -> bool:
        """Whether our offer is written and was never stored: nobody has seen it."""
        if self.own is None or self._guest is None:
            return False
        return f"/{offer_name(self._guest)}" in self.own.working.uncommitted()

    def beacon_here(self) -> bytes | None:
        """The host's beacon as far as it is here; never waits."""
        return self.stored_here(BEACON_NAME)

    def stored_here(self, name: str) -> bytes | None:
        """What is stored and here of a file of the union; None if it is not all here."""
        location = self.carrier.union.locate(name)
        if location is None or location.entry.stat.is_directory:
            return None
        try:
            return location.archive.read(location.entry.stat, 0, STORED_LIMIT_BYTES)
        except (BlockMissing, InvalidExtent):
            return None

    def name_changed(self, name: str) -> None:
        """A file of ours looks otherwise without a new version."""
        for reader in self._readers:
            reader.put([name])

    def _waiting(self, name: str) -> bytes | None:
        """A file of ours that is written and closed and cannot be stored yet, as it was written."""
        if self.own is None or not self.is_ours(name):
            return None
        working, path = self.own.working, f"/{name}"
        entry = working.lookup(path)
        if entry is None or not entry.dirty or working.has_writers(path):
            return None
        return working.read_file(path)

    def archive_changed(self, key: bytes, changes: Sequence[Change]) -> None:
        """One of the lobby's archives has a new version."""
        names = self.carrier.changed_names(key, changes)
        replica = self._archives.find(key)
        if names and replica is not None:
            self._transient.changed(replica, changes)
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
        self._transient.look_at(own.replica)
        own.on_commit.append(lambda changes: self.archive_changed(own.key, changes))

    def _open_writer(self, key: bytes) -> Archive | None:
        if self.own is not None and key == self.own.key:
            return self.own.archive
        if not self._follow_writers:
            return None
        replica = self._archives.writer_replica(key, self.key)
        if key not in self._opened:
            self._opened.add(key)
            self._transient.look_at(replica)
        return replica.archive

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
