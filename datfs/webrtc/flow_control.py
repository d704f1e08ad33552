"""Flow control of an SCTP association, which aiortc leaves out (RFC 9260, section 6).

aiortc hands every message over the moment it is whole and counts it as read; and it sends without
looking at the window that the other side advertises. So nothing would ever stop a sender. Here the
bytes that wait in our queues are taken from the advertised window, which is aiortc's own field:

- The receiver: while the window is closed, new data is dropped unacknowledged and answered with the
  present window, as section 6.2 has it; only what fills a gap is taken, for without that nothing
  behind the gap could be read. Once half of the window is free again, one SACK tells the peer.
- The sender: data in flight stays below the window last advertised, down to one packet, which then
  serves as the probe of section 6.1 rule A. When a closed window opens, that probe is sent again
  at once instead of at the retransmission timer, a second or more later.
- Small messages: aiortc sends each in a packet of its own and counts only its bytes as in flight,
  so that a thousand short lines overran the peer's socket buffer and were sent eight times over.
  A packet counts as no less than it takes of that buffer.

A browser's SCTP keeps to the window by itself. An aiortc that does not have this file keeps sending
into a closed window one packet a second, and loses nothing.

The window is that of the association: a channel that nobody reads stops the peer's other channels
too once it alone holds the whole window. SCTP knows no window for each stream.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiortc.rtcsctptransport import USERDATA_MAX_LENGTH, DataChunk, RTCSctpTransport, SackChunk
from aiortc.utils import uint32_gt

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGE_OVERHEAD_BYTE_LENGTH: Final = 64  # about what a queued message costs beside its bytes
MIN_FLIGHT_BYTE_LENGTH: Final = 256  # about what the least packet takes of a socket's buffer


class FlowControl:
    """Flow control of one SCTP association; `hold` and `release` are its queues' side of it."""

    def __init__(
        self, sctp: RTCSctpTransport, byte_length: int, on_reopened: Callable[[], None]
    ) -> None:
        """Take over the window of an association that has not started.

        Args:
            sctp: aiortc's transport; three of its methods are replaced on this object.
            byte_length: The whole window.
            on_reopened: Called when the peer should be told (`announce`) of the room there is.
        """
        self._sctp = sctp
        self._byte_length = byte_length
        self._on_reopened = on_reopened
        self._announcement_due = False
        self._peer_window_closed = False
        self._receive_data = sctp._receive_data_chunk
        self._receive_sack = sctp._receive_sack_chunk
        self._count_in_flight = sctp._flight_size_increase
        sctp._advertised_rwnd = byte_length
        sctp._flight_size_increase = self._flight_size_increase  # type: ignore[method-assign]
        sctp._receive_data_chunk = self._receive_data_chunk  # type: ignore[method-assign]
        sctp._receive_sack_chunk = self._receive_sack_chunk  # type: ignore[method-assign]

    @property
    def free_byte_length(self) -> int:
        """What the peer may still send; 0 when the window is closed."""
        return max(0, self._sctp._advertised_rwnd)

    def hold(self, byte_length: int) -> None:
        """Count a message that waits to be read."""
        self._sctp._advertised_rwnd -= byte_length + MESSAGE_OVERHEAD_BYTE_LENGTH

    def release(self, byte_length: int) -> None:
        """Count it no more."""
        self._sctp._advertised_rwnd += byte_length + MESSAGE_OVERHEAD_BYTE_LENGTH
        if self._announcement_due and self.free_byte_length * 2 >= self._byte_length:
            self._announcement_due = False
            self._on_reopened()

    async def announce(self) -> None:
        """Tell the peer the present window (an asyncio coroutine)."""
        if self._sctp.state == "connected":
            await self._sctp._send_sack()

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        # Below half of the window the peer may run into its end before it hears otherwise.
        if self.free_byte_length * 2 < self._byte_length:
            self._announcement_due = True
        if self._sctp._advertised_rwnd <= 0 and not self._fills_gap(chunk.tsn):
            self._sctp._sack_needed = True
            return
        await self._receive_data(chunk)

    def _fills_gap(self, tsn: int) -> bool:
        return any(uint32_gt(later, tsn) for later in self._sctp._sack_misordered)

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        sctp = self._sctp
        if not uint32_gt(sctp._last_sacked_tsn, chunk.cumulative_tsn):
            sctp._cwnd = min(sctp._cwnd, max(chunk.advertised_rwnd, USERDATA_MAX_LENGTH))
            was_closed = self._peer_window_closed
            self._peer_window_closed = chunk.advertised_rwnd < USERDATA_MAX_LENGTH
            if was_closed and not self._peer_window_closed and sctp._sent_queue:
                self._send_again()
        await self._receive_sack(chunk)

    def _flight_size_increase(self, chunk: DataChunk) -> None:
        chunk._book_size = max(len(chunk.user_data), MIN_FLIGHT_BYTE_LENGTH)
        self._count_in_flight(chunk)

    def _send_again(self) -> None:
        """Treat what met the closed window as lost, without the penalty for congestion."""
        slow_start_threshold = self._sctp._ssthresh
        self._sctp._t3_cancel()
        self._sctp._t3_expired()
        self._sctp._ssthresh = slow_start_threshold
