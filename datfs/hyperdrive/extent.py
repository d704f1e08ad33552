"""Which blocks of the content feed must be fetched so that some bytes of a file can be read.

A Stat tells first block, number of blocks, first byte and size, and a writer may have cut blocks of
any sizes. Where a block begins and ends is known once the tree nodes around it are here, which come
with the block itself or with its neighbours. So the search asks the verified tree only: it guesses,
and either knows the block or names it as the next one to fetch. Whoever owns the file repeats the
question after each fetch; a file of 64 KiB blocks, as nearly all are, is guessed right at once.

What the Stat claims is no more than a place to look at: no loop runs over its numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from datfs.errors import InvalidExtent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datfs.hyperdrive.stat import Stat

BLOCK_BYTE_LENGTH: Final = 65536
"""How hyperdrive 9 and datfs cut files."""


class ContentBlocks(Protocol):
    """What the search needs of the content feed."""

    def block_extent(self, block_index: int) -> tuple[int, int] | None:
        """Return a block's first byte and byte length, None if the tree does not tell yet."""

    def missing(self, start: int, end: int) -> Iterator[range]:
        """Yield the runs of blocks in [start, end) that are not here."""


class _Place(NamedTuple):
    """A block that holds a byte, or (`known` False) must be fetched to find out."""

    block_index: int
    known: bool


def missing_blocks(content: ContentBlocks, stat: Stat, offset: int, size: int) -> range | None:
    """Tell what to fetch next so that a part of a file can be read.

    Args:
        content: The content feed.
        stat: The file's, of any version.
        offset: First byte of the part, within the file.
        size: Its bytes; what lies past the file's end counts for nothing.

    Returns:
        The next run of blocks that are not here; None if all of the part can be read.

    Raises:
        InvalidExtent: The file's blocks do not hold the bytes that its Stat claims.
    """
    end = min(offset + size, stat.size)
    if offset >= end:
        return None
    first = _locate(content, stat, stat.byte_offset + offset)
    if not first.known:
        return range(first.block_index, first.block_index + 1)
    last = _locate(content, stat, stat.byte_offset + end - 1)
    run = range(first.block_index, last.block_index + 1)
    return next(iter(content.missing(run.start, run.stop)), None)


def _locate(content: ContentBlocks, stat: Stat, byte_index: int) -> _Place:
    """Find the block of a content byte among the file's blocks, as far as the tree tells."""
    even = stat.blocks == -(-stat.size // BLOCK_BYTE_LENGTH)
    step = BLOCK_BYTE_LENGTH if even else max(1, stat.size // max(1, stat.blocks))
    low, high = stat.offset, stat.end
    low_byte = stat.byte_offset
    by_size = True
    while low < high:
        # Guessing by size finds even blocks at once; halving in turn bounds the search otherwise.
        if by_size:
            guess = min(low + max(0, byte_index - low_byte) // step, high - 1)
        else:
            guess = (low + high) // 2
        by_size = not by_size
        extent = content.block_extent(guess)
        if extent is None:
            return _Place(guess, known=False)
        start, byte_length = extent
        if byte_index < start:
            high = guess
        elif byte_index >= start + byte_length:
            low, low_byte = guess + 1, start + byte_length
        else:
            return _Place(guess, known=True)
    raise InvalidExtent(
        f"the file claims content byte {byte_index}, which is not in its {stat.blocks} blocks "
        f"from block {stat.offset} on"
    )
