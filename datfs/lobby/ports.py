"""What the lobby's services need of the rest: files, engine, connections, peers, events.

`host` and `guest` run on these protocols alone, so that they know neither archives nor aiortc nor
FUSE, and carrier 2 can stand in for carrier 1. The application puts the real parts in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

EventField = str | int | bool | None


class Channel(Protocol):
    """A data channel of a connection, besides those that applications use."""

    async def send(self, message: bytes) -> None:
        """Send one message.

        Raises:
            DatfsError: the channel is closed.
        """

    async def receive(self) -> str | bytes:
        """Return the next message; raises `trio.EndOfChannel` after the last."""

    async def aclose(self) -> None:
        """Close it after what was sent has arrived."""


class Peer(Protocol):
    """A connection of the WebRTC engine."""

    @property
    def local_fingerprint(self) -> bytes:
        """SHA-256 of the certificate that we show in DTLS, 32 bytes."""

    def remote_fingerprint(self) -> bytes | None:
        """SHA-256 of the certificate that the peer showed in the live handshake."""

    async def open_channel(self, label: str) -> Channel:
        """Open a channel and wait until the peer has it.

        Raises:
            DatfsError: the connection has ended.
        """

    async def accept_channel(self, label: str) -> Channel:
        """Wait until the peer opens a channel of this label; others that it opens are closed.

        Raises:
            DatfsError: the connection has ended.
        """

    async def wait_open(self) -> object:
        """Wait until the first application channel is open.

        Raises:
            DatfsError: the connection has ended without it.
        """

    async def wait_ended(self) -> object:
        """Wait until the connection has ended, by whichever side."""

    async def aclose(self) -> None:
        """End the connection after what was sent has arrived; nothing happens if it has ended."""


PeerT = TypeVar("PeerT", bound=Peer)
PeerT_co = TypeVar("PeerT_co", bound=Peer, covariant=True)
PeerT_contra = TypeVar("PeerT_contra", bound=Peer, contravariant=True)


class LocalOffer(Protocol[PeerT_co]):
    """An offer that our engine made and whose connection waits for the answer."""

    @property
    def sdp(self) -> str:
        """The complete description."""

    @property
    def connection(self) -> PeerT_co:
        """The connection."""

    def commit(self) -> None:
        """Keep the connection, for the offer was written into the lobby."""

    async def accept_answer(self, sdp: str) -> None:
        """Complete the connection.

        Raises:
            DatfsError: this is no answer to the offer, or the connection has ended.
        """


class HostEngine(Protocol[PeerT_co]):
    """The engine with the session's certificate, as the host uses it."""

    async def create_beacon(self) -> str:
        """Return an offer's description without candidates, which nobody will complete."""

    async def answer(self, offer_sdp: str) -> tuple[str, PeerT_co]:
        """Answer an offer.

        Raises:
            DatfsError: it is none that the engine can use.
        """


class GuestEngine(Protocol[PeerT_co]):
    """The engine as a guest uses it."""

    async def create_offer(self) -> LocalOffer[PeerT_co]:
        """Make an offer; it ends by itself unless it is committed.

        Raises:
            DatfsError: there are too many of them, or the engine cannot.
        """

    def find_offer(self, ufrag: str, fingerprint: bytes) -> LocalOffer[PeerT_co] | None:
        """Return the live offer with this ICE user fragment and certificate, if it made it."""


class SignalFiles(Protocol):
    """The files of one lobby, by their names in the union (see `names`)."""

    async def read(self, name: str) -> bytes | None:
        """Return a file as it is stored, or None if it is not there or does not count.

        A file of one's own that waits for being stored is returned as it was written. No more than
        `seal.STORED_LIMIT_BYTES` + 1 bytes of it are needed.

        Raises:
            DatfsError: its blocks did not come within the deadline.
        """

    async def write(self, name: str, data: bytes) -> None:
        """Write a file of one's own, whole, as one version; a signal's text is stored sealed.

        Raises:
            DatfsError: it could not be written.
        """

    async def write_waiting(self) -> None:
        """Store what could not be sealed before the beacon was here, or was for an older one.

        Raises:
            DatfsError: it could not be written.
        """

    async def remove(self, name: str) -> None:
        """Remove a file of one's own and clear its blocks; nothing happens if it is not there.

        Raises:
            DatfsError: it could not be removed.
        """

    def names(self, folder: str) -> Sequence[str]:
        """Return the full names of what lies in a folder ("" for the top) and is listed now."""

    def changes(self) -> AsyncIterator[str]:
        """Return the names that change from this call on, one's own changes among them.

        Names that change again before they were taken may be given once.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LobbyConnection:
    """A replication connection of the lobby, as a guest sees it.

    Attributes:
        id: ours for this connection, never the handshake id.
        remote_id: the handshake id that the other side sent.
    """

    id: str
    remote_id: bytes


class JoinSender(Protocol):
    """A guest's way to ask for admission."""

    def connections(self) -> AsyncIterator[Sequence[LobbyConnection]]:
        """Give all connections whose handshake has come, at once and at each change."""

    async def send(self, connection_id: str, payload: bytes) -> None:
        """Send session data; it is dropped if the connection is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinReceived:
    """Session data with the magic of a join.

    Attributes:
        connection_id: ours for the connection.
        address: the other side's network address, without port.
        payload: the session data.
    """

    connection_id: str
    address: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class ConnectionGone:
    """A connection that has ended.

    Attributes:
        connection_id: ours for it.
    """

    connection_id: str


class JoinReceiver(Protocol):
    """The host's way to hear who asks for admission."""

    def joins(self) -> AsyncIterator[JoinReceived | ConnectionGone]:
        """Give joins as they come, and which connections have ended."""


class PeerDirectory(Protocol[PeerT_contra]):
    """Whoever turns open connections into peers/HASH."""

    async def opened(self, identity: bytes, peer: PeerT_contra) -> None:
        """Take an open connection."""

    async def parted(self, identity: bytes, peer: PeerT_contra) -> None:
        """Take note that a connection that was `opened` is over."""


class Events(Protocol):
    """The event log."""

    def append(self, kind: str, **fields: EventField) -> object:
        """Add an event; what comes back does not matter here."""
