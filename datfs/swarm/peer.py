"""One connection: reads and writes its stream, feeds the wire core, acts on its events.

Two tasks run for each connection. The reader takes what comes in pieces of up to 256 KiB and stores
the blocks of a piece in one batch. The writer sends what the core has ready, asks for blocks and
answers requests as long as little is queued: a peer that does not read stops its own uploads and
nothing else. What is said about single feeds stands in `conversation`.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from typing import TYPE_CHECKING

import trio

from datfs.errors import (
    DatfsError,
    HypercoreError,
    LocalProtocolError,
    ProofInvalid,
    RemoteProtocolError,
)
from datfs.swarm.conversation import Conversation
from datfs.swarm.duplicates import Candidate, keeps_older
from datfs.swarm.ended import Ended
from datfs.swarm.stream_sender import SEND_DEADLINE_S, NotRead, send_all
from datfs.wire.connection import Connection
from datfs.wire.events import (
    Closed,
    ExtensionReceived,
    FeedAnnounced,
    FeedClosed,
    HandshakeReceived,
    MessageReceived,
)
from datfs.wire.handshake import ID_BYTE_LENGTH, HandshakeOptions
from datfs.wire.messages import NONCE_BYTE_LENGTH, Info
from datfs.wire.session_data import EXTENSION, SessionDataInbox, SessionDataOutbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from datfs.swarm.announcer import Announcer
    from datfs.swarm.feed_replica import FeedReplica
    from datfs.swarm.topic import Topic
    from datfs.swarm.transport import Address
    from datfs.wire.events import Event
    from datfs.wire.messages import FeedMessage, Handshake

RECEIVE_BYTE_LENGTH = 256 * 1024
"""The most that is taken from the stream at once."""

UPLOAD_QUEUE_BYTE_LENGTH = 1024 * 1024
"""Requests are answered while less than this waits to be sent."""

MAX_QUEUED_BYTE_LENGTH = 16 * 1024 * 1024
"""What may wait to be sent: more comes only of a peer that asks and asks and does not read."""

EVENTS_A_TURN = 64
"""Messages that are handled before other tasks get a turn; a hostile one may cost 0.2 ms."""

MAX_ANNOUNCED = 1024
"""Feeds that a peer may name which we have not opened."""

MAX_ID_BYTE_LENGTH = 64
"""Bytes of a handshake id, which is kept; 32 everywhere known."""

HANDSHAKE_DEADLINE_S = 5.0
"""How long a new connection may take to name a feed and itself, as in discovery-swarm."""

CLOSED_DEADLINE_S = 1.0
"""How long a connection that cannot be written to any more may still be read."""

log = logging.getLogger(__name__)


class Peer:
    """A connection to one peer for one topic.

    Args:
        stream: the transport; owned by this object from now on.
        address: the other end.
        announcer: told of every block that came.
        outgoing: whether we dialled.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        address: Address,
        announcer: Announcer,
        *,
        outgoing: bool = False,
    ) -> None:
        self.id = os.urandom(8).hex()
        """Ours for this connection; the handshake id is the other side's choice."""
        self.address = address
        self.outgoing = outgoing
        self.topic: Topic | None = None
        self.remote_id: bytes | None = None
        self.remote_live = True
        self.closed = trio.Event()
        self.began_at = trio.current_time()
        self.heard_at = self.began_at
        self.session_data = SessionDataInbox()
        self._session_data_out = SessionDataOutbox()
        self._announcer = announcer
        self._stream = stream
        self._connection: Connection | None = None
        self._find_topic: Callable[[bytes], Topic | None] = lambda _discovery_key: None
        self._conversations: dict[bytes, Conversation] = {}
        self._announced: set[bytes] = set()
        self._barred: set[bytes] = set()
        self._wake = trio.Event()
        self._scope = trio.CancelScope()
        self._ended: Ended | None = None
        self._finishing = False

    # --- life ----------------------------------------------------------------------------------

    async def run(self, topic: Topic | None, find_topic: Callable[[bytes], Topic | None]) -> Ended:
        """Talk until the connection ends.

        Args:
            topic: what it was dialled for; None for an accepted connection.
            find_topic: finds the topic of a discovery key that an accepted peer names.
        """
        now = trio.current_time()
        self._find_topic = find_topic
        self._connection = connection = Connection(
            key=None if topic is None else topic.key,
            handshake=HandshakeOptions(id=os.urandom(ID_BYTE_LENGTH))
            if topic is None
            else _handshake(topic),
            nonce=os.urandom(NONCE_BYTE_LENGTH),
            now=now,
        )
        if topic is not None:
            self._begin(topic)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, connection)
                    nursery.start_soon(self._watch_handshake)
                    await self._read(connection)
        finally:
            try:
                self._leave()
            finally:
                await trio.aclose_forcefully(self._stream)
        return self._ended or Ended(words="it was closed here")

    def close(self, words: str) -> None:
        """End the connection."""
        self._end(Ended(words=words))

    def wake(self) -> None:
        """Let the writer look for something to send."""
        self._wake.set()

    def _end(self, ended: Ended) -> None:
        if self._ended is None:
            self._ended = ended
        self._scope.cancel()

    def _leave(self) -> None:
        self.closed.set()
        for conversation in self._conversations.values():
            conversation.end()
        self._conversations.clear()
        if self.topic is not None and self in self.topic.peers:
            self.topic.peers.discard(self)
            self.topic.on_peers()

    async def _watch_handshake(self) -> None:
        await trio.sleep(HANDSHAKE_DEADLINE_S)
        if self.topic is None or self not in self.topic.peers:
            what = "answer as one who has the archive" if self.outgoing else "say what it wants"
            self._end(Ended(words=f"it did not {what} within {HANDSHAKE_DEADLINE_S:g} s"))

    @property
    def _candidate(self) -> Candidate:
        return Candidate(outgoing=self.outgoing, began_at=self.began_at, heard_at=self.heard_at)

    # --- feeds of this connection --------------------------------------------------------------

    @property
    def feeds(self) -> list[FeedReplica]:
        """The feeds that this connection carries."""
        return [conversation.replica for conversation in self._conversations.values()]

    def announced(self, discovery_key: bytes) -> bool:
        """Whether the other side has opened a feed that we have not."""
        return discovery_key in self._announced

    def open_feed(self, replica: FeedReplica) -> None:
        """Carry a feed from now on; no harm if it already does."""
        discovery_key = replica.feed.discovery_key
        connection = self._connection
        if connection is None or discovery_key in self._conversations:
            return
        if self.topic is None or self._ended is not None or discovery_key in self._barred:
            return
        try:
            waiting = connection.open_feed(replica.feed.key)
        except LocalProtocolError as error:  # as many as a connection can carry
            log.warning("%s is not told of %s: %s", self.address, replica.feed.key.hex(), error)
            return
        self._converse(replica)
        for event in waiting:
            self._act_on(event, trio.current_time())

    def close_feed(self, replica: FeedReplica) -> None:
        """Carry a feed no longer; what comes on its channel is dropped.

        Without its first feed a connection is for nothing and ends.
        """
        discovery_key = replica.feed.discovery_key
        conversation = self._conversations.pop(discovery_key, None)
        if conversation is None or self._connection is None or self.topic is None:
            return
        conversation.end()
        if discovery_key == self.topic.discovery_key:
            self.close("the archive is no longer served")
        else:
            self._connection.close_feed(discovery_key)

    def announce(self, replica: FeedReplica, ranges: Sequence[range]) -> None:
        """Tell the peer of blocks that are held and durable."""
        conversation = self._conversations.get(replica.feed.discovery_key)
        if conversation is not None:
            conversation.announce(ranges)
            self._wake.set()

    def withdraw(self, replica: FeedReplica, block_index: int) -> None:
        """Tell the peer of a block that is to be had here no more."""
        conversation = self._conversations.get(replica.feed.discovery_key)
        if conversation is not None:
            conversation.withdraw(block_index)
            self._wake.set()

    def send_session_data(self, payload: bytes) -> None:
        """Say a session-data payload, now or when the pace of DEP-0006 allows.

        Raises:
            SessionDataTooLong: more than 256 bytes.
        """
        ready = self._session_data_out.set(payload, trio.current_time())
        if ready is not None:
            self.send_extension(ready)

    def send_extension(self, payload: bytes) -> None:
        """Send a payload of the session-data extension at once, if the peer speaks it."""
        connection, topic = self._connection, self.topic
        if connection is None or topic is None or self._ended is not None:
            return
        if connection.both_open(topic.discovery_key) and connection.remote_supports(EXTENSION):
            connection.send_extension(topic.discovery_key, EXTENSION, payload)
            self._wake.set()

    def _begin(self, topic: Topic) -> None:
        self.topic = topic
        for discovery_key in list(topic.everywhere):
            replica = topic.feeds[discovery_key]
            if discovery_key == topic.discovery_key:
                self._converse(replica)
            else:
                self.open_feed(replica)

    def _open_new_feeds(self, topic: Topic) -> None:
        """Open what was added to the topic before it knew of this connection."""
        for discovery_key, replica in list(topic.feeds.items()):
            if discovery_key in topic.everywhere or discovery_key in self._announced:
                self.open_feed(replica)

    def _converse(self, replica: FeedReplica) -> None:
        discovery_key = replica.feed.discovery_key
        connection = self._connection
        assert connection is not None

        def send(message: FeedMessage) -> None:
            connection.send(discovery_key, message)

        conversation = Conversation(self, replica, self._announcer, send)
        self._conversations[discovery_key] = conversation
        conversation.joined = connection.both_open(discovery_key)
        self._announced.discard(discovery_key)
        self._wake.set()

    # --- reading -------------------------------------------------------------------------------

    async def _read(self, connection: Connection) -> None:
        while True:
            try:
                data = await self._stream.receive_some(RECEIVE_BYTE_LENGTH)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                self._end(Ended(words=self._why_closed()))
                return
            self.heard_at = now = trio.current_time()
            for number, event in enumerate(connection.receive(data, now), 1):
                self._act_on(event, now)
                if number % EVENTS_A_TURN == 0:
                    await trio.lowlevel.checkpoint()
            for conversation in list(self._conversations.values()):
                self._store(conversation)
            if connection.queued_byte_length > MAX_QUEUED_BYTE_LENGTH:
                self._end(Ended(words="it asks for much and does not read the answers"))
            self._wake.set()
            await self._catch_up()

    async def _catch_up(self) -> None:
        """Let the archives take in what came, with turns for other tasks in between."""
        behind = list(self._conversations.values())
        while behind := [conversation for conversation in behind if conversation.catch_up()]:
            await trio.lowlevel.checkpoint()

    def _why_closed(self) -> str:
        """What the end of the stream means, as far as one can know."""
        if self.remote_id is not None:
            return "the peer closed it"
        if self.outgoing:
            return (
                "the peer closed it at once: it does not serve this archive, or has as many "
                "connections as it allows"
            )
        return "the peer closed it before it said what it wants"

    def _act_on(self, event: Event, now: float) -> None:
        """Handle an event; a mistake of the peer, or of ours for it, ends this connection alone."""
        try:
            self._handle(event, now)
        except ProofInvalid as error:
            self._lied(str(error))
        except (DatfsError, OSError) as error:
            self._end(Ended(words=str(error)))

    def _store(self, conversation: Conversation) -> None:
        """Put the blocks of a feed that came into it."""
        try:
            conversation.store()
        except (HypercoreError, OSError) as error:
            topic, discovery_key = self.topic, conversation.feed.discovery_key
            if topic is not None and topic.grows and discovery_key != topic.discovery_key:
                # One of many archives here, and its writer may have made copies that contradict
                # each other: the peer may be honest, and the other archives go on.
                log.warning(
                    "%s: no more of %s: %s", self.address, conversation.feed.key.hex(), error
                )
                self._barred.add(discovery_key)
                self.close_feed(conversation.replica)
            elif isinstance(error, ProofInvalid):
                self._lied(str(error))
            else:
                self._end(Ended(words=f"what it sent cannot be stored: {error}"))

    def _lied(self, words: str) -> None:
        if self.topic is not None and self.remote_id is not None:
            self.topic.remember_liar(self.address.host, self.remote_id)
        self._end(Ended(words=f"it sent what does not verify: {words}", lied=True))

    def _handle(self, event: Event, now: float) -> None:
        match event:
            case MessageReceived():
                conversation = self._conversations.get(event.discovery_key)
                if conversation is not None:
                    conversation.handle(event.message, now)
                    if conversation.ended:
                        self._on_info(event.discovery_key)
            case FeedAnnounced():
                self._on_feed(event, now)
            case HandshakeReceived():
                self._on_handshake(event.handshake)
            case ExtensionReceived():
                self._on_extension(event, now)
            case FeedClosed():
                conversation = self._conversations.pop(event.discovery_key, None)
                if conversation is not None:
                    conversation.end()
            case Closed():
                words = "the peer ended it" if event.error is None else str(event.error)
                self._end(Ended(words=words))

    def _on_feed(self, event: FeedAnnounced, now: float) -> None:
        connection = self._connection
        assert connection is not None
        if self.topic is None:
            topic = self._find_topic(event.discovery_key)
            if topic is None:
                self._end(Ended(words="it asked for an archive that is not served here"))
                return
            if not self._has_room(topic):
                return
            waiting = connection.accept(topic.key, handshake=_handshake(topic))
            self._begin(topic)
            for more in waiting:
                self._act_on(more, now)
            return
        conversation = self._conversations.get(event.discovery_key)
        if conversation is not None:
            # Not opened then and joined now: this is the opening that the conversation began with.
            if conversation.joined and event.opened:
                conversation.end()
                self._converse(conversation.replica)
            conversation.joined = True
            return
        self._announced.add(event.discovery_key)
        if len(self._announced) > MAX_ANNOUNCED:
            raise RemoteProtocolError(f"the peer named more than {MAX_ANNOUNCED} feeds")
        replica = self.topic.feeds.get(event.discovery_key)
        if replica is not None:
            self.open_feed(replica)
        elif not self.topic.grows:
            connection.ignore_feed(event.discovery_key)

    def _on_handshake(self, handshake: Handshake) -> None:
        topic = self.topic
        assert topic is not None
        self.remote_id = remote_id = handshake.id or b""
        self.remote_live = handshake.live
        if len(remote_id) > MAX_ID_BYTE_LENGTH:
            self.remote_id = None
            raise RemoteProtocolError("the peer's id is too long")
        if handshake.id == topic.handshake_id:
            if self.outgoing:  # the end that dialled closes, for it must learn not to dial again
                self._end(Ended(words="the other end is this process", is_self=True))
            return
        if (self.address.host, remote_id) in topic.liars:
            self._end(Ended(words="this peer sent what does not verify before"))
            return
        other = next((p for p in topic.peers if p.remote_id == self.remote_id), None)
        if other is not None and handshake.id is not None:
            if keeps_older(
                other._candidate,
                self._candidate,
                local_id=topic.handshake_id,
                remote_id=handshake.id,
                now=trio.current_time(),
            ):
                self._end(Ended(words="a connection to this peer is open", duplicate_of=other))
                return
            other._end(Ended(words="another connection to this peer was kept", duplicate_of=self))
        if other is None and not self._has_room(topic):
            return
        topic.peers.add(self)
        self._open_new_feeds(topic)
        topic.on_peers()
        if topic.session_data is not None:
            self.send_session_data(topic.session_data)

    def _has_room(self, topic: Topic) -> bool:
        if len(topic.peers) < topic.max_connections:
            return True
        self._end(Ended(words="as many connections as allowed are open for this archive"))
        return False

    def _on_extension(self, event: ExtensionReceived, now: float) -> None:
        if event.name != EXTENSION or self.topic is None:
            return
        if self.topic.intercept(self, event.payload):
            return
        payload = self.session_data.receive(event.payload, now)
        if payload is not None:
            self.topic.on_session_data(self, payload)

    def _on_info(self, discovery_key: bytes) -> None:
        """The other side wants no more of a feed: a peer that does not live is told goodbye."""
        connection = self._connection
        assert connection is not None
        if self.remote_live:
            return
        connection.send(discovery_key, Info(uploading=False, downloading=False))
        if all(conversation.ended for conversation in self._conversations.values()):
            self._finishing = True

    # --- writing -------------------------------------------------------------------------------

    async def _write(self, connection: Connection) -> None:
        while True:
            self._wake = trio.Event()
            now = trio.current_time()
            self._on_timeouts(connection, now)
            for conversation in self._conversations.values():
                conversation.ask(now)
            self._upload(connection)
            data = connection.data_to_send(now)
            if data:
                await self._send(connection, data)
            elif self._finishing:
                self._end(Ended(words="everything asked for was sent"))
            else:
                with trio.move_on_at(self._next_timeout(connection)):
                    await self._wake.wait()

    async def _send(self, connection: Connection, data: bytes | bytearray) -> None:
        try:
            await send_all(
                self._stream, data, lambda: self._on_timeouts(connection, trio.current_time())
            )
        except NotRead:
            self._end(Ended(words=f"the peer read nothing for {SEND_DEADLINE_S:g} s"))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            # The reader takes what the peer said before it went, and then finds the end itself.
            await trio.sleep(CLOSED_DEADLINE_S)
            self._end(Ended(words=self._why_closed()))

    def _upload(self, connection: Connection) -> None:
        """Answer requests, one of each feed in turn, until enough waits to be sent."""
        waiting = deque(self._conversations.values())
        while waiting and connection.queued_byte_length < UPLOAD_QUEUE_BYTE_LENGTH:
            conversation = waiting.popleft()
            if conversation.answer():
                waiting.append(conversation)

    def _on_timeouts(self, connection: Connection, now: float) -> None:
        for event in connection.on_timeout(now):
            if isinstance(event, Closed):
                self._end(Ended(words="it is silent" if event.error is None else str(event.error)))
        waiting = self._session_data_out.on_timeout(now)
        if waiting is not None:
            self.send_extension(waiting)
        received = self.session_data.on_timeout(now)
        if received is not None and self.topic is not None:
            self.topic.on_session_data(self, received)
        for replica in self.feeds:
            if replica.scheduler.expire(now):
                replica.wake_peers()
            if replica.scheduler.stalled(self, now):
                self._end(Ended(words="it answers no requests"))

    def _next_timeout(self, connection: Connection) -> float:
        deadlines = [
            connection.next_timeout(),
            self._session_data_out.next_timeout(),
            self.session_data.next_timeout(),
        ]
        for replica in self.feeds:
            deadline = replica.scheduler.next_deadline()
            if deadline is not None:
                deadlines.append(deadline)
        return min(deadlines)


def _handshake(topic: Topic) -> HandshakeOptions:
    return HandshakeOptions(id=topic.handshake_id, live=True, extensions=(EXTENSION,))
