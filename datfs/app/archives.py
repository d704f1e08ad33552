"""All archives of the running daemon, each once: opened when first used, left when idle.

Own archives, friends and lobbies stay in the swarm; a key that was only looked up leaves it after
ten idle minutes and comes back with its next use (design section 1).
"""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from datfs.app.own_archive import OwnArchive
from datfs.app.own_keys import own_key_pair
from datfs.crypto.keys import PUBLIC_KEY_SIZE, content_key_pair, discovery_key
from datfs.errors import DatfsError
from datfs.hypercore.storage import OpenFiles
from datfs.hyperdrive.archive import Archive
from datfs.hyperdrive.folder import METADATA_FOLDER, open_folder, raw_storage
from datfs.staging.rules import NoRules
from datfs.swarm.archive_replica import ArchiveReplica
from datfs.swarm.clearing import Clearing
from datfs.swarm.topic import Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from datfs.app.config import Config
    from datfs.app.events import EventLog
    from datfs.crypto.keys import KeyPair
    from datfs.hypercore.feed import Feed
    from datfs.hyperdrive.entry import Change
    from datfs.staging.rules import FileRules
    from datfs.store.home import Home
    from datfs.swarm.announcer import Announcer
    from datfs.swarm.peer import Peer
    from datfs.swarm.swarm import Swarm

IDLE_S = 600.0
"""How long an archive that was only looked up stays in the swarm after its last use."""

OPEN_FILES = 512
"""Descriptors that the feeds of all archives keep open together."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Membership:
    """A topic that is or was served.

    Attributes:
        topic: its connections.
        pinned: whether it stays however idle it is.
        used_at: when somebody looked into it last, seconds.
        joined: whether the swarm serves it now.
        peer_listeners: called when a connection came or went.
    """

    topic: Topic
    pinned: bool = False
    used_at: float = 0.0
    joined: bool = False
    peer_listeners: list[Callable[[], None]] = field(default_factory=list)
    known_peers: set[Peer] = field(default_factory=set)


class Archives:
    """Opens archives, and joins and leaves their topics.

    Args:
        home: the store.
        config: settings.
        swarm: whose topics they become.
        announcer: syncs them.
        events: told of peers and presence.
        on_change: called with the key of somebody else's archive and what is new in it.
    """

    def __init__(
        self,
        home: Home,
        config: Config,
        swarm: Swarm,
        announcer: Announcer,
        events: EventLog,
        *,
        on_change: Callable[[bytes, Sequence[Change]], None],
    ) -> None:
        self._home = home
        self._config = config
        self._swarm = swarm
        self._announcer = announcer
        self._events = events
        self._on_change = on_change
        self._open_files = OpenFiles(OPEN_FILES)
        self.clearing = Clearing()
        self.own: dict[bytes, OwnArchive] = {}
        self.foreign: dict[bytes, ArchiveReplica] = {}
        self._memberships: dict[bytes, Membership] = {}

    # --- somebody else's -----------------------------------------------------------------------

    def replica(self, key: bytes) -> ArchiveReplica:
        """Any archive, opened or made empty at its first use; never waits.

        Raises:
            StorageDamaged: what is in the store of it contradicts itself.
        """
        own = self.own.get(key)
        if own is not None:
            return own.replica
        known = self.foreign.get(key)
        if known is None:
            topic = self.membership(key).topic
            known = self._replicate(self._open_foreign(key), topic)
            self.used(key)
        return known

    def writer_replica(self, key: bytes, lobby_key: bytes) -> ArchiveReplica:
        """A writer archive of a lobby, carried by the lobby's connections alone."""
        own = self.own.get(key)
        if own is not None:
            return own.replica
        known = self.foreign.get(key)
        if known is None:
            topic = self.membership(lobby_key).topic
            # A host has a connection for each guest, and carries each guest's archive on its own.
            known = self._replicate(
                self._open_foreign(key),
                topic,
                download_all=True,
                everywhere=lobby_key not in self.own,
            )
        return known

    def lobby_replica(self, key: bytes) -> ArchiveReplica:
        """The host's archive of a lobby, held whole; its connections may carry writers."""
        replica = self.replica(key)
        replica.want_all()
        self.membership(key).topic.grows = True
        return replica

    def find(self, key: bytes) -> ArchiveReplica | None:
        """An archive that is open, without opening it."""
        own = self.own.get(key)
        return self.foreign.get(key) if own is None else own.replica

    def held_keys(self) -> Iterator[bytes]:
        """The keys of all archives of which something is here."""
        yield from self.own
        seen = set(self.own)
        for key, replica in self.foreign.items():
            seen.add(key)
            if replica.archive.metadata.length:
                yield key
        for key in self._stored_keys():
            if key not in seen:
                yield key

    def forget_empty(self) -> None:
        """Remove the folders of keys that were looked up once and never found."""
        for key in list(self._stored_keys()):
            folder = self._home.archive_folder(key)
            if not (folder / METADATA_FOLDER / "tree").exists():
                shutil.rmtree(folder, ignore_errors=True)

    def _stored_keys(self) -> Iterator[bytes]:
        folder = self._home.archives_folder
        if not folder.is_dir():
            return
        for entry in folder.iterdir():
            try:
                key = bytes.fromhex(entry.name)
            except ValueError:
                continue
            if len(key) == PUBLIC_KEY_SIZE:
                yield key

    def _open_foreign(self, key: bytes) -> Archive:
        storage = raw_storage(self._home.archive_folder(key), self._open_files)
        if not storage.metadata.exists("key"):
            return Archive.create_remote(storage, key)
        archive = Archive.open(storage, key=key)
        self._tell_repairs(archive)
        return archive

    def _replicate(
        self, archive: Archive, topic: Topic, *, download_all: bool = False, everywhere: bool = True
    ) -> ArchiveReplica:
        key = archive.key
        replica = ArchiveReplica(
            archive,
            topic,
            self._announcer,
            on_change=lambda changes: self._changed(key, changes),
            on_use=lambda: self.used(topic.key),
            download_all=download_all,
            everywhere=everywhere,
            metadata_deadline_s=self._config.metadata_deadline_s,
            data_deadline_s=self._config.data_deadline_s,
        )
        self.foreign[key] = replica
        return replica

    def _changed(self, key: bytes, changes: Sequence[Change]) -> None:
        version = self.foreign[key].archive.version if key in self.foreign else 0
        self._events.append(
            "archive-updated",
            archive=key.hex(),
            version=version,
            paths=[change.path for change in changes[:16]],
        )
        self._on_change(key, changes)

    # --- our own -------------------------------------------------------------------------------

    async def open_own(
        self, key: bytes, *, rules: FileRules, topic_key: bytes | None = None
    ) -> OwnArchive:
        """Open an own archive of the store and commit what an earlier process left.

        Args:
            key: which.
            rules: for its files.
            topic_key: the lobby whose connections carry it; None: its own.

        Raises:
            StorageDamaged: it contradicts itself.
            NotAnArchive: it is not there.
        """
        marks = self._home.marks
        pair = own_key_pair(self._home, key)
        storage = raw_storage(self._home.archive_folder(key), self._open_files)
        archive = Archive.open(
            storage,
            key=key,
            known_metadata_length=marks.get(key),
            known_content_length=marks.get(content_key_pair(pair.secret_key).public_key),
        )
        self._tell_repairs(archive)
        own = self._adopt(archive, rules=rules, topic_key=topic_key)
        for recovered in await own.recover():
            self._events.append(
                "recovered", archive=key.hex(), path=recovered.path, outcome=recovered.outcome
            )
        return own

    def open_folder(self, folder: Path) -> Archive:
        """Open the archive in a folder that is mounted by itself, whichever layout it has.

        Raises:
            NotAnArchive: there is none.
            StorageDamaged: it contradicts itself.
        """
        archive = open_folder(folder, open_files=self._open_files)
        marks = self._home.marks
        known = [marks.get(feed.key) for feed in (archive.metadata, archive.content) if feed]
        if archive.writable and any(known):
            archive.close()
            archive = open_folder(
                folder,
                open_files=self._open_files,
                known_metadata_length=known[0],
                known_content_length=known[-1],
            )
        self._tell_repairs(archive)
        return archive

    async def adopt_folder(self, archive: Archive) -> OwnArchive:
        """Serve a writable archive of a folder, and commit what an earlier mount of it left."""
        own = self._adopt(archive, rules=NoRules(), topic_key=None)
        await own.recover()
        return own

    def serve_folder(self, archive: Archive) -> ArchiveReplica:
        """Serve an archive of a folder that cannot be written."""
        replica = self._replicate(archive, self.membership(archive.key).topic)
        self.pin(archive.key)
        return replica

    def create_own(
        self, pair: KeyPair, *, rules: FileRules, topic_key: bytes | None = None
    ) -> OwnArchive:
        """Make a new archive of our own in the store."""
        storage = raw_storage(self._home.archive_folder(pair.public_key), self._open_files)
        own = self._adopt(Archive.create(storage, pair), rules=rules, topic_key=topic_key)
        own.replica.committed()
        return own

    def _adopt(self, archive: Archive, *, rules: FileRules, topic_key: bytes | None) -> OwnArchive:
        membership = self.membership(topic_key or archive.key)
        membership.pinned = True
        own = OwnArchive(
            archive,
            self._home.staging_folder(archive.key),
            rules=rules,
            topic=membership.topic,
            announcer=self._announcer,
            spool_memory_byte_length=self._config.spool_memory_bytes,
            on_overtaken=lambda feed, length: self._overtaken(archive, feed, length),
        )
        self.own[archive.key] = own
        reason = archive.read_only_reason
        if reason is not None:
            log.warning("the archive %s is read-only: %s", archive.key.hex(), reason)
            self._events.append("read-only", archive=archive.key.hex(), reason=reason)
        self._join(membership)
        return own

    def _overtaken(self, archive: Archive, feed: Feed, length: int) -> None:
        """A peer showed that the store is an older copy; the feed is read-only already.

        The mark keeps it so at the next mount, until what is missing has come back.
        """
        log.warning(
            "the archive %s is read-only from now on: %s", archive.key.hex(), feed.read_only_reason
        )
        self._events.append(
            "overtaken",
            archive=archive.key.hex(),
            feed=feed.key.hex(),
            length=feed.length,
            known_length=length,
            reason=feed.read_only_reason,
        )
        try:
            self._home.marks.raise_to(feed.key, length)
        except (OSError, DatfsError) as error:
            log.error("the length of %s cannot be noted: %s", feed.key.hex(), error)

    def close_own(self, own: OwnArchive) -> None:
        """Serve an own archive no longer and let go of its files."""
        self.own.pop(own.key, None)
        own.close()

    def _tell_repairs(self, archive: Archive) -> None:
        feeds = (
            [archive.metadata] if archive.content is None else [archive.metadata, archive.content]
        )
        for feed in feeds:
            for repair in feed.repairs:
                self._events.append("repaired", archive=archive.key.hex(), what=str(repair))

    # --- topics --------------------------------------------------------------------------------

    def membership(self, key: bytes) -> Membership:
        """The topic of an archive's key, made at first use; nothing is dialled before `pin`."""
        known = self._memberships.get(key)
        if known is None:
            known = self._memberships[key] = Membership(self._new_topic(key))
        return known

    def pin(self, key: bytes) -> Membership:
        """Stay in an archive's topic however idle it is."""
        membership = self.membership(key)
        membership.pinned = True
        self._join(membership)
        return membership

    def unpin(self, key: bytes) -> None:
        """Let an archive's topic be left when it is idle."""
        if key not in self.own:
            self.membership(key).pinned = False

    def leave(self, key: bytes) -> None:
        """Leave an archive's topic; its next use joins it again."""
        membership = self.membership(key)
        membership.pinned = False
        membership.joined = False
        self._swarm.leave(membership.topic)

    async def leave_idle(self) -> None:
        """Leave topics that nobody has looked into for a while; runs until cancelled."""
        while True:
            await trio.sleep(IDLE_S / 10)
            now = trio.current_time()
            for key, membership in list(self._memberships.items()):
                idle = now - membership.used_at >= IDLE_S
                if membership.joined and not membership.pinned and idle:
                    self.leave(key)

    def memberships(self) -> dict[bytes, Membership]:
        """All topics that are or were served, by key."""
        return dict(self._memberships)

    def close(self) -> None:
        """Let go of all files."""
        for own in list(self.own.values()):
            self.close_own(own)
        for replica in self.foreign.values():
            replica.leave()
            replica.archive.close()
        self.foreign.clear()

    def used(self, key: bytes) -> None:
        """Somebody looks into an archive: be in its topic for a while."""
        membership = self.membership(key)
        membership.used_at = trio.current_time()
        self._join(membership)
        if not membership.topic.peers:
            membership.topic.retry_now()

    def _join(self, membership: Membership) -> None:
        if not membership.joined:
            membership.joined = True
            self._swarm.join(membership.topic)

    def _new_topic(self, key: bytes) -> Topic:
        return Topic(
            key,
            discovery_key(key),
            max_connections=self._config.max_archive_connections,
            on_session_data=lambda peer, payload: self._heard(key, peer, payload),
            on_peers=lambda: self._peers_changed(key),
        )

    def _heard(self, key: bytes, peer: Peer, payload: bytes) -> None:
        self._events.append(
            "session-data",
            archive=key.hex(),
            address=str(peer.address),
            text=payload.decode(errors="replace"),
            payload=payload.hex(),
        )

    def _peers_changed(self, key: bytes) -> None:
        membership = self._memberships[key]
        now, before = membership.topic.peers, membership.known_peers
        for peer in now - before:
            self._events.append("peer", archive=key.hex(), address=str(peer.address), open=True)
        for peer in before - now:
            self._events.append("peer", archive=key.hex(), address=str(peer.address), open=False)
        membership.known_peers = set(now)
        for listener in list(membership.peer_listeners):
            listener()
