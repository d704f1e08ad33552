"""peers/HASH of a lobby: the FIFOs of each peer, its state and figures, over all its connections.

A peer that comes back finds its FIFOs again; what it said and nobody read stays readable for ten
minutes after it has gone (design section 10).
"""

from __future__ import annotations

import dataclasses
import time
from functools import partial
from typing import TYPE_CHECKING

import trio

from datfs.app.containment import contained
from datfs.channels.peer_pipes import PeerPipes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from datfs.app.events import EventLog
    from datfs.webrtc.peer_connection import PeerConnection


class PeerRoom:
    """One peer of a lobby, for as long as its directory is shown."""

    def __init__(self, pipes: PeerPipes, said: Callable[[], bytes | None]) -> None:
        self._pipes = pipes
        self._said = said
        self._connection: PeerConnection | None = None
        self._next: PeerConnection | None = None
        self._arrived = trio.Event()
        self._connected_ms = 0
        self._hidden: set[str] = set()
        self._scope = trio.CancelScope()
        self.ended = trio.Event()
        """Set once the directory is gone."""

    def state(self) -> str:
        """The state of the connection, as RTCPeerConnection names it, or that it is gone."""
        if self._connection is None:
            return "gone: what it said stays readable for ten minutes"
        return str(self._connection.state)

    def stats(self) -> Mapping[str, object]:
        """Counters, addresses and times of the connection; empty when it is gone."""
        if self._connection is None:
            return {}
        counters = dataclasses.asdict(self._connection.stats())
        return {"state": self.state(), "connected_since": self._connected_ms, **counters}

    def session_data(self) -> bytes | None:
        """What the peer said last on the connection on which its join came (DEP-0006)."""
        return self._said()

    def pipes(self) -> Mapping[str, Path]:
        """The FIFOs."""
        return {"in": self._pipes.in_path, "out": self._pipes.out_path}

    def hide(self, name: str) -> None:
        """Show a name no more until the next connection."""
        self._hidden.add(name)

    def is_hidden(self, name: str) -> bool:
        """Whether a name is hidden."""
        return name in self._hidden

    def take(self, connection: PeerConnection) -> None:
        """Carry this connection from now on, after what is left of the one before."""
        self._next = connection
        self._hidden.clear()
        self._arrived.set()

    async def run(self) -> None:
        """Carry connections until none has come for the time that unread lines are kept."""
        with self._scope:
            await self._run()

    async def dismiss(self) -> None:
        """Keep nothing: what was not read is gone, and the directory when this returns."""
        self._scope.cancel()
        await self.ended.wait()

    async def _run(self) -> None:
        try:
            while self._next is not None:
                self._connection, self._next = self._next, None
                self._arrived = trio.Event()
                self._connected_ms = time.time_ns() // 1_000_000
                channel = self._connection.channel
                if channel is not None:
                    await self._pipes.carry(channel)
                self._connection = None
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._stop_when_arrived, nursery.cancel_scope)
                    await self._pipes.keep_unread()
                    nursery.cancel_scope.cancel()
        finally:
            self._pipes.remove()

    async def _stop_when_arrived(self, scope: trio.CancelScope) -> None:
        await self._arrived.wait()
        scope.cancel()


class PeerRooms:
    """The peers of one lobby; the lobby services' `PeerDirectory`.

    Args:
        folder: where the FIFOs lie, in the runtime directory.
        nursery: for the tasks that carry lines.
        events: told if carrying lines fails.
        on_change: called when a peer's directory came or went.
        said: what a peer said by session data; None where no join names it.
    """

    def __init__(
        self,
        folder: Path,
        nursery: trio.Nursery,
        events: EventLog,
        on_change: Callable[[], None],
        said: Callable[[bytes], bytes | None],
    ) -> None:
        self._folder = folder
        self._events = events
        self._nursery = nursery
        self._on_change = on_change
        self._said = said
        self._rooms: dict[bytes, PeerRoom] = {}

    def identities(self) -> Iterable[bytes]:
        """The identity keys of the peers that have a directory."""
        return list(self._rooms)

    def get(self, identity: bytes) -> PeerRoom | None:
        """One peer."""
        return self._rooms.get(identity)

    async def opened(self, identity: bytes, peer: PeerConnection) -> None:
        """Give a peer its directory, or the one it had."""
        await trio.lowlevel.checkpoint()
        room = self._rooms.get(identity)
        if room is None:
            pipes = PeerPipes(self._folder / identity.hex())
            room = PeerRoom(pipes, partial(self._said, identity))
            self._rooms[identity] = room
            room.take(peer)
            self._nursery.start_soon(
                contained, self._events, f"peers/{identity.hex()}", self._serve, identity, room
            )
            self._on_change()
        else:
            room.take(peer)

    async def parted(self, identity: bytes, peer: PeerConnection) -> None:
        """A connection is over; its lines end by themselves."""
        await trio.lowlevel.checkpoint()

    async def dismiss(self, identity: bytes) -> None:
        """Take a peer's directory away; its connection is ended by whoever opened it."""
        room = self._rooms.get(identity)
        if room is not None:
            await room.dismiss()

    async def _serve(self, identity: bytes, room: PeerRoom) -> None:
        try:
            await room.run()
        finally:
            del self._rooms[identity]
            room.ended.set()
            self._on_change()
