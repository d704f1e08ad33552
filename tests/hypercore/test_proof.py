from __future__ import annotations

import random
from typing import Any

import pytest

from datfs.crypto.hashing import root_hash
from datfs.crypto.keys import KeyPair, sign
from datfs.errors import BlockMissing, ProofInvalid
from datfs.hypercore.bitfield import Bitfield
from datfs.hypercore.feed import Feed
from datfs.hypercore.flat_tree import full_roots
from datfs.hypercore.merkle import Node
from datfs.hypercore.proof import MAX_LENGTH, Proof, digest, proof_nodes
from datfs.hypercore.storage import MemoryStorage
from tests import vectors

VECTORS = vectors.load("digests-proofs.json")
KEYS = KeyPair.from_seed(b"\x07" * 32)


def feed_of(blocks: list[bytes], *batches: int) -> Feed:
    feed = Feed.create(MemoryStorage(), KEYS, store_secret_key=False)
    done = 0
    for size in batches or (len(blocks),):
        feed.append(blocks[done : done + size])
        done += size
    return feed


def copy_of(feed: Feed) -> Feed:
    return Feed.create_remote(MemoryStorage(), feed.key)


def fetch(source: Feed, target: Feed, block_index: int) -> None:
    proof = source.proof(block_index, digest=target.digest(block_index))
    target.put(block_index, source.get(block_index), proof)


@pytest.mark.parametrize("state", VECTORS["states"], ids=lambda state: state["name"])
def test_digests_are_those_of_javascript(state: dict[str, Any]) -> None:
    bits = Bitfield()
    for node_index in state["setNodes"]:
        bits.set_node(node_index)
    for row in state["digests"]:
        assert digest(bits, row["block"]) == row["digest"], row


@pytest.mark.parametrize("row", VECTORS["proofs"], ids=str)
def test_proofs_are_those_of_javascript(row: dict[str, Any]) -> None:
    bits = Bitfield()
    bits.set_appended(0, row["feedBlocks"])
    chosen = proof_nodes(bits, row["block"], digest=row["digest"], with_hash=row["hash"])
    assert chosen == (row["nodes"], row["verifiedBy"] // 2)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 13, 31])
def test_blocks_in_any_order_make_the_same_feed(length: int) -> None:
    blocks = [vectors.filler(f"b{i}", i % 7) for i in range(length)]
    source = feed_of(blocks)
    for seed in range(8):
        order = list(range(length))
        random.Random(seed).shuffle(order)
        target = copy_of(source)
        for block_index in order:
            fetch(source, target, block_index)
            assert target.length == length
            assert target.byte_length == source.byte_length
        assert [target.get(i) for i in range(length)] == blocks


def test_a_sparse_copy_serves_others_in_turn() -> None:
    blocks = [vectors.filler(f"b{i}", 5) for i in range(21)]
    source = feed_of(blocks)
    middle, end = copy_of(source), copy_of(source)
    for block_index in (3, 17, 20):
        fetch(source, middle, block_index)
    for block_index in (20, 3, 17):
        fetch(middle, end, block_index)
        assert end.get(block_index) == blocks[block_index]
    with pytest.raises(BlockMissing):
        middle.proof(4 * 21, digest=0)


def test_a_growing_feed_is_followed() -> None:
    blocks = [vectors.filler(f"b{i}", 3) for i in range(40)]
    source = Feed.create(MemoryStorage(), KEYS, store_secret_key=False)
    target = copy_of(source)
    for block in blocks:
        newest = source.append([block])
        fetch(source, target, newest)
        assert target.length == source.length
    assert target.held_count() == 40


def test_hashes_without_bytes_make_later_proofs_short() -> None:
    source = feed_of([b"a", b"bb", b"ccc", b"dddd"])
    target = copy_of(source)
    target.put(2, None, source.proof(2, digest=target.digest(2), with_hash=True))
    assert target.length == 4
    assert not target.has(2)
    assert target.block_extent(2) == (3, 3)
    assert target.digest(2) == 1
    proof = source.proof(2, digest=1)
    assert proof == Proof((), None)
    target.put(2, b"ccc", proof)
    assert target.get(2) == b"ccc"


def test_an_older_signature_is_enough_for_its_blocks() -> None:
    blocks = [b"one", b"two", b"three"]
    target = copy_of(feed_of(blocks))
    old = feed_of(blocks[:2])
    fetch(old, target, 0)
    assert target.length == 2
    new = feed_of(blocks, 2, 1)
    fetch(new, target, 2)
    assert (target.length, target.byte_length) == (3, 11)
    fetch(old, target, 1)
    assert target.length == 3
    assert [target.get(i) for i in range(3)] == blocks


def mutations(proof: Proof) -> list[Proof]:
    out = [
        Proof(proof.nodes, None),
        Proof(proof.nodes, bytes(64)),
        Proof(proof.nodes, (proof.signature or b"")[:63]),
        Proof(proof.nodes[:-1], proof.signature),
        Proof(proof.nodes[1:], proof.signature),
        Proof((), proof.signature),
    ]
    for i, node in enumerate(proof.nodes):
        wrong = (
            node._replace(hash=bytes(32)),
            node._replace(hash=node.hash[:31]),
            node._replace(byte_length=node.byte_length + 1),
            node._replace(byte_length=2**53),
            node._replace(byte_length=-1),
            node._replace(node_index=node.node_index + 2),
        )
        before, after = proof.nodes[:i], proof.nodes[i + 1 :]
        out += [Proof((*before, changed, *after), proof.signature) for changed in wrong]
    return out


def contents(storage: MemoryStorage) -> dict[str, bytes]:
    return {name: bytes(file.content) for name, file in storage.files.items()}


def test_no_lie_is_stored() -> None:
    source = feed_of([b"aa", b"bb", b"cc", b"dd", b"ee"])
    storage = MemoryStorage()
    target = Feed.create_remote(storage, source.key)
    before = contents(storage)
    proof = source.proof(1, digest=0)
    for lie in mutations(proof):
        with pytest.raises(ProofInvalid):
            target.put(1, b"bb", lie)
    with pytest.raises(ProofInvalid):
        target.put(1, b"bB", proof)
    with pytest.raises(ProofInvalid):
        target.put(2, b"bb", proof)
    with pytest.raises(ProofInvalid):
        target.put(1, None, proof)
    assert contents(storage) == before
    assert (target.length, target.held_count()) == (0, 0)
    target.put(1, b"bb", proof)
    with pytest.raises(ProofInvalid, match="block 0 was refused"):
        target.put(0, b"AA", source.proof(0, digest=target.digest(0)))
    other = Feed.create(MemoryStorage(), KeyPair.from_seed(bytes(32)), store_secret_key=False)
    other.append([b"aa", b"bb"])
    with pytest.raises(ProofInvalid, match="not that of the feed's key"):
        copy_of(source).put(0, b"aa", other.proof(0, digest=0))


def test_a_fork_cannot_replace_what_is_stored() -> None:
    target = copy_of(feed_of([b"x"]))
    fetch(feed_of([b"one", b"two"]), target, 0)
    fork = feed_of([b"ONE", b"TWO"])
    with pytest.raises(ProofInvalid):
        target.put(0, b"ONE", fork.proof(0, digest=0))


def test_a_signed_length_past_all_file_sizes_is_refused() -> None:
    target = Feed.create_remote(MemoryStorage(), KEYS.public_key)
    length = MAX_LENGTH + 1
    top = Node(2 * length - 2, target.key, 1)
    roots = [Node(i, bytes(31) + b"\1", 1) for i in full_roots(length)[:-1]]
    with pytest.raises(ProofInvalid, match="more than can be stored"):
        target.put(
            length - 1,
            None,
            Proof((top, *roots), sign(root_hash([*roots, top]), KEYS.secret_key)),
        )
    huge = Node(0, bytes(31) + b"\1", 2**52)
    with pytest.raises(ProofInvalid, match="more than can be stored"):
        target.put(0, None, Proof((huge,), sign(root_hash([huge]), KEYS.secret_key)))


def test_many_at_once_stops_at_the_first_lie() -> None:
    source = feed_of([b"aa", b"bb", b"cc", b"dd"])
    target = copy_of(source)
    sent = [(i, source.get(i), source.proof(i, digest=0)) for i in range(4)]
    sent[2] = (2, b"xx", sent[2][2])
    with pytest.raises(ProofInvalid) as caught:
        target.put_many(sent)
    assert caught.value.block_index == 2
    assert [target.has(i) for i in range(4)] == [True, True, False, False]
