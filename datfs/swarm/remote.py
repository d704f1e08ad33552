"""What one peer says it has of one feed, and how it answers what is asked of it.

A peer's `Have` and `Unhave` are claims, and their lengths are chosen by the peer, so everything
here is arithmetic on pages inside the ranges that we wanted ourselves: a claim of 2^53 blocks costs
what a claim of one costs (design section 4). Past those ranges only a length is remembered.
Bit order and ranges follow DEP-0010 (Have, Want) and formats.md section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WANT_LENGTH = 1_048_576
"""Blocks that one Want covers; the JavaScript peers always ask for this much."""

MAX_WANTS = 16
"""Wants that are open at once on a channel, as many as the JavaScript peers keep open."""

PAGE_BLOCKS = 8192
"""Blocks in a page: what a bitfield page on disk covers, and the grid that Want ranges lie on."""

_PAGE_BYTES = PAGE_BLOCKS // 8
_FULL_INT = (1 << PAGE_BLOCKS) - 1


class RemoteBlocks:
    """The blocks of a feed that a peer claims, as pages of bits inside the wanted ranges.

    Attributes:
        claimed_length: the highest block index claimed so far, plus one.
        wanted_length: blocks from 0 on that were wanted; claims beyond only move `claimed_length`.
    """

    __slots__ = ("_pages", "claimed_length", "wanted_length")

    def __init__(self) -> None:
        self._pages: dict[int, int] = {}
        self.claimed_length = 0
        self.wanted_length = 0

    @property
    def end(self) -> int:
        """Behind the last block that can be claimed here: claims past the wanted ranges are not."""
        return min(self.claimed_length, self.wanted_length)

    def widen(self, length: int) -> Iterator[range]:
        """Grow the wanted ranges until they cover `length` blocks or `MAX_WANTS` are open.

        Yields:
            The ranges that must now be sent as Want, each `WANT_LENGTH` long.
        """
        while self.wanted_length <= length and self.wanted_length < MAX_WANTS * WANT_LENGTH:
            start = self.wanted_length
            self.wanted_length += WANT_LENGTH
            yield range(start, self.wanted_length)

    def add(self, start: int, length: int) -> None:
        """Note a Have without a bitfield: `length` blocks from `start` on."""
        if length <= 0:
            return
        self.claimed_length = max(self.claimed_length, start + length)
        for page, mask in _masks(start, min(start + length, self.wanted_length)):
            # One shared number for full pages: they are what a claim of very much is made of.
            value = mask if mask is _FULL_INT else self._pages.get(page, 0) | mask
            self._pages[page] = _FULL_INT if value == _FULL_INT else value

    def remove(self, start: int, length: int) -> None:
        """Note an Unhave of `length` blocks from `start` on."""
        if start == 0 and length >= self.claimed_length:
            self._pages.clear()
            self.claimed_length = 0
            return
        end = min(start + length, self.wanted_length)
        for page in [page for page in self._pages if start <= page * PAGE_BLOCKS + PAGE_BLOCKS]:
            low = max(start - page * PAGE_BLOCKS, 0)
            high = min(end - page * PAGE_BLOCKS, PAGE_BLOCKS)
            if low < high:
                self._pages[page] &= ~_mask(low, high)
                if not self._pages[page]:
                    del self._pages[page]

    def replace(self, start: int, bits: bytes | bytearray) -> None:
        """Note a Have with a bitfield: `bits`, first block in the top bit, stand from `start` on.

        `start` lies on the page grid; bits past the wanted ranges are not kept.
        """
        for at in range(0, len(bits), _PAGE_BYTES):
            page = (start + at * 8) // PAGE_BLOCKS
            piece = bits[at : at + _PAGE_BYTES]
            if (page + 1) * PAGE_BLOCKS > self.wanted_length:
                break
            claimed = int.from_bytes(piece, "big") << 8 * (_PAGE_BYTES - len(piece))
            kept_bits = PAGE_BLOCKS - 8 * len(piece)
            kept = self._pages.get(page, 0) & ((1 << kept_bits) - 1)
            value = claimed | kept
            if value:
                self._pages[page] = value
                lowest = (value & -value).bit_length() - 1
                last = page * PAGE_BLOCKS + PAGE_BLOCKS - 1 - lowest
                self.claimed_length = max(self.claimed_length, last + 1)
            else:
                self._pages.pop(page, None)

    def has(self, block_index: int) -> bool:
        """Whether the peer claims this block."""
        page, bit = divmod(block_index, PAGE_BLOCKS)
        value = self._pages.get(page)
        return value is not None and (value >> (PAGE_BLOCKS - 1 - bit)) & 1 == 1

    def next(self, block_index: int) -> int | None:
        """The first claimed block at or after `block_index`; None when there is none."""
        page, bit = divmod(block_index, PAGE_BLOCKS)
        end = self.end
        while page * PAGE_BLOCKS < end:
            value = self._pages.get(page, 0) & (_FULL_INT >> bit)
            if value:
                return page * PAGE_BLOCKS + PAGE_BLOCKS - value.bit_length()
            page += 1
            bit = 0
        return None


def _mask(low: int, high: int) -> int:
    """Bits `low` to `high` (exclusive) of a page, bit 0 in the top place."""
    if high - low == PAGE_BLOCKS:
        return _FULL_INT
    return ((1 << (high - low)) - 1) << (PAGE_BLOCKS - high)


def _masks(start: int, end: int) -> Iterator[tuple[int, int]]:
    for page in range(start // PAGE_BLOCKS, -(-end // PAGE_BLOCKS)):
        low = max(start - page * PAGE_BLOCKS, 0)
        high = min(end - page * PAGE_BLOCKS, PAGE_BLOCKS)
        if low < high:
            yield page, _mask(low, high)


MIN_IN_FLIGHT = 4
"""Requests that even the slowest peer may have open on a feed."""

MAX_IN_FLIGHT = 1024
"""Requests that a peer may have open on a feed, however small its blocks are."""

IN_FLIGHT_BYTE_LENGTH = 4 * 1024 * 1024
"""Bytes asked of one peer at once, by the size of the blocks that came before."""

_FIRST_BLOCK_BYTE_LENGTH = 65536


@dataclass(slots=True)
class RemoteFeed:
    """One peer's part in one feed: claims, open requests, and the pace it has shown."""

    blocks: RemoteBlocks = field(default_factory=RemoteBlocks)
    in_flight: dict[int, float] = field(default_factory=dict)
    """Block index to the time (seconds) at which it was asked for; oldest first."""
    late: dict[int, float] = field(default_factory=dict)
    """Asked for long ago (seconds) and given to others since; still welcome."""
    cursor: int = 0
    """Below this block nothing is left to ask of this peer for a whole download."""
    window: int = 64
    """Requests that may be open; halved when the peer is late, grown while it keeps up."""
    block_byte_length: float = _FIRST_BLOCK_BYTE_LENGTH
    """Running mean of the sizes of its blocks."""
    given_length: int = 0
    """The highest block that this peer was given, plus one."""
    answered_at: float = 0.0
    """When the last asked-for block came, in seconds."""

    def room(self) -> int:
        """How many more requests may be opened now."""
        by_bytes = int(IN_FLIGHT_BYTE_LENGTH / max(self.block_byte_length, 1.0))
        allowed = max(MIN_IN_FLIGHT, min(self.window, by_bytes, MAX_IN_FLIGHT))
        return allowed - len(self.in_flight)

    def answered(self, block_index: int, byte_length: int, now: float) -> bool:
        """Take in that a block came.

        Returns:
            Whether it had been asked for.
        """
        asked = self.in_flight.pop(block_index, None) is not None
        was_late = self.late.pop(block_index, None) is not None
        if not (asked or was_late):
            return False
        self.answered_at = now
        self.block_byte_length += (byte_length - self.block_byte_length) / 8
        if asked:
            self.window = min(self.window + 1, MAX_IN_FLIGHT)
        return True

    def slowed(self) -> None:
        """Halve the window: the peer let a request wait past its deadline."""
        self.window = max(self.window // 2, MIN_IN_FLIGHT)
