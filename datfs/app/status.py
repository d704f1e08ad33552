"""What the daemon tells of itself: status.json, peers.json (`fs.ports.StatusView`)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import datfs
from datfs.app.own_archive import wall_clock_ms
from datfs.app.presence import Presence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from datfs.app.archives import Archives, Membership
    from datfs.app.logs import Logs
    from datfs.app.session_service import SessionService
    from datfs.store.home import Home
    from datfs.swarm.swarm import Swarm


class Status:
    """Looks at the daemon's parts whenever it is asked.

    Args:
        home: the store.
        mountpoint: where it is mounted.
        identity: key of the identity archive; None for a mount of one archive.
        archives: what is served.
        logs: what is served of lobbies that are logs.
        swarm: by whom.
        session: what is hosted; None for a mount of one archive.
    """

    def __init__(
        self,
        home: Home,
        mountpoint: Path,
        *,
        identity: bytes | None,
        archives: Archives,
        logs: Logs,
        swarm: Swarm,
        session: SessionService | None,
    ) -> None:
        self._home = home
        self._mountpoint = mountpoint
        self._identity = identity
        self._archives = archives
        self._logs = logs
        self._swarm = swarm
        self._session = session
        self._presence = Presence(archives)
        self._started_ms = wall_clock_ms()

    @property
    def session_data(self) -> Presence:
        """What is said beside the archives."""
        return self._presence

    @property
    def version(self) -> str:
        """The version of datfs."""
        return datfs.__version__

    @property
    def events(self) -> Path:
        """The growing file of events."""
        return self._home.events_file

    def status(self) -> dict[str, object]:
        """`status.json`: for each archive what it is and why it has, or lacks, peers."""
        session = None if self._session is None else self._session.session
        return {
            "version": self.version,
            "pid": os.getpid(),
            "mountpoint": str(self._mountpoint),
            "store": str(self._home.folder),
            "started": self._started_ms,
            "identity": None if self._identity is None else self._identity.hex(),
            "port": self._swarm.port,
            "session": None
            if session is None
            else {
                "name": session.name,
                "url": str(session.url),
                "peers": session.peers,
                "max_peers": session.max_peers,
            },
            "archives": {
                key.hex(): self._archive(key, membership)
                for key, membership in self._archives.memberships().items()
            },
        }

    def peers(self) -> list[Mapping[str, object]]:
        """`peers.json`: every connection."""
        return [
            {
                "archive": key.hex(),
                "address": str(peer.address),
                "dialled": peer.outgoing,
                "connection": peer.id,
                "handshake_id": None if peer.remote_id is None else peer.remote_id.hex(),
            }
            for key, membership in self._archives.memberships().items()
            for peer in membership.topic.peers
        ]

    def _archive(self, key: bytes, membership: Membership) -> dict[str, object]:
        held = self._archives.find(key)
        own = self._archives.own.get(key)
        facts: dict[str, object] = {
            "own": own is not None,
            "writable": own is not None and own.archive.writable,
            "version": 0 if held is None else held.archive.version,
            "in_swarm": membership.joined,
            "peers": len(membership.topic.peers),
            "discovery": {
                mechanism: {"at": outcome.at_ms, "outcome": outcome.words}
                for mechanism, outcome in membership.topic.outcomes.items()
            },
        }
        log = self._logs.find(key)
        if log is not None:  # a lobby's
            facts |= {"own": key in self._logs.own, "writable": log.feed.writable}
            blocks = {"length": log.feed.length, "here": log.feed.held_count()}
            facts["blocks"] = {"log": blocks}
        elif held is not None:
            facts["blocks"] = {
                name: {"length": feed.length, "here": feed.held_count()}
                for name, feed in (
                    ("metadata", held.archive.metadata),
                    ("content", held.archive.content),
                )
                if feed is not None
            }
        if own is not None and own.archive.read_only_reason is not None:
            facts["read_only"] = own.archive.read_only_reason
        return facts
