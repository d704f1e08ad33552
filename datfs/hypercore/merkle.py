"""Nodes of a feed's Merkle tree and the frontier that an appending feed keeps (DEP-0002).

Pure: positions and hashes only. Where nodes are stored is the feed's matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datfs.crypto.hashing import leaf_hash, parent_hash, root_hash
from datfs.hypercore import flat_tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datfs.encoding.buffer import Buffer


class Node(NamedTuple):
    """One node of the tree. A named tuple, for a large append makes two of them a block.

    Attributes:
        node_index: Position in the flat tree; even for blocks.
        hash: 32 bytes.
        byte_length: Number of data bytes below the node.
    """

    node_index: int
    hash: bytes
    byte_length: int


def leaf_node(block_index: int, data: Buffer) -> Node:
    """Return the leaf of a block."""
    return Node(2 * block_index, leaf_hash(data), len(data))


def parent_node(one: Node, other: Node) -> Node:
    """Return the parent of two siblings, given in either order."""
    left, right = (one, other) if one.node_index < other.node_index else (other, one)
    byte_length = left.byte_length + right.byte_length
    return Node(
        flat_tree.parent(left.node_index),
        parent_hash(byte_length, left.hash, right.hash),
        byte_length,
    )


class Frontier:
    """The full roots of a growing feed: all that is needed to append to it.

    Attributes:
        roots: The full roots, from left to right.
        length: Blocks below them.
        byte_length: Data bytes below them.
    """

    __slots__ = ("byte_length", "length", "roots")

    def __init__(self, length: int, roots: Iterable[Node]) -> None:
        self.length = length
        self.roots = list(roots)
        self.byte_length = sum(node.byte_length for node in self.roots)

    def append(self, data: Buffer, made: list[Node]) -> None:
        """Add a block, and every node that it completes to `made`, its leaf first."""
        node = leaf_node(self.length, data)
        made.append(node)
        self.byte_length += node.byte_length
        self.length += 1
        # Each trailing zero bit of the new length closes one more pair of equal subtrees.
        merges = self.length
        while not merges & 1:
            node = parent_node(self.roots.pop(), node)
            made.append(node)
            merges >>= 1
        self.roots.append(node)

    def root_hash(self) -> bytes:
        """Return the hash that is signed at this length."""
        return root_hash(self.roots)
