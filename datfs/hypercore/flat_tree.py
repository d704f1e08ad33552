"""Positions in a binary tree written as a list: the numbering of DEP-0002 ("Merkle Tree").

In-order numbering: block b is the leaf 2b, and the parent of two subtrees stands between them. The
bits of a position tell where it is: its trailing ones are its depth, and what lies above the zero
after them counts the nodes of that depth to its left (its offset).

    0─┐
      1─┐
    2─┘ │
        3
    4─┐ │
      5─┘
    6─┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def depth(node_index: int) -> int:
    """Return how many levels a node stands above the leaves."""
    return (~node_index & (node_index + 1)).bit_length() - 1


def offset(node_index: int) -> int:
    """Return how many nodes of the same depth stand to the left of a node."""
    return node_index >> (depth(node_index) + 1)


def position(at_depth: int, at_offset: int) -> int:
    """Return the node of a depth and offset."""
    return at_offset << (at_depth + 1) | ((1 << at_depth) - 1)


def parent(node_index: int) -> int:
    """Return the parent of a node."""
    lowest_zero = ~node_index & (node_index + 1)
    return (node_index | lowest_zero) & ~(lowest_zero << 1)


def sibling(node_index: int) -> int:
    """Return the other child of the parent of a node."""
    return node_index ^ ((~node_index & (node_index + 1)) << 1)


def children(node_index: int) -> tuple[int, int] | None:
    """Return both children of a node, left one first, or None for a leaf."""
    half = (~node_index & (node_index + 1)) >> 1
    return (node_index - half, node_index + half) if half else None


def left_span(node_index: int) -> int:
    """Return the leftmost leaf below a node (itself for a leaf)."""
    return node_index & (node_index + 1)


def right_span(node_index: int) -> int:
    """Return the rightmost leaf below a node (itself for a leaf)."""
    return node_index + (~node_index & (node_index + 1)) - 1


def full_roots(length: int) -> list[int]:
    """Return the roots of the full subtrees of a feed with `length` blocks, from left to right.

    There is one for each bit of `length`: 5 blocks have the roots 3 and 8.
    """
    roots: list[int] = []
    first_block = 0
    for at_depth in range(length.bit_length() - 1, -1, -1):
        blocks = 1 << at_depth
        if length & blocks:
            roots.append(2 * first_block + blocks - 1)
            first_block += blocks
    return roots


def nodes_across(length: int, levels: int = 64) -> Iterator[int]:
    """Yield the nodes that have blocks on both sides of the end of `length` blocks, lowest first.

    Args:
        length: Number of blocks to the left.
        levels: How many levels above the leaves to look at.
    """
    for level in range(1, levels + 1):
        if length and (length - 1) >> level == length >> level:
            yield position(level, length >> level)
