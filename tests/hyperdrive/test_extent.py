from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datfs.errors import InvalidExtent
from datfs.hyperdrive.extent import BLOCK_BYTE_LENGTH, missing_blocks
from datfs.hyperdrive.stat import Stat

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Blocks:
    """A sparse content feed that knows the extents of the blocks it holds, and no others."""

    def __init__(self, sizes: Sequence[int], held: Sequence[int] = ()) -> None:
        self.sizes = sizes
        self.starts = [0, *accumulate(sizes)]
        self.held = set(held)
        self.questions = 0

    def block_extent(self, block_index: int) -> tuple[int, int] | None:
        self.questions += 1
        if block_index not in self.held:
            return None
        return self.starts[block_index], self.sizes[block_index]

    def missing(self, start: int, end: int) -> Iterator[range]:
        for block in range(start, end):
            if block not in self.held:
                yield range(block, block + 1)

    def file(self, first: int, end: int) -> Stat:
        return Stat(
            mode=0o100644,
            size=self.starts[end] - self.starts[first],
            blocks=end - first,
            offset=first,
            byte_offset=self.starts[first],
        )

    def fetch_all(self, stat: Stat, offset: int, size: int) -> int:
        """Fetch what is asked for until nothing more is; returns the number of fetches."""
        fetches = 0
        while (missing := missing_blocks(self, stat, offset, size)) is not None:
            assert stat.offset <= missing.start < missing.stop <= stat.end
            assert not self.held.issuperset(missing)
            self.held |= set(missing)
            fetches += len(missing)
        return fetches

    def needed(self, stat: Stat, offset: int, size: int) -> set[int]:
        start = stat.byte_offset + offset
        end = min(start + size, stat.byte_end)
        return {
            block
            for block in range(stat.offset, stat.end)
            if self.sizes[block]
            and self.starts[block] < end
            and self.starts[block + 1] > start
            and start < end
        }


def test_even_blocks_are_guessed_at_once() -> None:
    blocks = Blocks([10, *[BLOCK_BYTE_LENGTH] * 1000, 5])
    stat = blocks.file(1, 1002)
    offset = 700 * BLOCK_BYTE_LENGTH + 17
    assert blocks.fetch_all(stat, offset, 131072) == 3
    assert blocks.held == blocks.needed(stat, offset, 131072)


def test_nothing_is_asked_for_an_empty_range() -> None:
    blocks = Blocks([4, 4])
    stat = blocks.file(0, 2)
    assert missing_blocks(blocks, stat, 8, 100) is None
    assert missing_blocks(blocks, stat, 3, 0) is None
    assert missing_blocks(blocks, blocks.file(1, 1), 0, 100) is None
    assert blocks.questions == 0


@given(
    st.lists(st.sampled_from([0, 1, 2, 50, 1000, BLOCK_BYTE_LENGTH]), min_size=1, max_size=60),
    st.data(),
)
def test_any_blocks_are_found_with_few_fetches(sizes: list[int], data: st.DataObject) -> None:
    held = data.draw(st.sets(st.integers(0, len(sizes) - 1)))
    blocks = Blocks(sizes, sorted(held))
    first = data.draw(st.integers(0, len(sizes) - 1))
    end = data.draw(st.integers(first, len(sizes)))
    stat = blocks.file(first, end)
    offset = data.draw(st.integers(0, stat.size))
    size = data.draw(st.integers(0, stat.size - offset))
    needed = blocks.needed(stat, offset, size)
    fetched = blocks.fetch_all(stat, offset, size)
    assert needed <= blocks.held
    # Each end is found by at most some two bisections; between them all is needed.
    assert fetched <= len(needed) + 4 * (len(sizes).bit_length() + 1)


def test_absurd_stats_cost_nothing() -> None:
    huge = 2**53 - 1
    blocks = Blocks([100], [0])
    stat = Stat(mode=0o100644, size=huge, blocks=huge, offset=0, byte_offset=0)
    missing = missing_blocks(blocks, stat, huge // 2, 4096)
    assert missing is not None
    assert len(missing) == 1
    assert blocks.questions < 200


@pytest.mark.parametrize(
    "stat",
    [
        Stat(mode=0o100644, size=101, blocks=1),
        Stat(mode=0o100644, size=50, blocks=0),
        Stat(mode=0o100644, size=100, blocks=1, byte_offset=1),
        Stat(mode=0o100644, size=100, blocks=1, byte_offset=2**52),
        Stat(mode=0o100644, size=2**52, blocks=2),
    ],
)
def test_claims_that_the_feed_contradicts_are_named(stat: Stat) -> None:
    blocks = Blocks([100, 100], [0, 1])
    with pytest.raises(InvalidExtent):
        missing_blocks(blocks, stat, stat.size - 1, 1)
