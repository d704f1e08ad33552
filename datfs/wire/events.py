"""What `Connection` tells its owner: values, in the order in which the peer caused them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datfs.errors import RemoteProtocolError
    from datfs.wire.messages import FeedMessage, Handshake


@dataclass(frozen=True, slots=True)
class FeedAnnounced:
    """The peer opened a feed.

    The first of a connection that waits for its key asks for `Connection.accept` (or for closing
    it). Each other one that is not `opened` asks for `Connection.open_feed` or
    `Connection.ignore_feed`; until then what is said about the feed waits, within limits. A second
    one for the same feed means that the peer opened it anew and knows nothing of what was said.

    Attributes:
        discovery_key: 32 bytes.
        channel: The peer's number for the feed.
        opened: Whether we had opened the feed when the peer did.
    """

    discovery_key: bytes
    channel: int
    opened: bool


@dataclass(frozen=True, slots=True)
class FeedClosed:
    """The peer used a feed's channel for another feed: nothing more is said about this one.

    Attributes:
        discovery_key: 32 bytes; the feed may be opened again.
    """

    discovery_key: bytes


@dataclass(frozen=True, slots=True)
class HandshakeReceived:
    """The peer said who it is; once a connection.

    Attributes:
        handshake: What it said; its id is the peer's choice and proves nothing.
    """

    handshake: Handshake


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """The peer said something about a feed that both sides opened.

    Attributes:
        discovery_key: 32 bytes.
        message: What it said; lengths and indexes in it are the peer's claim.
    """

    discovery_key: bytes
    message: FeedMessage


@dataclass(frozen=True, slots=True)
class ExtensionReceived:
    """A message of an extension that both sides named came on an open feed's channel.

    Attributes:
        discovery_key: 32 bytes.
        name: The extension.
        payload: Its own bytes, up to a frame of them.
    """

    discovery_key: bytes
    name: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is over; the last event.

    Attributes:
        error: What the peer did wrong; None if it ended the stream, or we did.
    """

    error: RemoteProtocolError | None = None


Event: TypeAlias = (
    FeedAnnounced | FeedClosed | HandshakeReceived | MessageReceived | ExtensionReceived | Closed
)
