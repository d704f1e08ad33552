"""The FIFOs of one peer: what is written to `in` the peer is sent, what it says comes out of `out`.

Nothing is buffered here beyond the line being read and the message being written: backpressure goes
from the FIFO to the channel and back, and the bounded queue of received messages is the channel's.
How the FIFOs behave is told in `fifo`, what a line is in `lines`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

import trio

from datfs.channels.fifo import InFifo, OutFifo
from datfs.channels.lines import MAX_LINE_BYTE_LENGTH, LineDecoder, encode_line
from datfs.errors import ChannelClosed

if TYPE_CHECKING:
    from pathlib import Path

UNREAD_LIFETIME_S: Final = 600.0


class MessageChannel(Protocol):
    """What the pipes need of a data channel."""

    @property
    def max_message_byte_length(self) -> int | None:
        """The longest message that `send` takes; None is any."""

    async def send(self, message: str) -> None:
        """Send one text message, waiting for room; raises `ChannelClosed`."""

    async def receive(self) -> str | bytes:
        """Return the next message; raises `trio.EndOfChannel` after the last."""

    async def wait_closed(self) -> None:
        """Return once the peer is gone; what it said may still be unread."""


class PeerPipes:
    """`in` and `out` in a folder of their own, for one peer, over any number of its connections."""

    def __init__(self, folder: Path, *, unread_lifetime_s: float = UNREAD_LIFETIME_S) -> None:
        """Make the folder (0700) and the FIFOs (0600) in it; `in` refuses writers until `carry`.

        Args:
            folder: Made with its parents where it is missing; `remove` takes it away.
            unread_lifetime_s: How long what a gone peer said stays readable.
        """
        self._folder = folder
        self._unread_lifetime_s = unread_lifetime_s
        self._unread_until = math.inf
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._in = InFifo(self.in_path)
        self._out = OutFifo(self.out_path)

    @property
    def in_path(self) -> Path:
        """Where a shell writes."""
        return self._folder / "in"

    @property
    def out_path(self) -> Path:
        """Where a shell reads."""
        return self._folder / "out"

    async def run(self, channel: MessageChannel) -> None:
        """Carry lines until the peer is gone, keep what is unread for its time, and remove all."""
        try:
            await self.carry(channel)
            await self.keep_unread()
        finally:
            self.remove()

    async def carry(self, channel: MessageChannel) -> None:
        """Carry lines both ways until the peer is gone and its last message is in `out`.

        When the peer has gone `in` refuses writers at once, and what nobody reads holds this up for
        no longer than its lifetime. May be called again with the peer's next connection: what is
        unread comes first.
        """
        self._in.open()
        self._out.resume()
        self._unread_until = math.inf
        try:
            async with trio.open_nursery() as nursery:
                received = trio.CancelScope()
                nursery.start_soon(self._carry_in_while_open, channel, received)
                with received:
                    await self._carry_out(channel)
        finally:
            self._in.refuse()
            self._out.end()

    async def keep_unread(self) -> None:
        """Let readers have what a gone peer said, until its time is up."""
        with trio.CancelScope(deadline=self._unread_until):
            await self._out.admit_readers()

    def remove(self) -> None:
        """Take FIFOs and folder away, with what is unread."""
        self._in.remove()
        self._out.remove()
        self._folder.rmdir()

    async def _carry_in_while_open(
        self, channel: MessageChannel, received: trio.CancelScope
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._carry_in, channel)
            await channel.wait_closed()
            nursery.cancel_scope.cancel()
        self._in.refuse()
        self._unread_until = trio.current_time() + self._unread_lifetime_s
        received.deadline = self._unread_until

    async def _carry_in(self, channel: MessageChannel) -> None:
        limit = channel.max_message_byte_length or MAX_LINE_BYTE_LENGTH
        decoder = LineDecoder(min(limit, MAX_LINE_BYTE_LENGTH))
        while True:
            data = await self._in.read()
            for message in decoder.feed(data) if data else decoder.finish():
                try:
                    await channel.send(message)
                except ChannelClosed:
                    return

    async def _carry_out(self, channel: MessageChannel) -> None:
        while True:
            try:
                message = await channel.receive()
            except trio.EndOfChannel:
                return
            await self._out.send_all(encode_line(message))
