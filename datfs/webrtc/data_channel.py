"""One data channel (RTCDataChannel) for trio: sending waits for room, receiving for messages.

Sending is bounded by what aiortc holds unsent for the channel, receiving by the connection's
`FlowControl`: what is queued here is taken from the window that the peer's SCTP sees.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from datfs.errors import ChannelClosed, MessageTooLarge

if TYPE_CHECKING:
    from aiortc import RTCDataChannel

    from datfs.webrtc.flow_control import FlowControl

RESERVED_PREFIX: Final = "datfs-"


class DataChannel:
    """A channel of messages, text or bytes, to and from the peer.

    It is the connection that makes these; whoever was handed one closes it, or else what the peer
    sent on it and nobody read keeps its place in the connection's window.
    """

    def __init__(
        self,
        channel: RTCDataChannel,
        flow: FlowControl,
        *,
        send_buffer_byte_length: int,
        close_timeout_s: float,
    ) -> None:
        """Follow aiortc's channel from its making on, so that no message is missed."""
        self._channel = channel
        self._flow = flow
        self._close_timeout_s = close_timeout_s
        self._received: deque[tuple[str | bytes, int]] = deque()
        self._readers = trio.lowlevel.ParkingLot()
        self._senders = trio.lowlevel.ParkingLot()
        self._opened = trio.Event()
        self._closed = trio.Event()
        self._closing = False
        self._send_buffer_byte_length = send_buffer_byte_length
        channel.bufferedAmountLowThreshold = send_buffer_byte_length
        channel.on("open", self._on_open)
        channel.on("message", self._on_message)
        channel.on("bufferedamountlow", self._senders.unpark_all)
        channel.on("close", self._on_close)
        if channel.readyState == "open":
            self._opened.set()

    def __repr__(self) -> str:
        return f"<DataChannel {self.label!r} {self._channel.readyState}>"

    @property
    def label(self) -> str:
        """The name that the opener gave it; not unique."""
        return self._channel.label

    @property
    def reserved(self) -> bool:
        """Whether the label is one of datfs's own, and the channel no application's."""
        return self.label.startswith(RESERVED_PREFIX)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent now."""
        return self._channel.readyState == "open" and not self._closing

    @property
    def max_message_byte_length(self) -> int | None:
        """The longest message that the peer takes (RFC 8841), known once open; None is any."""
        return self._channel.transport._remote_max_message_size or None

    @property
    def queued_byte_length(self) -> int:
        """Bytes of messages that came and were not read."""
        return sum(byte_length for _, byte_length in self._received)

    @property
    def unsent_byte_length(self) -> int:
        """Bytes of messages that SCTP has not taken yet (RTCDataChannel.bufferedAmount)."""
        return self._channel.bufferedAmount

    async def wait_open(self) -> None:
        """Return once the peer has the channel too.

        Raises:
            ChannelClosed: It will not any more.
        """
        await self._opened.wait()
        if not self.is_open:
            raise self._closed_error()

    async def wait_closed(self) -> None:
        """Return once nothing can come any more, but what is already queued."""
        await self._closed.wait()

    async def send(self, message: str | bytes) -> None:
        """Send one message, after waiting until the channel has room for it.

        A cancel means that it was not sent.

        Raises:
            ChannelClosed: The channel closed before the message could go.
            MessageTooLarge: The peer takes no message of this length.
        """
        await self.wait_open()
        limit = self.max_message_byte_length
        if limit is not None and _byte_length(message) > limit:
            raise MessageTooLarge(
                f"a message of {_byte_length(message)} bytes is longer than the {limit} "
                "that the peer takes"
            )
        await trio.lowlevel.checkpoint()
        while self.is_open and self._channel.bufferedAmount > self._send_buffer_byte_length:
            await self._senders.park()
        if not self.is_open:
            raise self._closed_error()
        self._channel.send(message)

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            trio.EndOfChannel: Everything was read and the channel is closed.
        """
        await trio.lowlevel.checkpoint()
        while not self._received:
            if self._closed.is_set():
                raise trio.EndOfChannel
            await self._readers.park()
        message, byte_length = self._received.popleft()
        self._flow.release(byte_length)
        return message

    async def aclose(self) -> None:
        """Close the channel after what was sent has arrived, and drop what was not read.

        Waits for the peer to confirm, at most `close_timeout_s`.
        """
        if not self._closing:
            self._closing = True
            self._channel.close()
            self._wake()
            self._drop_received()
        with trio.move_on_after(self._close_timeout_s):
            await self._closed.wait()

    def mark_closed(self) -> None:
        """The connection is gone: whoever waits here need wait no longer."""
        self._closed.set()
        self._wake()

    def _closed_error(self) -> ChannelClosed:
        return ChannelClosed(f"the data channel {self.label!r} is closed")

    def _drop_received(self) -> None:
        for _, byte_length in self._received:
            self._flow.release(byte_length)
        self._received.clear()

    def _wake(self) -> None:
        self._opened.set()
        self._readers.unpark_all()
        self._senders.unpark_all()

    def _on_open(self) -> None:
        self._opened.set()

    def _on_message(self, message: str | bytes) -> None:
        if self._closing:
            return
        byte_length = _byte_length(message)
        self._flow.hold(byte_length)
        self._received.append((message, byte_length))
        self._readers.unpark()

    def _on_close(self) -> None:
        self.mark_closed()


def _byte_length(message: str | bytes) -> int:
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode())
