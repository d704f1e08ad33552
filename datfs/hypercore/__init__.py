"""Append-only signed feeds: Merkle tree, bitfield, SLEEP files, proofs (DEP-0002, DEP-0009)."""

from datfs.hypercore.feed import Feed
from datfs.hypercore.merkle import Node
from datfs.hypercore.proof import Proof
from datfs.hypercore.repair import Repair
from datfs.hypercore.storage import (
    DirectoryStorage,
    FeedStorage,
    MemoryStorage,
    OpenFiles,
    RandomAccess,
)

__all__ = [
    "DirectoryStorage",
    "Feed",
    "FeedStorage",
    "MemoryStorage",
    "Node",
    "OpenFiles",
    "Proof",
    "RandomAccess",
    "Repair",
]
