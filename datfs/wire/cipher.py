"""The two directions of an encrypted connection (DEP-0010, "Encryption").

Each direction begins with one clear frame, its first Feed, which carries the nonce. Every byte
after it, lengths and keep-alives included, is XORed with XSalsa20 under the first feed's public key
and that nonce, from position 0 on and without gaps. A direction does not depend on the other having
spoken; but what comes after the peer's clear frame cannot be read before the key is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.crypto.xsalsa20 import XSalsa20
from datfs.wire.framing import FrameDecoder

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer


class OutgoingStream:
    """Queues frames and encrypts them when they are taken.

    What lies in the queue is neither copied nor encrypted before `take`, which joins it and runs
    the cipher over the whole at once.
    """

    __slots__ = ("_cipher", "_clear", "_parts", "_queued_byte_length")

    def __init__(self) -> None:
        self._cipher: XSalsa20 | None = None
        self._clear = b""
        self._parts: list[bytes] = []
        self._queued_byte_length = 0

    @property
    def queued_byte_length(self) -> int:
        """Bytes that wait to be taken."""
        return self._queued_byte_length

    def start(self, clear_frame: bytes, *, key: bytes, nonce: bytes) -> None:
        """Begin the direction: `clear_frame` goes out as it is, all else encrypted.

        Args:
            clear_frame: the whole frame of the first Feed.
            key: public key of the first feed, 32 bytes.
            nonce: the one in that Feed, 24 bytes.
        """
        self._cipher = XSalsa20(key, nonce)
        self._clear = clear_frame
        self._queued_byte_length += len(clear_frame)

    def append(self, *parts: bytes) -> None:
        """Queue bytes behind what is queued already."""
        self._parts += parts
        for part in parts:
            self._queued_byte_length += len(part)

    def take(self) -> bytes | bytearray:
        """Return everything queued, encrypted, and forget it; empty if there is nothing."""
        if self._cipher is None or not self._queued_byte_length:
            return b""
        joined = bytearray().join((self._clear, *self._parts))
        self._cipher.process_in_place(joined, len(self._clear))
        self.clear()
        return joined

    def clear(self) -> None:
        """Forget what is queued."""
        self._clear = b""
        self._parts.clear()
        self._queued_byte_length = 0


class IncomingStream(FrameDecoder):
    """Takes bytes from the network and gives frames: clear until `start`, decrypted afterwards."""

    __slots__ = ("_cipher",)

    def __init__(self) -> None:
        super().__init__()
        self._cipher: XSalsa20 | None = None

    def append(self, data: Buffer) -> memoryview:
        """Take received bytes and return a view of them, decrypted where they can be."""
        received = super().append(data)
        if self._cipher is not None:
            self._cipher.process_in_place(received)
        return received

    def start(self, *, key: bytes, nonce: bytes) -> None:
        """Decrypt what was received and not handed out, and all that comes.

        To be called when the peer's clear frame was handed out and nothing after it.

        Args:
            key: public key of the first feed, 32 bytes.
            nonce: the one in the peer's first Feed, 24 bytes.
        """
        self._cipher = XSalsa20(key, nonce)
        self._cipher.process_in_place(self.unread())
