"""The list that append-tree keeps for one directory: newest entries of its children, ascending.

Every new entry carries the encoded lists of all directories above it, so a list is asked for its
encoded form far more often than a reader would guess. Nearly always the next entry adds one number
at the end and drops at most one before. The numbers therefore lie in short chunks that keep their
encoded differences: an append adds a few bytes, a removal costs one chunk, and what lies before the
last chunk is joined once and kept.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from datfs.encoding.varint import encode_varint

if TYPE_CHECKING:
    from collections.abc import Iterable

CHUNK_LENGTH: Final = 256
"""Numbers in a full chunk: removing from one re-encodes it, joining a list visits each."""


class EncodedList(NamedTuple):
    """The encoded numbers of a list, without their count.

    Attributes:
        length: How many numbers.
        differences: The varints: the first number, then each difference to the one before.
        last: The last number, 0 if there is none.
    """

    length: int
    differences: bytes
    last: int

    def with_last(self, sequence: int) -> EncodedList:
        """Return the list with `sequence`, larger than all others, at its end."""
        added = encode_varint(sequence - self.last)
        return EncodedList(self.length + 1, self.differences + added, sequence)


class _Chunk:
    """A run of numbers and the encoded differences between them (not the first number)."""

    __slots__ = ("differences", "numbers")

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers
        self.differences = bytearray()
        self.encode()

    def encode(self) -> None:
        self.differences = bytearray(_differences(self.numbers))

    def append(self, sequence: int) -> None:
        self.differences += encode_varint(sequence - self.numbers[-1])
        self.numbers.append(sequence)

    def pop(self) -> None:
        last = self.numbers.pop()
        if self.numbers:
            del self.differences[-len(encode_varint(last - self.numbers[-1])) :]

    def remove(self, sequence: int) -> None:
        if self.numbers[-1] == sequence:
            self.pop()
        else:
            del self.numbers[bisect_left(self.numbers, sequence)]
            self.encode()


class SequenceList:
    """Ascending sequence numbers that are appended, removed anywhere, and encoded."""

    __slots__ = ("_chunks", "_count", "_prefix")

    def __init__(self) -> None:
        self._chunks: list[_Chunk] = []
        self._count = 0
        # All chunks but the last, encoded; None when one of them has changed.
        self._prefix: bytes | None = b""

    def __len__(self) -> int:
        return self._count

    def append(self, sequence: int) -> None:
        """Add a number larger than all in the list."""
        self._count += 1
        if self._chunks:
            last = self._chunks[-1]
            if len(last.numbers) < CHUNK_LENGTH:
                last.append(sequence)
                return
            self._prefix = self._encode_before_last() + self._encode_chunk(len(self._chunks) - 1)
        self._chunks.append(_Chunk([sequence]))

    def remove(self, sequence: int) -> None:
        """Take out a number that is in the list."""
        self._count -= 1
        position = self._find(sequence)
        chunk = self._chunks[position]
        chunk.remove(sequence)
        if not chunk.numbers:
            del self._chunks[position]
            self._prefix = None
        elif position < len(self._chunks) - 1:
            self._prefix = None

    def encode(self, without: int | None = None) -> EncodedList:
        """Return the encoded list.

        Args:
            without: A number of the list that is left out.
        """
        if without is None:
            chunks = self._chunks
            if not chunks:
                return EncodedList(0, b"", 0)
            differences = self._encode_before_last() + self._encode_chunk(len(chunks) - 1)
            return EncodedList(self._count, differences, chunks[-1].numbers[-1])
        position = self._find(without)
        kept = [number for number in self._chunks[position].numbers if number != without]
        before = self._chunks[:position]
        after = self._chunks[position + 1 :]
        parts: list[bytes | bytearray] = []
        if not after:
            parts.append(self._encode_before_last())
        else:
            parts += [self._encode_chunk(index) for index in range(position)]
        last = before[-1].numbers[-1] if before else 0
        if kept:
            parts += [encode_varint(kept[0] - last), _differences(kept)]
            last = kept[-1]
        for chunk in after:
            parts += [encode_varint(chunk.numbers[0] - last), chunk.differences]
            last = chunk.numbers[-1]
        return EncodedList(self._count - 1, b"".join(parts), last)

    def _find(self, sequence: int) -> int:
        """Return the position of the chunk that holds `sequence`."""
        return bisect_right(self._chunks, sequence, key=lambda chunk: chunk.numbers[0]) - 1

    def _encode_chunk(self, position: int) -> bytes:
        chunk = self._chunks[position]
        before = self._chunks[position - 1].numbers[-1] if position else 0
        return encode_varint(chunk.numbers[0] - before) + chunk.differences

    def _encode_before_last(self) -> bytes:
        if self._prefix is None:
            self._prefix = b"".join(map(self._encode_chunk, range(len(self._chunks) - 1)))
        return self._prefix


def _differences(numbers: Iterable[int]) -> bytes:
    """Return the varints of the differences between neighbours."""
    encoded: list[bytes] = []
    before: int | None = None
    for number in numbers:
        if before is not None:
            encoded.append(encode_varint(number - before))
        before = number
    return b"".join(encoded)
