from __future__ import annotations

from typing import Any

import pytest

from datfs.hypercore import flat_tree
from tests import vectors

VECTORS = vectors.load("flat-tree.json")


@pytest.mark.parametrize("row", VECTORS["nodes"], ids=lambda row: str(row["index"]))
def test_relations(row: dict[str, Any]) -> None:
    index = row["index"]
    children = flat_tree.children(index)
    assert flat_tree.depth(index) == row["depth"]
    assert flat_tree.offset(index) == row["offset"]
    assert flat_tree.position(row["depth"], row["offset"]) == index
    assert flat_tree.parent(index) == row["parent"]
    assert flat_tree.sibling(index) == row["sibling"]
    assert (list(children) if children else None) == row["children"]
    assert flat_tree.left_span(index) == row["leftSpan"]
    assert flat_tree.right_span(index) == row["rightSpan"]


@pytest.mark.parametrize("length", VECTORS["rootsOfBlocks"])
def test_full_roots(length: str) -> None:
    assert flat_tree.full_roots(int(length)) == VECTORS["rootsOfBlocks"][length]
