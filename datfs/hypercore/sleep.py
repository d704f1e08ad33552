"""SLEEP files: 32-byte headers and the places of records (DEP-0009; formats.md section 2).

A header is the magic 05 02 57, one byte for the kind of file, the version 0, the record size (2
bytes, big-endian), and the length and name of the algorithm, filled up with zeros. JavaScript
rewrites headers at each opening without looking; here a header that is not what it must be is a
sign that the file is not what it must be.
"""

from __future__ import annotations

from typing import Final

HEADER_SIZE: Final = 32
NODE_SIZE: Final = 40
SIGNATURE_SIZE: Final = 64

PAGE_SIZE: Final = 3584
"""Bytes of a bitfield page: 1024 data, 2048 tree, 512 index (DEP-0009 has the older 3328)."""

OLD_PAGE_SIZE: Final = 3328
"""Page size before hypercore 6.6: an index part of 256 bytes. Files that have it keep it."""

_MAGIC: Final = bytes.fromhex("050257")
_VERSION: Final = b"\0"


def _header(kind: int, record_size: int, algorithm: bytes) -> bytes:
    return (
        _MAGIC
        + bytes((kind,))
        + _VERSION
        + record_size.to_bytes(2, "big")
        + bytes((len(algorithm),))
        + algorithm
    ).ljust(HEADER_SIZE, b"\0")


BITFIELD_HEADER: Final = _header(0, PAGE_SIZE, b"")
OLD_BITFIELD_HEADER: Final = _header(0, OLD_PAGE_SIZE, b"")
SIGNATURES_HEADER: Final = _header(1, SIGNATURE_SIZE, b"Ed25519")
TREE_HEADER: Final = _header(2, NODE_SIZE, b"BLAKE2b")


def node_place(node_index: int) -> int:
    """Return the byte offset of a node's record in `tree`."""
    return HEADER_SIZE + NODE_SIZE * node_index


def signature_place(block_index: int) -> int:
    """Return the byte offset in `signatures` of the signature over the feed up to a block."""
    return HEADER_SIZE + SIGNATURE_SIZE * block_index


def page_place(page_index: int, page_size: int) -> int:
    """Return the byte offset of a page in `bitfield`."""
    return HEADER_SIZE + page_size * page_index
