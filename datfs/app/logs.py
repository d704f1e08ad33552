"""The logs of the running daemon: single feeds that lobbies of carrier 2 are made of.

An own log lies in the store's `logs` folder. A lobby's key does not tell what it is: somebody
else's is opened as an archive, and its feed becomes a log when its first block says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.errors import NotAnArchive
from datfs.hypercore.feed import Feed
from datfs.hypercore.storage import DirectoryStorage, OpenFiles
from datfs.hyperdrive.folder import raw_storage
from datfs.lobby.log_records import encode_log_header, is_log_header
from datfs.swarm.feed_replica import FeedReplica
from datfs.swarm.log_replica import LogReplica

if TYPE_CHECKING:
    from datfs.app.archives import Archives
    from datfs.crypto.keys import KeyPair
    from datfs.store.home import Home
    from datfs.swarm.announcer import Announcer
    from datfs.swarm.archive_replica import ArchiveReplica

OPEN_FILES = 128
"""Descriptors that all logs keep open together."""


class Logs:
    """Opens logs, each once, on the connections of their lobbies.

    Args:
        home: the store.
        archives: whose topics carry them.
        announcer: syncs them.

    Attributes:
        own: those that we write, by key.
    """

    def __init__(self, home: Home, archives: Archives, announcer: Announcer) -> None:
        self._home = home
        self._archives = archives
        self._announcer = announcer
        self._open_files = OpenFiles(OPEN_FILES)
        self.own: dict[bytes, LogReplica] = {}
        self._foreign: dict[bytes, LogReplica] = {}

    def create(self, pair: KeyPair, *, lobby_key: bytes) -> LogReplica:
        """Make a log of our own.

        Args:
            pair: its keys.
            lobby_key: the lobby that it belongs to; its own key if we host that.
        """
        storage = self._storage(pair.public_key, lobby_key)
        feed = Feed.create(storage, pair, store_secret_key=True)
        log = self._adopt(feed, lobby_key)
        log.append(encode_log_header())
        return log

    def is_stored(self, key: bytes, *, lobby_key: bytes) -> bool:
        """Whether an own log of this key is in the store."""
        return self._storage(key, lobby_key).exists("secret_key")

    def open_own(self, key: bytes, *, lobby_key: bytes) -> LogReplica:
        """Open an own log of the store.

        Raises:
            NotAnArchive: it is not there.
            StorageDamaged: it contradicts itself.
        """
        storage = self._storage(key, lobby_key)
        if not storage.exists("secret_key"):
            raise NotAnArchive(f"the store does not hold the log {key.hex()} as one's own")
        known_length = self._home.marks.get(key)
        feed = Feed.open(storage, public_key=key, known_length=known_length)
        return self._adopt(feed, lobby_key)

    def of_host(self, key: bytes) -> LogReplica | None:
        """The log that is a lobby of somebody else; None as long as its header is not here."""
        known = self._foreign.get(key)
        if known is not None:
            return known
        opened = self._archives.foreign.get(key)
        if opened is not None:
            return self._take_over(opened)
        storage = raw_storage(self._home.archive_folder(key)).metadata
        if not storage.exists("key"):
            return None
        feed = Feed.open(storage, public_key=key)
        if _is_log(feed):
            return self._follow(feed, key, everywhere=True)
        feed.close()
        return None

    def of_guest(self, key: bytes, lobby_key: bytes) -> LogReplica | None:
        """A guest's log, carried by the lobby's connections alone; None if it is another lobby's.

        Whoever hosts a lobby names the guests' logs, and must not get those of others by that.
        """
        known = self.find(key)
        if known is not None:
            return known if known.topic.key == lobby_key else None
        storage = self._storage(key, lobby_key)
        if storage.exists("key"):
            feed = Feed.open(storage, public_key=key)
        else:
            feed = Feed.create_remote(storage, key)
        # A host has a connection for each guest, and carries each guest's log on its own.
        return self._follow(feed, lobby_key, everywhere=lobby_key not in self.own)

    def find(self, key: bytes) -> LogReplica | None:
        """A log that is open."""
        return self.own.get(key) or self._foreign.get(key)

    def close(self) -> None:
        """Let go of all files."""
        for log in (*self.own.values(), *self._foreign.values()):
            log.leave()
        self.own.clear()
        self._foreign.clear()

    def _take_over(self, opened: ArchiveReplica) -> LogReplica | None:
        if not _is_log(opened.metadata.feed):
            return None
        log = LogReplica(opened.metadata, opened.topic, self._announcer)
        self._foreign[opened.key] = log
        return log

    def _adopt(self, feed: Feed, lobby_key: bytes) -> LogReplica:
        topic = self._archives.pin(lobby_key).topic
        topic.grows = True
        log = LogReplica(FeedReplica(feed), topic, self._announcer)
        self.own[feed.key] = log
        return log

    def _follow(self, feed: Feed, lobby_key: bytes, *, everywhere: bool) -> LogReplica:
        topic = self._archives.membership(lobby_key).topic
        topic.grows = True
        replica = FeedReplica(feed, download_all=True)
        log = LogReplica(replica, topic, self._announcer, everywhere=everywhere)
        self._foreign[feed.key] = log
        return log

    def _storage(self, key: bytes, lobby_key: bytes) -> DirectoryStorage:
        folder = self._home.log_folder(key, lobby_key=lobby_key)
        return DirectoryStorage(folder, open_files=self._open_files)


def _is_log(feed: Feed) -> bool:
    return feed.has(0) and is_log_header(feed.get(0))
