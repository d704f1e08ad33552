"""What connections are opened for: one archive, or a lobby with the writers that belong to it.

A connection serves the feeds of its topic and no others: later feeds are encrypted with the first
one's key only, so serving more would leak archives to whoever knows one of them (design section 4).
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from datfs.wire.session_data import check_payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from datfs.swarm.feed_replica import FeedReplica
    from datfs.swarm.peer import Peer

MAX_CONNECTIONS = 64
"""Connections of one topic; a hosted lobby asks for room for its guests beside that."""

MAX_LIARS = 1024
"""Peers that lied and are remembered; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a way to find peers went last, for people to read."""

    at_ms: int
    """Wall clock, milliseconds since 1970."""
    words: str


class Topic:
    """A discovery key that is replicated, its feeds and its connections.

    Args:
        key: public key of the first feed, which encrypts the connections.
        discovery_key: what is announced and what a dialling peer names first.
        max_connections: how many connections may be open at once.
        grows: whether feeds may be added that a peer opens before we know them (a lobby's
            writers); otherwise what a peer opens beyond the topic's feeds is dropped.
        intercept: looks at every session-data payload first; true if it was something else in
            disguise (a lobby's join) and is no presence.
        on_session_data: called with each payload that the pace of DEP-0006 lets through.
        on_peers: called after a connection joined or left.
    """

    def __init__(
        self,
        key: bytes,
        discovery_key: bytes,
        *,
        max_connections: int = MAX_CONNECTIONS,
        grows: bool = False,
        intercept: Callable[[Peer, bytes], bool] = lambda _peer, _payload: False,
        on_session_data: Callable[[Peer, bytes], None] = lambda _peer, _payload: None,
        on_peers: Callable[[], None] = lambda: None,
    ) -> None:
        self.key = key
        self.discovery_key = discovery_key
        self.max_connections = max_connections
        self.grows = grows
        self.intercept = intercept
        self.on_session_data = on_session_data
        self.on_peers = on_peers
        self.handshake_id = os.urandom(32)
        self.feeds: dict[bytes, FeedReplica] = {}
        self.everywhere: list[bytes] = []
        self.peers: set[Peer] = set()
        self.outcomes: dict[str, Outcome] = {}
        self.liars: dict[tuple[str, bytes], None] = {}
        """Host and handshake id of peers that sent what did not verify, oldest first. The id alone
        would let a liar who took somebody else's shut that one out."""
        self.session_data: bytes | None = None
        """What is said on each connection, by DEP-0006; None: nothing."""
        self.retry = trio.Event()

    def say(self, payload: bytes) -> None:
        """Say a session-data payload to all peers, now or at their pace, and to those who come.

        Raises:
            SessionDataTooLong: more than 256 bytes.
        """
        check_payload(payload)
        self.session_data = payload
        for peer in self.peers:
            peer.send_session_data(payload)

    def add_feed(self, replica: FeedReplica, *, everywhere: bool = True) -> None:
        """Let the connections carry a feed.

        Args:
            replica: the feed.
            everywhere: open it on every connection at once; otherwise only where the other side
                opens it, or by `open_feed`.
        """
        discovery_key = replica.feed.discovery_key
        if discovery_key in self.feeds:
            return
        self.feeds[discovery_key] = replica
        if everywhere:
            self.everywhere.append(discovery_key)
        for peer in list(self.peers):
            if everywhere or peer.announced(discovery_key):
                peer.open_feed(replica)

    def remove_feed(self, replica: FeedReplica) -> None:
        """Serve a feed no longer; connections that carry it drop what comes on it."""
        discovery_key = replica.feed.discovery_key
        self.feeds.pop(discovery_key, None)
        if discovery_key in self.everywhere:
            self.everywhere.remove(discovery_key)
        for peer in list(self.peers):
            peer.close_feed(replica)

    def open_feed(self, replica: FeedReplica) -> None:
        """Open a feed that was added quietly on all connections, because somebody reads it."""
        for peer in list(self.peers):
            peer.open_feed(replica)

    def remember_liar(self, host: str, handshake_id: bytes) -> None:
        """A peer sent what did not verify: it is not to come back."""
        self.liars.pop((host, handshake_id), None)
        self.liars[host, handshake_id] = None
        if len(self.liars) > MAX_LIARS:
            del self.liars[next(iter(self.liars))]

    def note(self, mechanism: str, words: str) -> None:
        """Remember how a way to find peers went: "why no peers" is what people ask most."""
        self.outcomes[mechanism] = Outcome(int(time.time() * 1000), words)

    def retry_now(self) -> None:
        """Somebody waits for this topic: do not sit out the pauses between dials."""
        self.retry.set()
        self.retry = trio.Event()
