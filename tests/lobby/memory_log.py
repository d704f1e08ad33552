"""Logs in memory, of which a reader has as many blocks as the test gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datfs.lobby.log_records import encode_log_header

if TYPE_CHECKING:
    from datfs.lobby.log_records import Record


class MemoryLog:
    """A `ReadableLog`."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.blocks: dict[int, bytes] = {0: encode_log_header()}
        self.length = 1

    def append(self, record: Record | bytes) -> int:
        block = record if isinstance(record, bytes) else record.encode()
        self.put(self.length, block)
        return self.length - 1

    def put(self, block_index: int, block: bytes) -> None:
        self.blocks[block_index] = block
        self.length = max(self.length, block_index + 1)

    def has(self, block_index: int) -> bool:
        return block_index in self.blocks

    def get(self, block_index: int) -> bytes:
        return self.blocks[block_index]

    def block_extent(self, block_index: int) -> tuple[int, int] | None:
        if block_index not in self.blocks:
            return None
        before = (len(block) for index, block in self.blocks.items() if index < block_index)
        return sum(before), len(self.blocks[block_index])
