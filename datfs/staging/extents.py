"""Sets of byte ranges of one file: which bytes were written, which are not journaled yet."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Extents:
    """Disjoint, non-adjacent byte ranges [start, end), ascending.

    Two parallel lists rather than pairs: `bisect` works on them directly, and a file written from
    front to back is one range that grows.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def start(self) -> int | None:
        """The lowest byte in the set, None when it is empty."""
        return self._starts[0] if self._starts else None

    @property
    def end(self) -> int:
        """One past the highest byte in the set, 0 when it is empty."""
        return self._ends[-1] if self._ends else 0

    def add(self, start: int, end: int) -> None:
        """Put the bytes [start, end) into the set."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)  # the first range that touches or follows
        last = bisect_right(self._starts, end)  # one past the last that touches
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def clip(self, limit: int) -> None:
        """Take out every byte from `limit` on."""
        keep = bisect_left(self._starts, limit)
        del self._starts[keep:], self._ends[keep:]
        if keep and self._ends[-1] > limit:
            self._ends[-1] = limit

    def clear(self) -> None:
        """Empty the set."""
        self._starts.clear()
        self._ends.clear()

    def covers(self, start: int, end: int) -> bool:
        """Tell whether all of [start, end), which is not empty, is in the set."""
        position = bisect_right(self._starts, start) - 1
        return position >= 0 and self._ends[position] >= end

    def overlap(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of [start, end) that are in the set, ascending."""
        position = bisect_right(self._ends, start)
        while position < len(self._starts) and self._starts[position] < end:
            yield max(start, self._starts[position]), min(end, self._ends[position])
            position += 1
