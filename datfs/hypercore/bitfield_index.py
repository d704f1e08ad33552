"""The index part of bitfield pages: a summary tree over the data bits (formats.md section 2).

The index parts of all pages, joined, are one array whose byte positions are a flat in-order tree. A
leaf speaks of four data bytes, two bits each; a parent of the nibbles of its two children, two bits
each. The two bits are 11 for all ones, 00 for all zeros and 01 for a mixture. A child past the last
page counts as 0. hypercore skips through it when it looks for missing blocks; datfs only keeps it
right, with the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from datfs.hypercore import flat_tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datfs.encoding.buffer import Buffer

INDEX_SIZE: Final = 512
"""Bytes of a page's index part."""

LEAVES_A_PAGE: Final = INDEX_SIZE // 2


def _summary(value: int, full: int) -> int:
    return 0b11 if value == full else 0b01 if value else 0b00


_OF_BYTE: Final = tuple(_summary(byte, 0xFF) for byte in range(256))
_OF_NIBBLES: Final = tuple(
    _summary(byte >> 4, 0xF) << 2 | _summary(byte & 0xF, 0xF) for byte in range(256)
)


class IndexBytes(Protocol):
    """The joined index parts; positions that were never set are 0."""

    def index_byte(self, position: int) -> int:
        """Return the byte at a position."""

    def set_index_byte(self, position: int, value: int) -> None:
        """Store the byte at a position."""


def leaf_bytes(data: Buffer) -> bytes:
    """Return the leaves over data bytes (a multiple of 4), without the positions between them."""
    of = _OF_BYTE
    return bytes(
        of[data[i]] << 6 | of[data[i + 1]] << 4 | of[data[i + 2]] << 2 | of[data[i + 3]]
        for i in range(0, len(data), 4)
    )


def update(index: IndexBytes, page_count: int, first_leaf: int, leaves: bytes) -> None:
    """Store leaves and whatever changes above them.

    Args:
        index: The joined index parts.
        page_count: Pages there are; bounds the tree.
        first_leaf: Number of the first leaf (data byte / 4) that is given.
        leaves: Leaf bytes from there on.
    """
    changed: list[int] = []
    for offset, value in enumerate(leaves, first_leaf):
        if index.index_byte(2 * offset) != value:
            index.set_index_byte(2 * offset, value)
            changed.append(offset)
    _update_parents(index, page_count * INDEX_SIZE, 0, changed)


def page_bytes(data: Buffer) -> bytes:
    """Return the index part over one page's 1,024 data bytes.

    The last position stands for a parent across pages and is 0.
    """
    out = bytearray(INDEX_SIZE)
    level_bytes = leaf_bytes(data)
    step = 1
    while level_bytes:
        out[step - 1 :: 2 * step] = level_bytes
        pairs = zip(level_bytes[::2], level_bytes[1::2], strict=False)
        level_bytes = bytes(_OF_NIBBLES[left] << 4 | _OF_NIBBLES[right] for left, right in pairs)
        step *= 2
    return bytes(out)


def update_across_pages(index: IndexBytes, page_count: int) -> None:
    """Make the parents right that stand over more than one page, all others being right."""
    size = page_count * INDEX_SIZE
    level = LEAVES_A_PAGE.bit_length()
    while flat_tree.position(level, 0) < size:
        for offset in range((size >> level + 1) + 1):
            _update_parent(index, size, level, offset)
        level += 1


def extend(index: IndexBytes, old_page_count: int, page_count: int) -> None:
    """Make the parents right that come into being when pages are added.

    Their left children are the old tree's full roots; all that is new below them is still 0.
    """
    for root in flat_tree.full_roots(old_page_count * LEAVES_A_PAGE):
        level = flat_tree.depth(root)
        _update_parents(index, page_count * INDEX_SIZE, level, [flat_tree.offset(root)])


def _update_parents(index: IndexBytes, size: int, level: int, changed: Iterable[int]) -> None:
    """Recompute above the changed nodes of a level (given by offset), as far as that changes."""
    while changed:
        level += 1
        above: list[int] = []
        done = -1
        for offset in changed:
            offset >>= 1
            if offset != done and _update_parent(index, size, level, offset):
                above.append(offset)
            done = offset
        changed = above


def _update_parent(index: IndexBytes, size: int, level: int, offset: int) -> bool:
    """Recompute a parent and tell whether it changed; one past the end stays as it is."""
    position = flat_tree.position(level, offset)
    if position >= size:
        return False
    half = 1 << (level - 1)
    left = index.index_byte(position - half)
    right = index.index_byte(position + half) if position + half < size else 0
    value = _OF_NIBBLES[left] << 4 | _OF_NIBBLES[right]
    if index.index_byte(position) == value:
        return False
    index.set_index_byte(position, value)
    return True
