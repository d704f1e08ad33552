"""Which blocks and tree nodes a feed holds: the pages of the `bitfield` file, in memory.

A page covers 8,192 blocks: 1,024 bytes of data bits ("the block is stored"), 2,048 bytes of tree
bits ("the node is stored"), and an index part that `bitfield_index` keeps (DEP-0009; formats.md
section 2). Bit i of a part is byte i // 8, mask 0x80 >> i % 8. Pages that were never touched take
no room, so one block far out in a huge feed costs a few pages.

Whenever a node and its sibling are both here their parent is too, for it can be computed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from datfs.hypercore import bitfield_index, flat_tree
from datfs.hypercore.sleep import OLD_PAGE_SIZE, PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCKS_A_PAGE: Final = 8192
DATA_SIZE: Final = 1024
TREE_SIZE: Final = 2048
_TREE_START: Final = DATA_SIZE
_INDEX_START: Final = DATA_SIZE + TREE_SIZE

_LEAVES_ONLY: Final = bytes(byte & 0xAA for byte in range(256))
_ALIKE: Final = re.compile(rb"\xff+|\x00+|[\x01-\xfe]", re.DOTALL)


class Bitfield:
    """The bits of one feed.

    Args:
        page_size: Size of a page in the file. Pages of the older size keep a zeroed index, which
            hypercore accepts; what it wrote there itself is not right either.
        pages: Pages read from the file, by number; one that was cut short is filled up.
    """

    def __init__(self, page_size: int = PAGE_SIZE, pages: Iterable[tuple[int, bytes]] = ()) -> None:
        self.page_size = page_size
        self._indexed = page_size != OLD_PAGE_SIZE
        self._pages: dict[int, bytearray] = {}
        self._changed: set[int] = set()
        for number, page in pages:
            self._pages[number] = bytearray(page.ljust(page_size, b"\0"))
            if len(page) < page_size:
                self._changed.add(number)
        self._page_count = max(self._pages, default=-1) + 1
        self._tree_end = self._find_tree_end()

    # --- data bits ---------------------------------------------------------------------------

    def has(self, block_index: int) -> bool:
        """Tell whether a block is stored."""
        page = self._pages.get(block_index >> 13)
        if page is None:
            return False
        return bool(page[(block_index & 8191) >> 3] & 0x80 >> (block_index & 7))

    def set(self, block_index: int) -> None:
        """Note that a block is stored."""
        number = block_index >> 13
        place = (block_index & 8191) >> 3
        self._page(number)[place] |= 0x80 >> (block_index & 7)
        self._data_changed(number, place, place + 1)

    def set_range(self, start: int, end: int) -> None:
        """Note that the blocks from `start` to before `end` are stored."""
        for number, first, last in _page_ranges(start, end):
            page = self._page(number)
            _fill(page, 0, first, last)
            self._data_changed(number, first >> 3, (last + 7) >> 3)

    def clear_range(self, start: int, end: int) -> None:
        """Note that the blocks from `start` to before `end` are not stored."""
        for number, first, last in _page_ranges(start, min(end, self._page_count * BLOCKS_A_PAGE)):
            if number in self._pages:
                _clear(self._page(number), 0, first, last)
                self._data_changed(number, first >> 3, (last + 7) >> 3)

    def bits(self, start: int, length: int) -> bytes:
        """Return data bits as bytes; `start` and `length` are blocks, multiples of 8."""
        parts: list[bytes] = []
        for number, first, last in _page_ranges(start, start + length):
            page = self._pages.get(number)
            size = (last - first) >> 3
            parts.append(bytes(size) if page is None else bytes(page[first >> 3 : last >> 3]))
        return b"".join(parts)

    def held_count(self) -> int:
        """Return how many blocks are stored."""
        return sum(
            int.from_bytes(page[:DATA_SIZE], "big").bit_count() for page in self._pages.values()
        )

    def missing(self, start: int, end: int) -> Iterator[range]:
        """Yield the ranges of blocks from `start` to before `end` that are not stored, in order."""
        return self._ranges(start, end, held=False)

    def held(self, start: int, end: int) -> Iterator[range]:
        """Yield the ranges of blocks from `start` to before `end` that are stored, in order."""
        return self._ranges(start, end, held=True)

    def last_held(self) -> int | None:
        """Return the highest block that is stored."""
        for number in sorted(self._pages, reverse=True):
            bits = int.from_bytes(self._pages[number][:DATA_SIZE], "big")
            if bits:
                return number * BLOCKS_A_PAGE + BLOCKS_A_PAGE - (bits & -bits).bit_length()
        return None

    # --- tree bits ---------------------------------------------------------------------------

    def has_node(self, node_index: int) -> bool:
        """Tell whether a tree node is stored."""
        page = self._pages.get(node_index >> 14)
        if page is None:
            return False
        return bool(page[_TREE_START + ((node_index & 16383) >> 3)] & 0x80 >> (node_index & 7))

    def set_node(self, node_index: int) -> None:
        """Note that a node is stored, and each parent that both children of are."""
        while self._set_tree_bit(node_index) and self.has_node(flat_tree.sibling(node_index)):
            node_index = flat_tree.parent(node_index)

    def set_appended(self, start: int, end: int) -> None:
        """Note all nodes that come with the blocks from `start` to before `end`.

        These are their leaves and every parent that they close. The feed must be whole up to
        `start`.
        """
        last_leaf = 2 * end - 2
        for number, first, last in _page_ranges(2 * start, last_leaf + 1, 2 * BLOCKS_A_PAGE):
            _fill(self._page(number), 8 * _TREE_START, first, last)
        if last_leaf > 2 * start:  # else a single leaf was set, and no parent before its time
            for node_index in flat_tree.nodes_across(end, (2 * end).bit_length()):
                if 2 * start <= node_index <= last_leaf:
                    self._clear_tree_bit(node_index)
        for node_index in flat_tree.nodes_across(start, end.bit_length()):
            if flat_tree.right_span(node_index) > last_leaf:
                break  # each lies below the next
            self._set_tree_bit(node_index)
        self._tree_end = max(self._tree_end, (last_leaf | 7) + 1)

    def missing_leaves(self, length: int) -> list[range]:
        """Return the blocks of the first `length` whose leaf is not stored, as ranges."""
        ranges: list[range] = []
        for number, first, last in _page_ranges(0, length):
            page = self._pages.get(number)
            leaves = bytes(TREE_SIZE) if page is None else page[_TREE_START:_INDEX_START]
            size = (last - first + 3) >> 2
            if leaves[:size].translate(_LEAVES_ONLY) == b"\xaa" * size:
                continue
            for block_index in range(number * BLOCKS_A_PAGE, number * BLOCKS_A_PAGE + last):
                if self.has_node(2 * block_index):
                    continue
                if ranges and ranges[-1].stop == block_index:
                    ranges[-1] = range(ranges[-1].start, block_index + 1)
                else:
                    ranges.append(range(block_index, block_index + 1))
        return ranges

    def cut_tree(self, length: int) -> None:
        """Forget every node that does not lie within the first `length` blocks."""
        for number in [number for number in self._pages if number >= length // BLOCKS_A_PAGE]:
            first = max(0, 2 * (length - BLOCKS_A_PAGE * number))
            _clear(self._page(number), 8 * _TREE_START, first, 2 * BLOCKS_A_PAGE)
        for node_index in flat_tree.nodes_across(
            length, (self._page_count * BLOCKS_A_PAGE).bit_length()
        ):
            if self.has_node(node_index):
                self._clear_tree_bit(node_index)
        self._tree_end = self._find_tree_end()

    @property
    def tree_end(self) -> int:
        """First multiple of 8 past the last node that is stored, as hypercore counts it."""
        return self._tree_end

    def signed_length(self, node_index: int) -> int:
        """Return the length of the feed whose full roots include the one above `node_index`.

        Follows hypercore v7.7.1 `lib/tree-index.js` `verifiedBy`: up to the root of the subtree
        that is here, then down along the right edge of what else is here.

        Args:
            node_index: A node that is stored.
        """
        top = node_index
        while self.has_node(flat_tree.parent(top)) and self.has_node(flat_tree.sibling(top)):
            top = flat_tree.parent(top)
        level = flat_tree.depth(top)
        while level:
            top = flat_tree.position(level, flat_tree.offset(top) + 1)
            top = flat_tree.position(level - 1, 2 * flat_tree.offset(top))
            level -= 1
            while level and not self.has_node(top):
                top = flat_tree.position(level - 1, 2 * flat_tree.offset(top))
                level -= 1
        return top // 2 + 1 if self.has_node(top) else top // 2

    def length(self) -> int:
        """Return the length of the feed, in blocks, that the tree bits tell.

        Follows hypercore v7.7.1 `lib/tree-index.js` `blocks`: the highest node stored on the left
        spine, then the right edge from there.
        """
        top = node_index = 0
        limit = 2 * BLOCKS_A_PAGE * self._page_count
        while flat_tree.right_span(node_index) < limit:
            node_index = flat_tree.parent(node_index)
            if self.has_node(node_index):
                top = node_index
        return self.signed_length(top) if self.has_node(top) else 0

    # --- pages -------------------------------------------------------------------------------

    @property
    def is_changed(self) -> bool:
        """Whether `take_changed` would return any page."""
        return bool(self._changed)

    def take_changed(self) -> list[tuple[int, bytes]]:
        """Return the pages that changed since the last call, in order, with their numbers."""
        changed = sorted(self._changed)
        self._changed.clear()
        return [(number, bytes(self._pages[number])) for number in changed]

    def mark_changed(self, numbers: Iterable[int]) -> None:
        """Have pages given out again: they could not be written."""
        self._changed.update(numbers)

    def index_byte(self, position: int) -> int:
        """Return a byte of the joined index parts (for `bitfield_index`)."""
        page = self._pages.get(position >> 9)
        return 0 if page is None else page[_INDEX_START + (position & 511)]

    def set_index_byte(self, position: int, value: int) -> None:
        """Store a byte of the joined index parts (for `bitfield_index`)."""
        number = position >> 9
        self._page(number)[_INDEX_START + (position & 511)] = value
        self._changed.add(number)

    def mend_index(self) -> None:
        """Compute the index parts anew: those of a page that was written in part are old."""
        if not self._indexed:
            return
        last_data, last_index = b"", b""
        for number, page in list(self._pages.items()):
            data = bytes(page[:DATA_SIZE])
            if data != last_data:
                last_data, last_index = data, bitfield_index.page_bytes(data)
            if page[_INDEX_START:-1] != last_index[:-1]:
                self._page(number)[_INDEX_START:-1] = last_index[:-1]
        bitfield_index.update_across_pages(self, self._page_count)

    # --- inside ------------------------------------------------------------------------------

    def _page(self, number: int) -> bytearray:
        """Return a page that is about to change, making it if need be."""
        self._changed.add(number)
        page = self._pages.get(number)
        if page is None:
            page = self._pages[number] = bytearray(self.page_size)
            if number >= self._page_count:
                old_count, self._page_count = self._page_count, number + 1
                if self._indexed:
                    bitfield_index.extend(self, old_count, self._page_count)
        return page

    def _data_changed(self, number: int, first_byte: int, end_byte: int) -> None:
        if not self._indexed:
            return
        first_leaf = first_byte >> 2
        leaves = bitfield_index.leaf_bytes(
            self._pages[number][4 * first_leaf : (end_byte + 3) & ~3]
        )
        first_leaf += number * bitfield_index.LEAVES_A_PAGE
        bitfield_index.update(self, self._page_count, first_leaf, leaves)

    def _set_tree_bit(self, node_index: int) -> bool:
        """Set a tree bit and tell whether it was clear."""
        number = node_index >> 14
        place = _TREE_START + ((node_index & 16383) >> 3)
        mask = 0x80 >> (node_index & 7)
        page = self._pages.get(number)
        if page is not None and page[place] & mask:
            return False
        self._page(number)[place] |= mask
        self._tree_end = max(self._tree_end, (node_index | 7) + 1)
        return True

    def _clear_tree_bit(self, node_index: int) -> None:
        place = _TREE_START + ((node_index & 16383) >> 3)
        self._page(node_index >> 14)[place] &= ~(0x80 >> (node_index & 7))

    def _find_tree_end(self) -> int:
        for number in sorted(self._pages, reverse=True):
            used = len(self._pages[number][_TREE_START:_INDEX_START].rstrip(b"\0"))
            if used:
                return 8 * (number * TREE_SIZE + used)
        return 0

    def _ranges(self, start: int, end: int, *, held: bool) -> Iterator[range]:
        """Join the runs of one kind that touch."""
        first = last = start
        for value, run_start, run_end in self._runs(start, end):
            if value is not held:
                continue
            if run_start > last:
                if last > first:
                    yield range(first, last)
                first = run_start
            last = run_end
        if last > first:
            yield range(first, last)

    def _runs(self, start: int, end: int) -> Iterator[tuple[bool, int, int]]:
        """Yield (stored, start, end) for runs that cover the whole range, in order."""
        done = start
        numbers = range(start // BLOCKS_A_PAGE, -(-end // BLOCKS_A_PAGE))
        for number in numbers if len(numbers) <= len(self._pages) else sorted(self._pages):
            page = self._pages.get(number)
            if page is None or number not in numbers:
                continue
            page_start = number * BLOCKS_A_PAGE
            if page_start > done:
                yield False, done, page_start
                done = page_start
            page_end = min(end, page_start + BLOCKS_A_PAGE)
            first_byte = (done - page_start) >> 3
            data = bytes(page[first_byte : (page_end - page_start + 7) >> 3])
            for match in _ALIKE.finditer(data):
                byte = data[match.start()]
                run_start = page_start + 8 * (first_byte + match.start())
                run_end = page_start + 8 * (first_byte + match.end())
                if byte in (0x00, 0xFF):
                    yield byte == 0xFF, max(done, run_start), min(page_end, run_end)
                    continue
                for block_index in range(max(done, run_start), min(page_end, run_end)):
                    stored = bool(byte & 0x80 >> (block_index & 7))
                    yield stored, block_index, block_index + 1
            done = page_end
        if done < end:
            yield False, done, end


def _page_ranges(
    start: int, end: int, bits_a_page: int = BLOCKS_A_PAGE
) -> Iterator[tuple[int, int, int]]:
    """Split a range of bits by pages: number, and the first and end bit within each page."""
    while start < end:
        number, first = divmod(start, bits_a_page)
        last = min(bits_a_page, first + end - start)
        yield number, first, last
        start += last - first


def _fill(page: bytearray, start_bit: int, first: int, last: int) -> None:
    """Set the bits from `first` to before `last`, counted from `start_bit` of the page."""
    first += start_bit
    last += start_bit
    first_byte, last_byte = first >> 3, last >> 3
    if first_byte == last_byte:
        page[first_byte] |= (0xFF >> (first & 7)) & ~(0xFF >> (last & 7))
        return
    page[first_byte] |= 0xFF >> (first & 7)
    page[first_byte + 1 : last_byte] = b"\xff" * (last_byte - first_byte - 1)
    if last & 7:
        page[last_byte] |= ~(0xFF >> (last & 7)) & 0xFF


def _clear(page: bytearray, start_bit: int, first: int, last: int) -> None:
    """Clear the bits from `first` to before `last`, counted from `start_bit` of the page."""
    first += start_bit
    last += start_bit
    first_byte, last_byte = first >> 3, last >> 3
    if first_byte == last_byte:
        page[first_byte] &= ~(0xFF >> (first & 7)) & 0xFF | 0xFF >> (last & 7)
        return
    page[first_byte] &= ~(0xFF >> (first & 7)) & 0xFF
    page[first_byte + 1 : last_byte] = bytes(last_byte - first_byte - 1)
    if last & 7:
        page[last_byte] &= 0xFF >> (last & 7)
