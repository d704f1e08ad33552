"""Tree nodes in the `tree` file: 40 bytes each, the hash and the number of data bytes below.

Nodes are read when they are asked for; a bounded number stays in memory, for a walk up the tree
meets the same upper nodes again and again. Whether a node is here is told by the tree bits of
`bitfield`, never by the file: beyond what the bits say it may hold what a crash left behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datfs.crypto.hashing import HASH_SIZE
from datfs.hypercore import flat_tree
from datfs.hypercore.merkle import Node, parent_node
from datfs.hypercore.sleep import NODE_SIZE, node_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from datfs.hypercore.bitfield import Bitfield
    from datfs.hypercore.storage import RandomAccess

CACHED_NODES: Final = 4096
"""Nodes that are kept at most, some 200 bytes each."""

_BLANK: Final = bytes(NODE_SIZE)


class NodeStore:
    """The nodes of one feed.

    Args:
        file: The feed's `tree` file.
        bitfield: Tells which nodes are here.
    """

    def __init__(self, file: RandomAccess, bitfield: Bitfield) -> None:
        self._file = file
        self._bitfield = bitfield
        self._cache: dict[int, Node] = {}

    def node(self, node_index: int) -> Node | None:
        """Return a stored node, or None."""
        node = self._cache.get(node_index)
        if node is not None:
            return node
        if not self._bitfield.has_node(node_index):
            return None
        node = self.record(node_index) or self._computed(node_index)
        if node is not None:
            self.remember((node,))
        return node

    def roots(self, length: int) -> list[Node] | None:
        """Return the full roots of the first `length` blocks, or None if one is not stored."""
        roots = [self.node(node_index) for node_index in flat_tree.full_roots(length)]
        found = [node for node in roots if node is not None]
        return found if len(found) == len(roots) else None

    def record(self, node_index: int) -> Node | None:
        """Return what stands in the file for a node, whatever the bits say; None if blank."""
        record = self._file.read(node_place(node_index), NODE_SIZE)
        if len(record) < NODE_SIZE or record == _BLANK:
            return None
        return Node(node_index, record[:HASH_SIZE], int.from_bytes(record[HASH_SIZE:], "big"))

    def remember(self, nodes: Iterable[Node]) -> None:
        """Keep verified nodes in memory, which must be or become stored."""
        if len(self._cache) > CACHED_NODES:
            self._cache.clear()
        self._cache.update((node.node_index, node) for node in nodes)

    def write(self, nodes: Iterable[Node]) -> None:
        """Write nodes; neighbours go out together."""
        run: list[bytes] = []
        run_start = run_end = -1
        for node in sorted(nodes):
            if node.node_index != run_end:
                if run:
                    self._file.write(node_place(run_start), b"".join(run))
                run = []
                run_start = node.node_index
            run.append(_record(node))
            run_end = node.node_index + 1
        if run:
            self._file.write(node_place(run_start), b"".join(run))

    def write_appended(self, nodes: Sequence[Node], *, start: int, end: int, more: bool) -> None:
        """Write the nodes that came with the blocks from `start` to before `end`.

        Records between them whose nodes the feed is too short for are written as zeros, as
        JavaScript does in one append.

        Args:
            nodes: What `Frontier.append` made, in its order.
            start: First block.
            end: Block after the last.
            more: Whether the same append goes on after `end`.
        """
        first = 2 * start
        records = [_BLANK] * (2 * (end - start) - (0 if more else 1))
        before: list[Node] = []
        for node in nodes:
            if node.node_index < first:
                before.append(node)
            else:
                records[node.node_index - first] = _record(node)
        # The longer file is what tells `recovery` of an append that did not come to its signature.
        self._file.write(node_place(first), b"".join(records))
        self.write(before)

    def blank(self, node_index: int) -> None:
        """Erase what stands in the file for a node."""
        self._file.write(node_place(node_index), _BLANK)

    def _computed(self, node_index: int) -> Node | None:
        """Return a parent whose bit came with its children's and whose record was never written."""
        children = flat_tree.children(node_index)
        if children is None:
            return None
        left, right = (self.node(child) for child in children)
        return None if left is None or right is None else parent_node(left, right)


def _record(node: Node) -> bytes:
    return node.hash + node.byte_length.to_bytes(8, "big")
