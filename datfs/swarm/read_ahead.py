"""How far ahead of a reader blocks are fetched.

Nothing for random reads, more the longer a reader goes on in order. A pure rule; the kernel's own
read-ahead works on top of it.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_BYTE_LENGTH = 256 * 1024
"""Read-ahead after the second read in order."""

MAX_BYTE_LENGTH = 8 * 1024 * 1024
"""The most that is fetched ahead of a reader."""

GAP_BYTE_LENGTH = 1024 * 1024
"""A read that begins this near to the last one's end still counts as in order: the kernel sends
the reads of one stream side by side."""

MAX_STREAMS = 64
"""Readers whose place is remembered, per archive; the oldest is forgotten first."""


@dataclass(slots=True)
class _Stream:
    end: int
    ahead: int


class ReadAhead:
    """Remembers where the readers of an archive's files are, each known by its file's start."""

    def __init__(self) -> None:
        self._streams: dict[int, _Stream] = {}

    def after(self, file_start: int, offset: int, byte_length: int) -> int:
        """Take in a read and say how many bytes past its end should be fetched.

        Args:
            file_start: the file's first byte in the content feed, which tells files apart.
            offset: where the read begins, in bytes from the start of the file.
            byte_length: how long it is.

        Returns:
            Bytes to fetch ahead, 0 for a read out of order.
        """
        end = offset + byte_length
        stream = self._streams.pop(file_start, None)
        if stream is None:
            stream = _Stream(end, 0)
        elif abs(offset - stream.end) <= GAP_BYTE_LENGTH:
            stream.ahead = min(max(stream.ahead * 2, FIRST_BYTE_LENGTH), MAX_BYTE_LENGTH)
            stream.end = max(stream.end, end)
        else:
            stream.ahead = 0
            stream.end = end
        self._streams[file_start] = stream
        if len(self._streams) > MAX_STREAMS:
            del self._streams[next(iter(self._streams))]
        return stream.ahead
