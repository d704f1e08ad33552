"""Proofs: which nodes show that a block belongs to a feed, and whether they do (DEP-0010).

The asker's digest tells in a few bits which of the nodes above a block it has: bit 0, with the
highest bit, that it has a parent; the others, from the leaf's sibling upwards, that it has that
"uncle". The answerer sends the uncles that are missing up to a node the asker has, or else all full
roots with the signature over them. All of it follows hypercore v7.7.1 `lib/tree-index.js` and
`index.js` (`_verifyAndWrite`) where the DEP leaves it open.

Everything here is a pure function of a tree that is handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from datfs.crypto.hashing import HASH_SIZE, root_hash
from datfs.crypto.keys import verify
from datfs.encoding.varint import JAVASCRIPT_LIMIT
from datfs.errors import ProofInvalid
from datfs.hypercore import flat_tree
from datfs.hypercore.merkle import Node, leaf_node, parent_node

if TYPE_CHECKING:
    from datfs.encoding.buffer import Buffer
    from datfs.hypercore.bitfield import Bitfield

MAX_LENGTH: Final = 1 << 32
"""Most blocks that a feed may have here: files must stay within what file systems can address."""

MAX_BYTE_LENGTH: Final = 1 << 43
"""Most bytes that a feed may have here (8 TiB), for the same reason."""


class Tree(Protocol):
    """The nodes that are stored already and therefore trusted."""

    def node(self, node_index: int) -> Node | None:
        """Return a stored node, or None."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What comes beside a block's bytes in Data.

    Attributes:
        nodes: The leaf (only where the block's bytes are not sent), uncles from the bottom up, then
            the other full roots from left to right.
        signature: 64 bytes over the full roots, if these are included.
    """

    nodes: tuple[Node, ...]
    signature: bytes | None


@dataclass(frozen=True, slots=True)
class Verified:
    """What a proof has shown.

    Attributes:
        nodes: Nodes that can be trusted from now on and were not stored yet.
        signed_length: Length of the feed, in blocks, that the proof's signature covers; 0 if the
            proof ended at a stored node.
    """

    nodes: list[Node]
    signed_length: int


def digest(bits: Bitfield, block_index: int) -> int:
    """Return what a Request tells of the nodes here (DEP-0010, `Request.nodes`).

    Returns:
        1 if nothing is needed beside the block, 0 if nothing is here, else the bits as above.
    """
    node_index = 2 * block_index
    if bits.has_node(node_index):
        return 1
    result = 0
    bit = 2
    uncle = flat_tree.sibling(node_index)
    end = max(uncle + 2, bits.tree_end)
    while True:
        parent = flat_tree.parent(uncle)
        if flat_tree.right_span(uncle) >= end and flat_tree.left_span(parent) == 0:
            return result
        if bits.has_node(uncle):
            result |= bit
        if bits.has_node(parent):
            result |= 2 * bit | 1
            return 1 if result + 1 == 4 * bit else result
        uncle = flat_tree.sibling(parent)
        bit *= 2


def proof_nodes(
    bits: Bitfield, block_index: int, *, digest: int, with_hash: bool
) -> tuple[list[int], int]:
    """Choose the nodes to send for a block whose leaf is stored.

    Args:
        bits: Which nodes are here.
        block_index: The block.
        digest: What the asker says to have.
        with_hash: Whether the leaf itself is to be sent, for the block's bytes are not.

    Returns:
        The nodes in the order in which they are sent, and the length whose signature must go
        along, 0 for none.
    """
    leaf = 2 * block_index
    chosen = [leaf] if with_hash else []
    if digest == 1:
        return chosen, 0
    known = _known_to_asker(bits, leaf, digest)
    node_index = leaf
    while node_index not in known:
        sibling = flat_tree.sibling(node_index)
        if not bits.has_node(sibling):
            length = bits.signed_length(node_index)
            roots = flat_tree.full_roots(length)
            chosen += [root for root in roots if root != node_index and root not in known]
            return chosen, length
        if sibling not in known:
            chosen.append(sibling)
        node_index = flat_tree.parent(node_index)
    return chosen, 0


def _known_to_asker(bits: Bitfield, leaf: int, digest: int) -> set[int]:
    known: set[int] = set()

    def add(node_index: int) -> None:
        while bits.has_node(node_index) and node_index not in known:
            known.add(node_index)
            if flat_tree.sibling(node_index) not in known:
                return
            node_index = flat_tree.parent(node_index)

    has_parent = digest & 1
    digest >>= 1
    node_index = leaf
    while digest and node_index < 4 * MAX_LENGTH:
        if digest == 1 and has_parent:
            add(node_index)
            # Who has a root has the roots to its left as well.
            leftmost = min(node_index, flat_tree.sibling(node_index))
            for root in flat_tree.full_roots(flat_tree.right_span(leftmost) // 2 + 1):
                add(root)
            break
        if digest & 1:
            add(flat_tree.sibling(node_index))
        node_index = flat_tree.parent(node_index)
        digest >>= 1
    return known


def verify_block(
    tree: Tree, block_index: int, value: Buffer | None, proof: Proof, public_key: bytes
) -> Verified:
    """Check a block, or its hash alone, against what is stored and signed. Changes nothing.

    Args:
        tree: What is stored.
        block_index: The block.
        value: Its bytes, or None if the proof brings the leaf.
        proof: What came with it.
        public_key: The feed's key.

    Raises:
        ProofInvalid: The block is not part of the feed, or the proof does not show that it is.
    """
    given = proof.nodes
    for node in given:
        if len(node.hash) != HASH_SIZE or not 0 <= node.byte_length < JAVASCRIPT_LIMIT:
            raise ProofInvalid(block_index, "a tree node is malformed")
    used = 0
    if value is not None:
        top = leaf_node(block_index, value)
    elif given and given[0].node_index == 2 * block_index:
        top = given[0]
        used = 1
    else:
        raise ProofInvalid(block_index, "the hash of the block is not included")

    fresh: list[Node] = []
    while True:
        trusted = tree.node(top.node_index)
        if trusted is not None:
            if trusted != top:
                raise ProofInvalid(block_index, "its hash is not the one that is signed")
            return Verified(fresh, 0)
        sibling = flat_tree.sibling(top.node_index)
        other = tree.node(sibling)
        if used < len(given) and given[used].node_index == sibling:
            if other is None:
                fresh.append(given[used])
            other = given[used]
            used += 1
        if other is None:
            break
        fresh.append(top)
        top = parent_node(top, other)
    return _verify_roots(tree, block_index, top, proof, used, fresh, public_key)


def _verify_roots(
    tree: Tree,
    block_index: int,
    top: Node,
    proof: Proof,
    used: int,
    fresh: list[Node],
    public_key: bytes,
) -> Verified:
    """Check the full roots that `top`, the rest of the proof and the stored nodes make."""
    rest = proof.nodes[used:]
    last = rest[-1].node_index if rest else top.node_index
    right = max(flat_tree.right_span(top.node_index), flat_tree.right_span(last))
    length = right // 2 + 1
    if length > MAX_LENGTH:
        raise ProofInvalid(block_index, f"a feed of {length} blocks is more than can be stored")
    roots: list[Node] = []
    for root_index in flat_tree.full_roots(length):
        if root_index == top.node_index:
            roots.append(top)
            fresh.append(top)
        elif rest and rest[0].node_index == root_index:
            roots.append(rest[0])
            if tree.node(root_index) is None:
                fresh.append(rest[0])
            rest = rest[1:]
        elif (stored := tree.node(root_index)) is not None:
            roots.append(stored)
        else:
            raise ProofInvalid(block_index, "tree roots are missing")
    if proof.signature is None:
        raise ProofInvalid(block_index, "there is no signature")
    if not verify(root_hash(roots), proof.signature, public_key):
        raise ProofInvalid(block_index, "the signature is not that of the feed's key")
    byte_length = sum(node.byte_length for node in roots)
    if byte_length > MAX_BYTE_LENGTH:
        raise ProofInvalid(block_index, f"{byte_length} bytes are more than can be stored")
    return Verified(fresh, length)
