from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datfs.hypercore import flat_tree
from datfs.hypercore.bitfield import BLOCKS_A_PAGE, Bitfield
from datfs.hypercore.sleep import OLD_PAGE_SIZE, PAGE_SIZE
from tests import vectors

CASES = vectors.load("bitfield-pages.json")["cases"]

ranges = st.tuples(st.integers(0, 20_000), st.integers(1, 9_000)).map(lambda r: (r[0], sum(r)))


def pages_of(bitfield: Bitfield) -> dict[int, bytes]:
    return dict(bitfield.take_changed())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_pages_are_those_of_javascript(case: dict[str, Any]) -> None:
    bitfield = Bitfield(case["pageSize"])
    for start, end, *rest in case["ops"]:
        if rest == [False]:
            bitfield.clear_range(start, end)
            continue
        bitfield.set_range(start, end)
        for block_index in range(start, end):
            bitfield.set_node(2 * block_index)
    pages = pages_of(bitfield)
    for number, parts in enumerate(case["pages"]):
        page = pages.get(number, bytes(case["pageSize"]))
        wanted = parts or {"data": [[1024, "00"]], "tree": [[2048, "00"]], "index": []}
        assert page[:1024] == vectors.bytes_of_runs(wanted["data"])
        assert page[1024:3072] == vectors.bytes_of_runs(wanted["tree"])
        if case["pageSize"] == PAGE_SIZE:
            assert page[3072:] == (vectors.bytes_of_runs(wanted["index"]) or bytes(512))
        else:
            assert page[3072:] == bytes(256)
    assert bitfield.length() == case["blocks"]
    loaded = Bitfield(case["pageSize"], pages.items())
    assert loaded.length() == case["blocks"]
    assert loaded.tree_end == bitfield.tree_end


def test_appending_sets_what_setting_each_leaf_does() -> None:
    for start in range(20):
        for end in range(start + 1, 40):
            one, other = Bitfield(), Bitfield()
            for block_index in range(end):
                one.set_node(2 * block_index)
            if start:
                other.set_appended(0, start)
            other.set_appended(start, end)
            assert pages_of(one) == pages_of(other), (start, end)
            assert one.tree_end == other.tree_end
            assert other.length() == end


def test_appending_across_pages() -> None:
    one, other = Bitfield(), Bitfield()
    for block_index in range(3 * BLOCKS_A_PAGE + 5):
        one.set_node(2 * block_index)
    other.set_appended(0, BLOCKS_A_PAGE - 3)
    other.set_appended(BLOCKS_A_PAGE - 3, 3 * BLOCKS_A_PAGE + 5)
    assert pages_of(one) == pages_of(other)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 8, 13, 8192, 8193])
def test_cutting_the_tree_leaves_what_the_shorter_feed_had(length: int) -> None:
    longer, shorter = Bitfield(), Bitfield()
    longer.set_appended(0, 8200)
    longer.cut_tree(length)
    if length:
        shorter.set_appended(0, length)
    assert longer.length() == length
    assert longer.tree_end == shorter.tree_end
    for node_index in range(2 * 8200):
        assert longer.has_node(node_index) == shorter.has_node(node_index)


class Model:
    """The slow and plain way: a set of numbers."""

    def __init__(self) -> None:
        self.blocks: set[int] = set()

    def index(self, page_count: int) -> bytes:
        data = bytearray(1024 * page_count)
        for block_index in self.blocks:
            data[block_index // 8] |= 0x80 >> block_index % 8
        size = 512 * page_count
        out = bytearray(size)
        two = {0: 0, 255: 3}
        for leaf in range(256 * page_count):
            value = 0
            for byte in data[4 * leaf : 4 * leaf + 4]:
                value = value << 2 | two.get(byte, 1)
            out[2 * leaf] = value
        nibble = {0: 0, 15: 3}
        for position in sorted(range(1, size, 2), key=flat_tree.depth):
            children = flat_tree.children(position)
            assert children is not None
            value = 0
            for child in children:
                byte = out[child] if child < size else 0
                for half in (byte >> 4, byte & 15):
                    value = value << 2 | nibble.get(half, 1)
            out[position] = value
        return bytes(out)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), ranges), max_size=8), ranges)
def test_against_a_set_of_numbers(
    operations: list[tuple[bool, tuple[int, int]]], asked: tuple[int, int]
) -> None:
    bitfield, model = Bitfield(), Model()
    pages: dict[int, bytes] = {}
    for value, (start, end) in operations:
        if value:
            bitfield.set_range(start, end)
            model.blocks |= set(range(start, end))
        else:
            bitfield.clear_range(start, end)
            model.blocks -= set(range(start, end))
        pages |= pages_of(bitfield)
    page_count = max(pages, default=-1) + 1
    zero = bytes(PAGE_SIZE)
    index = b"".join(pages.get(number, zero)[3072:] for number in range(page_count))
    assert index == model.index(page_count)
    assert bitfield.held_count() == len(model.blocks)
    assert bitfield.last_held() == max(model.blocks, default=None)
    start, end = asked
    missing = list(bitfield.missing(start, end))
    held = list(bitfield.held(start, end))
    assert {b for r in missing for b in r} == set(range(start, end)) - model.blocks
    assert {b for r in held for b in r} == set(range(start, end)) & model.blocks
    edges = sorted((r.start, r.stop) for r in missing + held)
    assert [edge[0] for edge in edges[1:]] == [edge[1] for edge in edges[:-1]]
    for block_index in (start, end - 1, end):
        assert bitfield.has(block_index) == (block_index in model.blocks)
    start -= start % 8
    bits = bitfield.bits(start, 160)
    for i in range(160):
        assert bool(bits[i // 8] & 0x80 >> i % 8) == (start + i in model.blocks)


def test_one_block_far_out_costs_a_few_pages() -> None:
    bitfield = Bitfield()
    bitfield.set(1 << 32)
    bitfield.set_node(2 << 32)
    assert len(bitfield.take_changed()) < 30
    assert list(bitfield.missing(0, (1 << 32) + 2)) == [
        range(1 << 32),
        range((1 << 32) + 1, (1 << 32) + 2),
    ]


def test_changed_pages_are_given_once() -> None:
    bitfield = Bitfield(OLD_PAGE_SIZE)
    bitfield.set(0)
    assert [number for number, _ in bitfield.take_changed()] == [0]
    assert bitfield.take_changed() == []
    assert not bitfield.has_node(0)
