"""Joins over the connections of a lobby's topic: a guest's sender, a host's receiver.

A join is session data with a magic of its own; it passes beside presence and is not shown as such
(design section 6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from datfs.lobby.join import is_join
from datfs.lobby.ports import ConnectionGone, JoinReceived, LobbyConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from datfs.app.archives import Membership
    from datfs.swarm.peer import Peer

JOIN_WINDOW_S = 1.0
"""A connection's joins are heard this often at most; an honest guest sends one in ten seconds."""

QUEUE_LENGTH = 256
"""Joins that wait to be considered; those that find no room are lost and come again."""


class TopicJoinSender:
    """A guest's `JoinSender`."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._changed = trio.Event()
        membership.peer_listeners.append(self._wake)

    async def connections(self) -> AsyncIterator[Sequence[LobbyConnection]]:
        """All connections whose handshake has come, at once and at each change."""
        try:
            while True:
                changed = self._changed
                yield [
                    LobbyConnection(id=peer.id, remote_id=peer.remote_id)
                    for peer in self._membership.topic.peers
                    if peer.remote_id
                ]
                await changed.wait()
        finally:
            self._membership.peer_listeners.remove(self._wake)

    async def send(self, connection_id: str, payload: bytes) -> None:
        """Send a join at once."""
        await trio.lowlevel.checkpoint()
        for peer in self._membership.topic.peers:
            if peer.id == connection_id:
                peer.send_extension(payload)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


class TopicJoinReceiver:
    """A host's `JoinReceiver`; hears from its making until `close`."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._heard_at: dict[str, float] = {}
        self._send, self._receive = trio.open_memory_channel[JoinReceived | ConnectionGone](
            QUEUE_LENGTH
        )
        membership.topic.intercept = self._intercept
        membership.peer_listeners.append(self._peers_changed)

    async def joins(self) -> AsyncIterator[JoinReceived | ConnectionGone]:
        """Joins as they come, and which connections have ended."""
        async for item in self._receive:
            yield item

    def close(self) -> None:
        """Hear no more; joins are dropped silently from now on."""
        self._membership.topic.intercept = lambda _peer, payload: is_join(payload)
        self._membership.peer_listeners.remove(self._peers_changed)
        self._send.close()

    def _intercept(self, peer: Peer, payload: bytes) -> bool:
        if not is_join(payload):
            return False
        now = trio.current_time()
        if now - self._heard_at.get(peer.id, -JOIN_WINDOW_S) >= JOIN_WINDOW_S:
            self._heard_at[peer.id] = now
            self._put(
                JoinReceived(connection_id=peer.id, address=peer.address.host, payload=payload)
            )
        return True

    def _peers_changed(self) -> None:
        present = {peer.id for peer in self._membership.topic.peers}
        for gone in [known for known in self._heard_at if known not in present]:
            del self._heard_at[gone]
            self._put(ConnectionGone(gone))

    def _put(self, item: JoinReceived | ConnectionGone) -> None:
        try:
            self._send.send_nowait(item)
        except (trio.WouldBlock, trio.BrokenResourceError):
            return
