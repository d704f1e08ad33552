"""A peer that says exactly what a test wants: the wire core over a memory stream, no swarm."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair

from datfs.crypto.keys import discovery_key
from datfs.swarm.peer import Peer
from datfs.swarm.transport import Address
from datfs.wire.connection import Connection
from datfs.wire.events import Closed, FeedAnnounced, HandshakeReceived, MessageReceived
from datfs.wire.handshake import HandshakeOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from datfs.swarm.archive_replica import ArchiveReplica
    from datfs.swarm.ended import Ended
    from datfs.wire.events import Event
    from datfs.wire.messages import FeedMessage
    from tests.swarm.hosts import Host

LIMIT_S = 60.0

_T = TypeVar("_T")


@dataclass
class RawPeer:
    """The test's end of a connection to a member of the swarm.

    Attributes:
        events: everything that the member said, in order.
        received_at: when bytes came, for questions of timing.
        ended: how the member's side ended.
    """

    stream: trio.abc.Stream
    connection: Connection
    key: bytes
    events: list[Event] = field(default_factory=list)
    received_at: list[float] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    closed: bool = False
    _listening: trio.CancelScope = field(default_factory=trio.CancelScope)
    _news: trio.Event = field(default_factory=trio.Event)

    async def say(self, *messages: FeedMessage, key: bytes | None = None) -> None:
        """Send messages on a feed's channel, in one piece."""
        feed = discovery_key(key or self.key)
        for message in messages:
            self.connection.send(feed, message)
        await self.flush()

    async def open(self, key: bytes) -> None:
        self.connection.open_feed(key)
        await self.flush()

    async def flush(self) -> None:
        data = self.connection.data_to_send(trio.current_time())
        if data:
            with contextlib.suppress(trio.BrokenResourceError):
                await self.stream.send_all(bytes(data))

    def heard(self, kind: type[_T], key: bytes | None = None) -> list[_T]:
        """The messages of one kind about a feed."""
        feed = discovery_key(key or self.key)
        return [
            event.message
            for event in self.events
            if isinstance(event, MessageReceived)
            and event.discovery_key == feed
            and isinstance(event.message, kind)
        ]

    def announced(self) -> set[bytes]:
        """Discovery keys of the feeds that the member opened."""
        return {event.discovery_key for event in self.events if isinstance(event, FeedAnnounced)}

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until what was heard fulfils a condition."""
        with trio.fail_after(LIMIT_S):
            while not condition():
                await self._news.wait()

    async def until_ended(self) -> str:
        """Wait until the member has ended the connection; its words."""
        await self.until(lambda: self.ended)
        return self.ended[0].words

    def stop_reading(self) -> None:
        self._listening.cancel()

    async def listen(self) -> None:
        """Take in what comes; keeps the member from taking this peer for dead."""
        with self._listening:
            await self._listen()

    async def _listen(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_alive)
            with contextlib.suppress(trio.ClosedResourceError, trio.BrokenResourceError):
                while data := await self.stream.receive_some():
                    self.received_at.append(trio.current_time())
                    self.events += self.connection.receive(data, trio.current_time())
                    self._tell()
            self.closed = True
            self._tell()
            nursery.cancel_scope.cancel()

    async def _keep_alive(self) -> None:
        while True:
            await trio.sleep(4)
            self.connection.on_timeout(trio.current_time())
            await self.flush()

    def over(self, ended: Ended) -> None:
        self.ended.append(ended)
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()


@contextlib.asynccontextmanager
async def raw_peer(
    member: Host,
    key: bytes,
    *,
    handshake_id: bytes = b"\x07" * 32,
    extensions: tuple[str, ...] = (),
    address: str = "10.0.0.7",
    listens: bool = True,
    narrow: bool = False,
    greeted: bool = True,
) -> AsyncIterator[RawPeer]:
    """Come to a member as a peer that dialled it.

    Args:
        member: serves the archive.
        key: the archive's.
        handshake_id: what this peer calls itself.
        extensions: which it says to speak.
        address: whence it seems to come.
        listens: whether it reads, and says that it is alive.
        narrow: the member's sends wait until they are read.
        greeted: wait for the member's handshake first.
    """
    theirs, ours = lockstep_stream_pair() if narrow else memory_stream_pair()
    connection = Connection(
        key=key,
        handshake=HandshakeOptions(id=handshake_id, extensions=extensions),
        nonce=handshake_id[:24],
        now=trio.current_time(),
    )
    raw = RawPeer(ours, connection, key)

    async def serve() -> None:
        peer = Peer(theirs, Address(address, 1), member.announcer)
        raw.over(await member.swarm._serve(peer, None))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        if listens:
            nursery.start_soon(raw.listen)
        await raw.flush()
        if greeted:
            await raw.until(
                lambda: (
                    any(isinstance(event, (HandshakeReceived, Closed)) for event in raw.events)
                    or raw.ended
                )
            )
        yield raw
        nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def linked(dialler: Host, replica: ArchiveReplica, listener: Host) -> AsyncIterator[None]:
    """Two members with a connection between them that needs no network."""
    theirs, ours = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        out = Peer(ours, Address("10.0.0.1", 1), dialler.announcer, outgoing=True)
        into = Peer(theirs, Address("10.0.0.2", 2), listener.announcer)
        nursery.start_soon(dialler.swarm._serve, out, replica.topic)
        nursery.start_soon(listener.swarm._serve, into, None)
        yield
        nursery.cancel_scope.cancel()
