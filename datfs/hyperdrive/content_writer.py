"""Writing a file's bytes into the content feed: blocks of 64 KiB, signed about once a MiB.

The run of blocks that comes out belongs to nobody until a Put in the metadata names it; one that
is never named stays in the feed (design section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from datfs.errors import HyperdriveError, InvalidExtent
from datfs.hyperdrive.extent import BLOCK_BYTE_LENGTH

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer
    from datfs.hypercore.feed import Feed
    from datfs.hyperdrive.stat import Stat

BATCH_BYTE_LENGTH: Final = 16 * BLOCK_BYTE_LENGTH
"""Content that one signature covers while a file is written."""


class ContentRun(NamedTuple):
    """Where a file's content lies, in the terms of its Stat."""

    size: int
    blocks: int
    offset: int
    byte_offset: int


def is_at_tail(content: Feed, stat: Stat) -> bool:
    """Tell whether a file's blocks are the last of the content feed, so that it can grow there.

    An empty file has no blocks and can always grow.
    """
    if not stat.blocks:
        return stat.size == 0
    return stat.end == content.length and stat.byte_end == content.byte_length


class ContentWriter:
    """Appends one file, or the continuation of one, to a content feed.

    Only one writer may be at work on a feed: a file is one run of blocks.

    Args:
        content: The content feed.
        base: A file to go on with; `is_at_tail` holds for it.

    Raises:
        InvalidExtent: It does not.
    """

    def __init__(self, content: Feed, base: Stat | None = None) -> None:
        if base is not None and not is_at_tail(content, base):
            raise InvalidExtent("only a file at the end of the content can be continued")
        self._content = content
        if base is not None and base.blocks:
            self._offset, self._byte_offset = base.offset, base.byte_offset
        else:
            self._offset, self._byte_offset = content.length, content.byte_length
        self._next_block = content.length
        self._waiting = bytearray()

    def write(self, data: Buffer) -> None:
        """Take the next bytes of the file; full batches go to the feed at once.

        Raises:
            OSError: From the storage; the writer cannot go on.
        """
        view = memoryview(data)
        if self._waiting:
            room = BATCH_BYTE_LENGTH - len(self._waiting)
            self._waiting += view[:room]
            view = view[room:]
            if len(self._waiting) < BATCH_BYTE_LENGTH:
                return
            self._append(self._waiting)
            self._waiting = bytearray()
        full = len(view) - len(view) % BATCH_BYTE_LENGTH
        for start in range(0, full, BATCH_BYTE_LENGTH):
            self._append(view[start : start + BATCH_BYTE_LENGTH])
        self._waiting += view[full:]

    def finish(self) -> ContentRun:
        """Write what is left and return where the file lies.

        Raises:
            OSError: From the storage.
        """
        if self._waiting:
            self._append(self._waiting)
            self._waiting = bytearray()
        return ContentRun(
            size=self._content.byte_length - self._byte_offset,
            blocks=self._content.length - self._offset,
            offset=self._offset,
            byte_offset=self._byte_offset,
        )

    def _append(self, batch: Buffer) -> None:
        if self._content.length != self._next_block:
            raise HyperdriveError("another file was written into the content at the same time")
        view = memoryview(batch)
        self._content.append(
            [
                view[start : start + BLOCK_BYTE_LENGTH]
                for start in range(0, len(view), BLOCK_BYTE_LENGTH)
            ]
        )
        self._next_block = self._content.length
