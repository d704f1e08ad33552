"""One connection to a peer (RTCPeerConnection): its state, its data channels, its end.

The first application channel is the one that datfs's files carry. The offerer opens it under the
label `datfs`; the answerer takes the first channel that comes in and is no reserved one, whatever
its label, for browsers and simple-peer choose their own.
"""

from __future__ import annotations

import enum
import logging
import math
from typing import TYPE_CHECKING, Final

import trio

from datfs.errors import ChannelClosed, Timeout
from datfs.webrtc.bridge import AiortcConnection, TransportStats, run_asyncio
from datfs.webrtc.data_channel import RESERVED_PREFIX, DataChannel
from datfs.webrtc.flow_control import FlowControl

if TYPE_CHECKING:
    from aiortc import RTCDataChannel, RTCSctpTransport

    from datfs.webrtc.certificate import Certificate
    from datfs.webrtc.configuration import EngineConfig

logger = logging.getLogger(__name__)

FIRST_CHANNEL_LABEL: Final = "datfs"
MAX_CHANNELS: Final = 256
MAX_WAITING_CHANNELS: Final = 16  # opened by the peer and not yet taken from `incoming`


class ConnectionState(enum.StrEnum):
    """RTCPeerConnectionState; `FAILED` and `CLOSED` are for ever."""

    NEW = "new"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    FAILED = "failed"
    CLOSED = "closed"

    @property
    def ended(self) -> bool:
        """Whether no other state follows."""
        return self in (ConnectionState.FAILED, ConnectionState.CLOSED)


class PeerConnection:
    """A connection that the engine made, for an offer or an answer.

    Attributes:
        incoming: Channels that the peer opened, the reserved ones among them, without the first
            application channel. A channel that finds no room here is closed again.
    """

    def __init__(self, config: EngineConfig, certificate: Certificate) -> None:
        """Make the connection; the engine runs it with `run`."""
        self._config = config
        self._certificate = certificate
        self._bridge = AiortcConnection(config, certificate, self)
        self._flow: FlowControl | None = None
        self._state = ConnectionState.NEW
        self._state_changed = trio.Event()
        self._channel: DataChannel | None = None
        self._channels: set[DataChannel] = set()
        self._settled = trio.Event()  # the first channel is here, or will never be
        self._window_reopened = trio.Event()
        self._mdns_candidates: list[str] | None = None
        self._remote_described = trio.Event()
        self._end_requested = trio.Event()
        self._ended = trio.Event()
        self._incoming_send, self.incoming = trio.open_memory_channel[DataChannel](
            MAX_WAITING_CHANNELS
        )

    @property
    def state(self) -> ConnectionState:
        """The state now."""
        return self._state

    @property
    def channel(self) -> DataChannel | None:
        """The first application channel; None until the peer opened one."""
        return self._channel

    async def next_state(self, after: ConnectionState) -> ConnectionState:
        """Wait until the state is another than `after`, and return it.

        States that come and go between two calls are passed over; an ended one never is.
        """
        while self._state is after:
            await self._state_changed.wait()
        return self._state

    async def wait_open(self, timeout_s: float = math.inf) -> DataChannel:
        """Wait for the first application channel to open, and return it.

        Raises:
            ChannelClosed: The connection failed or was closed first.
            Timeout: It is not open yet.
        """
        with trio.move_on_after(timeout_s):
            await self._settled.wait()
            if self._channel is not None and not self._state.ended:
                await self._channel.wait_open()
                return self._channel
            raise ChannelClosed(f"the connection is {self._state}, no channel opened")
        raise Timeout(f"no channel opened within {timeout_s:g} seconds")

    async def open_channel(
        self,
        label: str,
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_packet_life_time_ms: int | None = None,
    ) -> DataChannel:
        """Open one more channel and wait until the peer has it.

        Raises:
            ChannelClosed: The connection is gone, or has all the channels it may have.
        """
        if self._state.ended or self._end_requested.is_set():
            raise ChannelClosed(f"the connection is {self._state}")
        if len(self._channels) >= MAX_CHANNELS:
            raise ChannelClosed(f"the connection has {MAX_CHANNELS} channels already")
        channel = self._follow(
            self._bridge.create_data_channel(
                label,
                ordered=ordered,
                max_retransmits=max_retransmits,
                max_packet_life_time_ms=max_packet_life_time_ms,
            )
        )
        try:
            await channel.wait_open()
        except BaseException:
            with trio.CancelScope(shield=True):
                await channel.aclose()
            raise
        return channel

    async def accept_channel(self, label: str) -> DataChannel:
        """Wait until the peer opens a channel of this label, and close others that it opens.

        Raises:
            ChannelClosed: The connection is gone.
        """
        async for channel in self.incoming:
            if channel.label == label:
                return channel
            await channel.aclose()
        raise ChannelClosed(f"the connection is {self._state}, no channel {label!r} was opened")

    @property
    def local_fingerprint(self) -> bytes:
        """SHA-256 of the certificate that DTLS shows the peer, 32 bytes."""
        return self._certificate.fingerprint

    def remote_fingerprint(self) -> bytes | None:
        """SHA-256 of the certificate that the peer showed in the live handshake; None before it."""
        return self._bridge.remote_fingerprint()

    def stats(self) -> TransportStats:
        """Return counters and addresses as they are now."""
        return self._bridge.stats()

    async def aclose(self) -> None:
        """Close every channel after what was sent on it has arrived, then the connection."""
        if self._state is ConnectionState.CONNECTED:
            async with trio.open_nursery() as nursery:
                for channel in list(self._channels):
                    nursery.start_soon(channel.aclose)
        await self.abort()

    async def abort(self) -> None:
        """Close the connection now, whatever is still under way."""
        self._end_requested.set()
        await self._ended.wait()

    async def wait_ended(self) -> None:
        """Return once nothing of the connection is left."""
        await self._ended.wait()

    async def create_offer(self) -> str:
        """Open the first channel and return the complete offer."""
        self._take_first(self._follow(self._bridge.create_data_channel(FIRST_CHANNEL_LABEL)))
        return await self._bridge.set_local_description()

    async def describe_offer(self) -> str:
        """Return an offer without addresses; nothing is gathered and no port opened."""
        self._follow(self._bridge.create_data_channel(FIRST_CHANNEL_LABEL))
        return await self._bridge.describe_offer()

    async def accept_offer(self, offer_sdp: str) -> str:
        """Apply the peer's offer and return the complete answer."""
        await self._describe_remote("offer", offer_sdp)
        return await self._bridge.set_local_description()

    async def accept_answer(self, answer_sdp: str) -> None:
        """Apply the peer's answer to the offer of this connection; connecting begins.

        Raises:
            InvalidSdp: It is no answer to this offer.
            ChannelClosed: The connection is gone.
        """
        if self._state.ended:
            raise ChannelClosed(f"the connection is {self._state}")
        await self._describe_remote("answer", answer_sdp)

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Serve the connection until it has ended, and leave nothing of it behind."""
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._announce_window)
                nursery.start_soon(self._complete_candidates)
                await self._end_requested.wait()
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await self._bridge.close()
            self._enter(ConnectionState.CLOSED)
            for channel in self._channels:
                channel.mark_closed()
            self._incoming_send.close()
            self._ended.set()

    async def _describe_remote(self, kind: str, sdp: str) -> None:
        self._mdns_candidates = await self._bridge.set_remote_description(kind, sdp)
        self._remote_described.set()

    async def _complete_candidates(self) -> None:
        await self._remote_described.wait()
        await self._bridge.add_mdns_candidates(self._mdns_candidates or [])

    async def _announce_window(self) -> None:
        while True:
            await self._window_reopened.wait()
            self._window_reopened = trio.Event()
            assert self._flow is not None
            try:
                await run_asyncio(self._flow.announce)
            except ConnectionError as error:
                logger.debug("the window could not be announced: %s", error)

    def _follow(self, channel: RTCDataChannel) -> DataChannel:
        assert self._flow is not None
        followed = DataChannel(
            channel,
            self._flow,
            send_buffer_byte_length=self._config.send_buffer_byte_length,
            close_timeout_s=self._config.close_timeout_s,
        )
        self._channels.add(followed)
        channel.on("close", lambda: self._channels.discard(followed))
        return followed

    def _take_first(self, channel: DataChannel) -> None:
        self._channel = channel
        self._settled.set()

    def _enter(self, state: ConnectionState) -> None:
        if self._state.ended or state is self._state:
            return
        self._state = state
        changed, self._state_changed = self._state_changed, trio.Event()
        changed.set()
        if state.ended:
            self._settled.set()
            self._end_requested.set()

    # What the bridge calls.

    def on_connection_state(self, state: str) -> None:
        """Follow aiortc's state."""
        self._enter(ConnectionState(state))

    def on_data_channel(self, channel: RTCDataChannel) -> None:
        """Take what the peer opened: as the first channel, or into `incoming`."""
        if len(self._channels) >= MAX_CHANNELS or self._end_requested.is_set():
            channel.close()
            return
        followed = self._follow(channel)
        if self._channel is None and not channel.label.startswith(RESERVED_PREFIX):
            self._take_first(followed)
            return
        try:
            self._incoming_send.send_nowait(followed)
        except (trio.WouldBlock, trio.BrokenResourceError):
            logger.info("the peer opens channels faster than they are taken; one was closed")
            channel.close()

    def on_consent(self, given: bool) -> None:
        """Show a peer that stopped answering as disconnected, until it answers again."""
        if given and self._state is ConnectionState.DISCONNECTED:
            self._enter(ConnectionState.CONNECTED)
        elif not given and self._state is ConnectionState.CONNECTED:
            self._enter(ConnectionState.DISCONNECTED)

    def on_consent_expired(self) -> None:
        """The peer is gone without a word."""
        self._enter(ConnectionState.FAILED)

    def on_sctp(self, sctp: RTCSctpTransport) -> None:
        """Set the receive window before anything can come in."""
        self._flow = FlowControl(
            sctp, self._config.receive_window_byte_length, self._on_window_reopened
        )

    def _on_window_reopened(self) -> None:
        self._window_reopened.set()
