from __future__ import annotations

from typing import Any

import pytest

from datfs.crypto.hashing import leaf_hash, parent_hash, root_hash
from datfs.hypercore.merkle import Node
from tests import vectors

VECTORS = vectors.load("keys-hashes.json")


def node(row: dict[str, Any]) -> Node:
    return Node(row["index"], bytes.fromhex(row["hash"]), row["size"])


@pytest.mark.parametrize("row", VECTORS["leaves"], ids=lambda row: str(row["size"]))
def test_leaves(row: dict[str, Any]) -> None:
    given = row["data"]
    data = vectors.filler("leaf", row["size"]) if isinstance(given, dict) else bytes.fromhex(given)
    assert leaf_hash(data).hex() == row["hash"]
    assert leaf_hash(memoryview(data)).hex() == row["hash"]


@pytest.mark.parametrize("row", VECTORS["parents"])
def test_parents(row: dict[str, Any]) -> None:
    left, right = node(row["left"]), node(row["right"])
    assert parent_hash(row["size"], left.hash, right.hash).hex() == row["hash"]


@pytest.mark.parametrize("row", VECTORS["roots"])
def test_roots(row: dict[str, Any]) -> None:
    assert root_hash([node(root) for root in row["roots"]]).hex() == row["rootHash"]


def test_no_roots() -> None:
    assert root_hash([]).hex() == VECTORS["emptyRootHash"]
