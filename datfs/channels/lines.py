r"""Lines of a byte stream as text messages, and messages as lines (design: channels as files).

Writes lose their boundaries in a FIFO, several of them may arrive as one read; so a line is what
makes a message. A line ends with "\n", which is not part of the message.

- A longer line than fits is cut into several messages, never inside a character: its writer has
  long been told that all is well, and nothing may be lost.
- Bytes that are not UTF-8 become U+FFFD, since a text message can hold nothing else.
- A message that itself contains "\n" comes out as several lines.
"""

from __future__ import annotations

from typing import Final

MAX_LINE_BYTE_LENGTH: Final = 64 * 1024  # what every peer takes as one message (RFC 8841)

_CONTINUATION_MASK: Final = 0xC0
_CONTINUATION: Final = 0x80
_MAX_CHARACTER_BYTE_LENGTH: Final = 4


class LineDecoder:
    """Cuts received bytes into messages; keeps at most one unfinished line."""

    def __init__(self, max_byte_length: int = MAX_LINE_BYTE_LENGTH) -> None:
        """Make messages of at most `max_byte_length` bytes (of UTF-8), at least one character."""
        self._max_byte_length = max(max_byte_length, _MAX_CHARACTER_BYTE_LENGTH)
        self._unfinished = bytearray()

    def feed(self, data: bytes) -> list[str]:
        """Return the messages that `data` completes."""
        *lines, rest = data.split(b"\n")
        messages: list[str] = []
        for line in lines:
            self._unfinished += line
            messages += self._cut()
            messages.append(self._take(len(self._unfinished)))
        self._unfinished += rest
        return messages + self._cut()

    def finish(self) -> list[str]:
        """Return the unfinished line as a message, if there is one: its writers have gone."""
        return [self._take(len(self._unfinished))] if self._unfinished else []

    def _cut(self) -> list[str]:
        pieces: list[str] = []
        while len(self._unfinished) > self._max_byte_length:
            end = self._max_byte_length
            # Back to the first byte of a character, but no further than a character is long:
            # what has more continuation bytes than that is no UTF-8 anyway.
            for candidate in range(end, end - _MAX_CHARACTER_BYTE_LENGTH, -1):
                if self._unfinished[candidate] & _CONTINUATION_MASK != _CONTINUATION:
                    end = candidate
                    break
            pieces.append(self._take(end))
        return pieces

    def _take(self, byte_length: int) -> str:
        taken = self._unfinished[:byte_length].decode("utf-8", "replace")
        del self._unfinished[:byte_length]
        return taken


def encode_line(message: str | bytes) -> bytes:
    """Return the line that shows a message; a binary one as its bytes are."""
    body = message if isinstance(message, bytes) else message.encode("utf-8", "replace")
    return body + b"\n"
