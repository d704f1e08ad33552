"""The hashes of a feed's Merkle tree (DEP-0002 section "Merkle Tree"; formats.md section 1).

All are BLAKE2b with 32 bytes of output; a first byte tells leaves, parents and roots apart so that
none can stand for another. Integers are 8 bytes, big-endian.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datfs.encoding.buffer import Buffer

HASH_SIZE: Final = 32
"""Bytes of every hash here."""

_LEAF: Final = b"\0"
_PARENT: Final = b"\1"
_ROOT: Final = b"\2"


class HashedNode(Protocol):
    """What `root_hash` reads of a tree node."""

    @property
    def node_index(self) -> int:
        """Position in the flat tree."""

    @property
    def hash(self) -> bytes:
        """Hash of the node, 32 bytes."""

    @property
    def byte_length(self) -> int:
        """Number of data bytes below the node."""


def blake2b(data: Buffer, *, key: bytes = b"") -> bytes:
    """Return BLAKE2b-256 of `data`, keyed if `key` (up to 64 bytes) is given."""
    return hashlib.blake2b(data, digest_size=HASH_SIZE, key=key).digest()


def leaf_hash(data: Buffer) -> bytes:
    """Return the hash of a block."""
    state = hashlib.blake2b(_LEAF + len(data).to_bytes(8, "big"), digest_size=HASH_SIZE)
    state.update(data)
    return state.digest()


def parent_hash(byte_length: int, left: bytes, right: bytes) -> bytes:
    """Return the hash of a parent node.

    Args:
        byte_length: Data bytes below both children together.
        left: Hash of the child with the lower tree index.
        right: Hash of the other child.
    """
    return hashlib.blake2b(
        _PARENT + byte_length.to_bytes(8, "big") + left + right, digest_size=HASH_SIZE
    ).digest()


def root_hash(roots: Iterable[HashedNode]) -> bytes:
    """Return the hash that a feed signs: over its full roots, given from left to right."""
    parts = [_ROOT]
    for node in roots:
        parts.append(node.hash)
        parts.append(node.node_index.to_bytes(8, "big"))
        parts.append(node.byte_length.to_bytes(8, "big"))
    return hashlib.blake2b(b"".join(parts), digest_size=HASH_SIZE).digest()
