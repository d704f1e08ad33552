from __future__ import annotations

from datfs.hypercore.bitfield import Bitfield
from datfs.hypercore.merkle import Frontier, Node, leaf_node, parent_node
from datfs.hypercore.node_store import CACHED_NODES, NodeStore
from datfs.hypercore.storage import MemoryFile


class CountingFile(MemoryFile):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[tuple[int, int]] = []

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.writes.append((offset, len(data)))
        super().write(offset, data)


def test_neighbours_are_written_together() -> None:
    file = CountingFile()
    store = NodeStore(file, Bitfield())
    store.write([leaf_node(i, b"%d" % i) for i in (9, 0)])
    store.write([Node(1, bytes(32), 1), Node(2, bytes(32), 2), Node(5, bytes(32), 3)])
    store.write([])
    assert file.writes == [(32, 40), (32 + 18 * 40, 40), (32 + 40, 80), (32 + 5 * 40, 40)]


def test_the_bits_tell_what_is_here_and_not_the_file() -> None:
    bits = Bitfield()
    store = NodeStore(MemoryFile(), bits)
    node = leaf_node(3, b"x")
    store.write([node])
    assert store.node(6) is None
    assert store.record(6) == node
    bits.set_node(6)
    assert store.node(6) == node


def test_a_parent_that_was_never_written_is_computed() -> None:
    bits = Bitfield()
    store = NodeStore(MemoryFile(), bits)
    leaves = [leaf_node(i, bytes(i)) for i in range(4)]
    store.write(leaves)
    for leaf in leaves:
        bits.set_node(leaf.node_index)
    left, right = parent_node(leaves[0], leaves[1]), parent_node(leaves[3], leaves[2])
    assert store.node(3) == parent_node(left, right)
    assert store.roots(4) == [parent_node(left, right)]
    assert store.roots(5) is None


def test_a_record_that_is_gone_is_none() -> None:
    bits = Bitfield()
    bits.set_node(0)
    bits.set_node(5)
    store = NodeStore(MemoryFile(), bits)
    assert store.node(0) is None
    assert store.node(5) is None


def test_memory_stays_bounded() -> None:
    bits = Bitfield()
    store = NodeStore(MemoryFile(), bits)
    frontier = Frontier(0, [])
    made: list[Node] = []
    for i in range(CACHED_NODES):
        frontier.append(b"%d" % i, made)
    store.write(made)
    bits.set_appended(0, frontier.length)
    for node in made:
        assert store.node(node.node_index) == node
    assert len(store._cache) <= CACHED_NODES + 1
