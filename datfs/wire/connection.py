"""One connection of the replication protocol, without I/O (DEP-0010, hypercore-protocol 6.12).

`Connection` turns received bytes into events and messages into bytes to send. Its owner, a shell
around a stream, runs a loop of three calls: `receive` what came and act on the events, send what
`data_to_send` gives, and at `next_timeout` call `on_timeout`. Time is an argument, in seconds of a
monotonic clock; nonce and handshake id come from the owner.

The opening is symmetric. Each side sends a clear Feed with its nonce and an encrypted Handshake as
soon as it knows the first feed's key: at once if it dialled for that feed, after the peer's Feed
named the discovery key if it accepted the connection (`accept`). Further feeds are opened by both
sides, in any order. Until the peer has opened a feed too, only Want may be said about it, since the
peer keeps no more than 17 messages for a feed it does not know: `send` refuses everything else, and
`both_open` tells. Refusing costs no memory, and what would have waited would be stale by then.

A peer that breaks the protocol gets a `Closed` event as the last one; nothing is raised for what
came from outside, so that the messages before the mistake arrive in every slicing. The state is
that after the last event of a list: an owner still busy with an earlier event may speak about a
feed, or on a connection, that the peer has ended, and what it says is dropped without an error.
What messages mean is for the swarm: which feeds may be opened, which request is answered.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from datfs.crypto.keys import discovery_key as discovery_key_of
from datfs.encoding.varint import decode_varint
from datfs.errors import EncodingError, LocalProtocolError, RemoteProtocolError
from datfs.wire.channel import ChannelTable
from datfs.wire.cipher import IncomingStream, OutgoingStream
from datfs.wire.events import (
    Closed,
    ExtensionReceived,
    FeedAnnounced,
    FeedClosed,
    HandshakeReceived,
    MessageReceived,
)
from datfs.wire.extensions import Extensions
from datfs.wire.framing import KEEP_ALIVE, frame_head, header, split_header
from datfs.wire.liveness import Liveness
from datfs.wire.messages import (
    FEED_MESSAGE_DECODERS,
    Data,
    Extension,
    Feed,
    Handshake,
    Want,
)

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer
    from datfs.wire.channel import Channel
    from datfs.wire.events import Event
    from datfs.wire.handshake import HandshakeOptions
    from datfs.wire.messages import FeedMessage

MAX_UNREADABLE_BYTE_LENGTH: Final = 1024 * 1024
"""What a peer may send before its bytes can be decrypted; it is kept until our `accept`."""


class Connection:
    """One side of a connection.

    Args:
        handshake: what we say about ourselves; `accept` may replace it.
        nonce: 24 random bytes, never used before.
        key: public key of the first feed (32 bytes) if we know what the connection is for; None to
            wait for the peer to name the feed.
        now: seconds, monotonic.
    """

    def __init__(
        self, *, handshake: HandshakeOptions, nonce: bytes, key: bytes | None = None, now: float
    ) -> None:
        self._handshake = handshake
        self._nonce = nonce
        self._key: bytes | None = None
        self._first_discovery_key: bytes | None = None
        self._remote_first: Feed | None = None
        self._remote_handshake: Handshake | None = None
        self._extensions = Extensions(handshake.extensions)
        self._channels = ChannelTable()
        self._closed_by_peer: set[bytes] = set()  # of the feeds that we had opened
        self._incoming = IncomingStream()
        self._outgoing = OutgoingStream()
        self._decrypting = False
        self._closed = False
        self._liveness = Liveness(now)
        if key is not None:
            self._open_first(key)

    @property
    def closed(self) -> bool:
        """Whether the connection is over; nothing can be sent or received any more."""
        return self._closed

    @property
    def remote_handshake(self) -> Handshake | None:
        """What the peer said about itself, None before it did."""
        return self._remote_handshake

    @property
    def received_at(self) -> float:
        """When the last byte came, or the connection began."""
        return self._liveness.received_at

    @property
    def queued_byte_length(self) -> int:
        """Bytes that wait for `data_to_send`; the owner stops sending Data while this is large."""
        return self._outgoing.queued_byte_length

    def is_open(self, discovery_key: bytes) -> bool:
        """Tell whether we have opened the feed."""
        channel = self._channels.get(discovery_key)
        return channel is not None and channel.local_number is not None

    def both_open(self, discovery_key: bytes) -> bool:
        """Tell whether both sides have opened the feed, so that anything may be sent about it."""
        channel = self._channels.get(discovery_key)
        return (
            channel is not None
            and channel.local_number is not None
            and channel.remote_number is not None
        )

    def remote_supports(self, extension: str) -> bool:
        """Tell whether both sides' handshakes named the extension."""
        return self._extensions.remote_supports(extension)

    # --- feeds -------------------------------------------------------------------------------

    def accept(self, key: bytes, *, handshake: HandshakeOptions | None = None) -> list[Event]:
        """Open the feed that the peer named first: answer the first `FeedAnnounced`.

        Args:
            key: public key whose discovery key was announced.
            handshake: what we say about ourselves, if that depends on the feed.

        Returns:
            The events of what the peer has sent behind its Feed.

        Raises:
            LocalProtocolError: no feed was announced yet, the key is not that feed's, or the
                connection has its key already.
        """
        if self._closed:
            return []
        if self._key is not None or self._remote_first is None:
            raise LocalProtocolError("there is no announced feed to accept")
        if discovery_key_of(key) != self._remote_first.discovery_key:
            raise LocalProtocolError("the key is not that of the feed which the peer announced")
        if handshake is not None:
            self._handshake = handshake
            self._extensions = Extensions(handshake.extensions)
        self._open_first(key)
        events: list[Event] = []
        self._read_frames(events)
        return events

    def open_feed(self, key: bytes) -> list[Event]:
        """Open a further feed; whether the peer opened it before or will do so does not matter.

        Args:
            key: the feed's public key, 32 bytes.

        Returns:
            What the peer has said about the feed already, as events.

        Raises:
            LocalProtocolError: the feed is open, 256 feeds are, or the first feed is not.
        """
        if self._closed:
            return []
        if self._key is None:
            raise LocalProtocolError("the first feed of an accepted connection is not open yet")
        channel, number = self._channels.open_local(discovery_key_of(key))
        self._closed_by_peer.discard(channel.discovery_key)
        self._queue(number, Feed.TYPE, Feed(channel.discovery_key).encode())
        return [
            MessageReceived(channel.discovery_key, message) for message in channel.take_waiting()
        ]

    def ignore_feed(self, discovery_key: bytes) -> None:
        """Drop all that the peer says about a feed that it announced and we do not serve.

        The feed may still be opened later.
        """
        channel = self._channels.get(discovery_key)
        if channel is not None and channel.local_number is None:
            channel.ignored = True
            channel.take_waiting()

    def close_feed(self, discovery_key: bytes) -> None:
        """Give a feed's channel free for the next feed that is opened.

        The peer hears of it only then; what it says about the feed is dropped from now on.

        Raises:
            LocalProtocolError: the feed is not open, or it is the first one.
        """
        if self._is_over(discovery_key):
            return
        if discovery_key == self._first_discovery_key:
            raise LocalProtocolError("the first feed is open as long as its connection")
        channel, _ = self._open_channel(discovery_key)
        self._channels.close_local(channel)

    # --- sending -----------------------------------------------------------------------------

    def send(self, discovery_key: bytes, message: FeedMessage) -> None:
        """Queue a message about an open feed.

        Raises:
            LocalProtocolError: the feed is not open; the peer has not opened it and the message is
                no Want; or the message is too long for a frame. Nothing was queued.
        """
        if self._is_over(discovery_key):
            return
        channel, number = self._open_channel(discovery_key)
        if channel.remote_number is None and not isinstance(message, Want):
            raise LocalProtocolError(
                f"{type(message).__name__} cannot be sent before the peer opened the feed"
            )
        if isinstance(message, Data):
            self._queue(number, Data.TYPE, *message.encode_parts())
        else:
            self._queue(number, message.TYPE, message.encode())

    def send_extension(self, discovery_key: bytes, name: str, payload: bytes) -> None:
        """Queue a message of an extension about a feed that both sides opened.

        The peer drops it if `remote_supports` is False.

        Raises:
            LocalProtocolError: the feed is not open on both sides, our handshake did not name the
                extension, or the payload is too long for a frame. Nothing was queued.
        """
        if self._is_over(discovery_key):
            return
        channel, number = self._open_channel(discovery_key)
        if channel.remote_number is None:
            raise LocalProtocolError("extensions cannot be sent before the peer opened the feed")
        index = self._extensions.local_index(name)
        self._queue(number, Extension.TYPE, Extension(index, payload).encode())

    def data_to_send(self, now: float) -> bytes | bytearray:
        """Take all bytes that wait to be sent, in order; empty if there are none.

        Args:
            now: seconds, monotonic.
        """
        data = self._outgoing.take()
        if data:
            self._liveness.sent_at = now
        return data

    def close(self) -> None:
        """End the connection from our side; what is queued may still be taken and sent."""
        self._closed = True

    # --- receiving ---------------------------------------------------------------------------

    def receive(self, data: Buffer, now: float) -> list[Event]:
        """Take bytes from the network, in any slicing.

        Args:
            data: what came; empty at the end of the stream.
            now: seconds, monotonic.

        Returns:
            What it means; the last event of all is `Closed`. Nothing after that.
        """
        if self._closed:
            return []
        if not data:
            return [self._end(None)]
        self._liveness.received_at = now
        self._incoming.append(data)
        events: list[Event] = []
        self._read_frames(events)
        return events

    def next_timeout(self) -> float:
        """Return when to call `on_timeout`, in the clock of `now`; infinity once closed."""
        if self._closed:
            return math.inf
        return self._liveness.next_timeout()

    def on_timeout(self, now: float) -> list[Event]:
        """Do what is due: a keep-alive is queued, or the peer is given up with `Closed`.

        Safe to call at any time. An owner that stops calling `receive` while bytes wait for it
        would find its peer silent; it reads on, or closes.

        Args:
            now: seconds, monotonic.
        """
        if self._closed:
            return []
        reason = self._liveness.reason_to_give_up(now)
        if reason is not None:
            return [self._end(RemoteProtocolError(reason))]
        if self._liveness.take_keep_alive(now) and not self._outgoing.queued_byte_length:
            self._outgoing.append(KEEP_ALIVE)
        return []

    # --- inside ------------------------------------------------------------------------------

    def _open_first(self, key: bytes) -> None:
        self._key = key
        self._liveness.speaks = True
        channel, number = self._channels.open_local(discovery_key_of(key))
        self._first_discovery_key = channel.discovery_key
        body = Feed(channel.discovery_key, self._nonce).encode()
        clear = frame_head(header(number, Feed.TYPE), len(body)) + body
        self._outgoing.start(clear, key=key, nonce=self._nonce)
        self._queue(number, Handshake.TYPE, self._handshake.message().encode())
        self._start_decrypting()

    def _start_decrypting(self) -> None:
        if self._key is None or self._remote_first is None or self._remote_first.nonce is None:
            return
        self._incoming.start(key=self._key, nonce=self._remote_first.nonce)
        self._decrypting = True

    def _is_over(self, discovery_key: bytes) -> bool:
        return self._closed or discovery_key in self._closed_by_peer

    def _open_channel(self, discovery_key: bytes) -> tuple[Channel, int]:
        channel = self._channels.get(discovery_key)
        if channel is None or channel.local_number is None:
            raise LocalProtocolError("the feed is not open on this connection")
        return channel, channel.local_number

    def _queue(self, number: int, message_type: int, *parts: bytes) -> None:
        head = frame_head(header(number, message_type), sum(map(len, parts)))
        self._outgoing.append(head, *parts)

    def _end(self, error: RemoteProtocolError | None) -> Closed:
        self._closed = True
        self._outgoing.clear()
        return Closed(error)

    def _read_frames(self, events: list[Event]) -> None:
        next_frame = self._incoming.next_frame
        try:
            # Past the peer's clear Feed nothing can be read until the key is known.
            while self._decrypting or self._remote_first is None:
                frame = next_frame()
                if frame is None:
                    break
                if len(frame) > 1:  # one-byte frames are ignored, as keep-alives are
                    self._read_frame(frame, events)
            unread = self._incoming.unread_byte_length
            if not self._decrypting and unread > MAX_UNREADABLE_BYTE_LENGTH:
                raise RemoteProtocolError("the peer sent too much before the feed was open")
        except RemoteProtocolError as error:
            events.append(self._end(error))

    def _read_frame(self, frame: memoryview, events: list[Event]) -> None:
        value = frame[0]
        offset = 1
        if value >= 0x80:
            try:
                value, offset = decode_varint(frame)
            except EncodingError as error:
                raise RemoteProtocolError("the peer sent an invalid frame header") from error
        number, message_type = split_header(value)
        body = frame[offset:]
        if message_type == Feed.TYPE:
            self._read_feed(number, body, events)
            return
        channel = self._channels.by_remote_number(number)
        if channel is None:
            raise RemoteProtocolError(f"the peer used channel {number} without opening a feed")
        decode = FEED_MESSAGE_DECODERS.get(message_type)
        try:
            if decode is None:
                self._read_other(channel, number, message_type, body, events)
            elif channel.local_number is not None:
                events.append(MessageReceived(channel.discovery_key, decode(body)))
            elif not channel.ignored:
                self._channels.keep_waiting(channel, decode(body), len(frame))
        except EncodingError:
            return  # as the original does: only an undecodable Feed is an error

    def _read_feed(self, number: int, body: memoryview, events: list[Event]) -> None:
        try:
            feed = Feed.decode(body)
        except EncodingError as error:
            raise RemoteProtocolError(f"the peer sent an invalid Feed: {error}") from error
        first = self._remote_first is None
        if first:
            if self._first_discovery_key not in (None, feed.discovery_key):
                raise RemoteProtocolError("the peer's first feed is not the one that we share")
            if feed.nonce is None:
                raise RemoteProtocolError("the peer sent no nonce")
        channel, closed = self._channels.open_remote(number, feed.discovery_key)
        if closed is not None:
            self._closed_by_peer.add(closed.discovery_key)
            events.append(FeedClosed(closed.discovery_key))
        opened = channel.local_number is not None
        events.append(FeedAnnounced(feed.discovery_key, number, opened))
        if first:
            self._remote_first = feed
            self._liveness.remote_spoke = True
            self._start_decrypting()

    def _read_other(
        self,
        channel: Channel,
        number: int,
        message_type: int,
        body: memoryview,
        events: list[Event],
    ) -> None:
        if message_type == Handshake.TYPE:
            if number == 0 and self._remote_handshake is None:
                self._remote_handshake = Handshake.decode(body)
                self._extensions.set_remote(self._remote_handshake.extensions)
                events.append(HandshakeReceived(self._remote_handshake))
        elif message_type == Extension.TYPE and channel.local_number is not None:
            extension = Extension.decode(body)
            name = self._extensions.remote_name(extension.index)
            if name is not None:
                payload = extension.payload
                events.append(ExtensionReceived(channel.discovery_key, name, payload))
